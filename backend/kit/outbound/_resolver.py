"""Names to addresses, without a thread: what hangs holds up only who asked for it.

The system's resolver blocks one of a few threads for as long as a name server pleases, and all
tenants share those threads. Here a look-up is two datagrams and a deadline. In the usual order: an
IP address is itself; ``localhost`` and what the hosts file names; then DNS.
"""

import asyncio
import math
from collections import OrderedDict
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from time import monotonic
from typing import Final, Generic, TypeVar

import dns.exception
import dns.name
import dns.resolver
from dns.asyncresolver import Resolver as DnsResolver
from dns.message import QueryMessage
from dns.nameserver import Do53Nameserver
from dns.rdatatype import RdataType

from backend.kit.outbound._addresses import is_literal, looks_numeric
from backend.kit.outbound.errors import NotAllowedError, UnreachableError
from backend.kit.outbound.settings import OutboundSettings
from backend.kit.shares import Shares

_HOSTS: Final = Path("/etc/hosts")
_CONFIGURATION: Final = Path("/etc/resolv.conf")
_LOOPBACK: Final = ("127.0.0.1", "::1")
_REREAD_SECONDS: Final = 5.0
# How long one server may think before the next is asked.
_TRY_SECONDS: Final = 1.5
# Some servers never answer for AAAA; who has an address of one kind waits so long for the other.
_OTHER_KIND_SECONDS: Final = 0.25
_MAX_CACHED: Final = 4096
# However long a name's owner wants to be remembered.
_MAX_TTL_SECONDS: Final = 300
_MAX_ABSENT_SECONDS: Final = 30
_FORESEEN: Final = (dns.exception.DNSException, OSError)

_T = TypeVar("_T")


class Resolver:
    """Looks names up for tenants, each within a share and a deadline; remembers answers."""

    def __init__(
        self,
        settings: OutboundSettings,
        *,
        clock: Callable[[], float] = monotonic,
        hosts: Path = _HOSTS,
        configuration: Path = _CONFIGURATION,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._shares = Shares(settings.lookups_each, settings.lookups)
        self._cache: OrderedDict[tuple[str, bool], tuple[float, tuple[str, ...]]] = OrderedDict()
        self._hosts_file = _Watched(hosts, clock, _read_hosts)
        self._servers = _Watched(configuration, clock, self._read_servers)

    async def look_up(
        self, host: str, *, tenant_id: str | None, local: bool = False
    ) -> tuple[str, ...]:
        """The addresses of ``host``, at least one.

        Waits at most ``lookup_seconds``, the turn of the tenant's own earlier look-ups included;
        None asks for the platform itself, which has no share. ``local`` completes short names by
        the search list of this machine. Answers are remembered for as long as they say, at most
        five minutes, and absence at most half a minute.

        Raises:
            NotAllowedError: It can be no name of a host.
            UnreachableError: There is no such host, or no answer in time.
        """
        if is_literal(host):
            return (host,)
        known = host.rstrip(".").lower()
        if not known or looks_numeric(known):
            raise NotAllowedError(f"{host} is not the name of a host")
        if known == "localhost" or known.endswith(".localhost"):
            return _LOOPBACK
        listed = self._hosts_file.read().get(known)
        if listed is not None:
            return listed
        key = (known, local)
        cached = self._cache.get(key)
        if cached is not None and cached[0] > self._clock():
            found = cached[1]
        else:
            found, seconds = await self._ask_in_turn(known, tenant_id, local=local)
            self._remember(key, found, seconds)
        if not found:
            raise UnreachableError(f"There is no host {host}")
        return found

    async def look_up_texts(self, name: str, *, tenant_id: str | None) -> tuple[str, ...]:
        """What the TXT records of ``name`` say, each joined to one text; empty when none is there.

        Asked anew each time, within the same bounds as :meth:`look_up`: whoever has just put one
        there must not be told what was so before.

        Raises:
            NotAllowedError: It can be no name.
            UnreachableError: No answer in time.
        """
        try:
            asked = dns.name.from_text(name)
        except (dns.exception.DNSException, UnicodeError) as exc:
            raise NotAllowedError(f"{name} is not a name") from exc
        try:
            async with asyncio.timeout(self._settings.lookup_seconds), AsyncExitStack() as stack:
                if tenant_id is not None:
                    await stack.enter_async_context(self._shares.hold(tenant_id))
                answer = await self._servers.read().resolve(
                    asked, RdataType.TXT, raise_on_no_answer=False, search=False
                )
        except dns.resolver.NXDOMAIN:
            return ()
        except _FORESEEN as exc:  # a timeout is one
            raise UnreachableError(f"No name server answers for {name}") from exc
        parts = (rdata.strings for rdata in answer.rrset or ())
        return tuple(b"".join(one).decode("utf-8", "replace") for one in parts)

    async def _ask_in_turn(
        self, host: str, tenant_id: str | None, *, local: bool
    ) -> tuple[tuple[str, ...], float]:
        try:
            async with asyncio.timeout(self._settings.lookup_seconds), AsyncExitStack() as stack:
                if tenant_id is not None:
                    await stack.enter_async_context(self._shares.hold(tenant_id))
                return await self._ask(host, local=local)
        except TimeoutError:
            raise UnreachableError(f"Looking up {host} took too long") from None

    async def _ask(self, host: str, *, local: bool) -> tuple[tuple[str, ...], float]:
        try:
            name = dns.name.from_text(host, origin=None)
        except (dns.exception.DNSException, UnicodeError) as exc:
            raise NotAllowedError(f"{host} is not the name of a host") from exc
        kinds = [
            asyncio.ensure_future(self._ask_one(name, kind, local=local))
            for kind in (RdataType.A, RdataType.AAAA)
        ]
        try:
            done, waiting = await asyncio.wait(kinds, return_when=asyncio.FIRST_COMPLETED)
            first = next(iter(done))
            useful = first.exception() is None and bool(first.result()[0])
            if waiting:
                await asyncio.wait(waiting, timeout=_OTHER_KIND_SECONDS if useful else None)
        finally:
            for kind in kinds:
                kind.cancel()
            await asyncio.gather(*kinds, return_exceptions=True)
        ended = [kind for kind in kinds if not kind.cancelled()]
        for kind in ended:
            failure = kind.exception()
            if failure is not None and not isinstance(failure, _FORESEEN):
                raise failure
        answers = [kind.result() for kind in ended if kind.exception() is None]
        found = tuple(address for addresses, _ in answers for address in addresses)
        if not found and len(answers) < len(kinds):
            raise UnreachableError(f"No name server answers for {host}")
        # What has addresses lives as long as they do; the other kind's absence does not count.
        return found, min(seconds for addresses, seconds in answers if addresses or not found)

    async def _ask_one(
        self, name: dns.name.Name, kind: RdataType, *, local: bool
    ) -> tuple[tuple[str, ...], float]:
        """Addresses of one kind and for how many seconds they hold, or for how many none does."""
        resolver = self._servers.read()
        try:
            answer = await resolver.resolve(name, kind, raise_on_no_answer=False, search=local)
        except dns.resolver.NXDOMAIN as exc:
            said = exc.responses().values()  # type: ignore[no-untyped-call]
            return (), min((_absent_seconds(message) for message in said), default=0.0)
        _prefer(resolver, answer.nameserver, answer.port)
        seconds = float(answer.chaining_result.minimum_ttl)
        if answer.rrset is None:
            return (), min(seconds, _MAX_ABSENT_SECONDS)
        addresses = tuple(rdata.to_text() for rdata in answer.rrset)
        return addresses, min(seconds, _MAX_TTL_SECONDS)

    def _remember(self, key: tuple[str, bool], found: tuple[str, ...], seconds: float) -> None:
        self._cache[key] = (self._clock() + seconds, found)
        self._cache.move_to_end(key)
        if len(self._cache) > _MAX_CACHED:
            self._cache.popitem(last=False)

    def _read_servers(self, configuration: Path) -> DnsResolver:
        resolver = DnsResolver(configure=False)
        try:
            if not self._settings.name_servers:
                with configuration.open(encoding="utf-8") as file:
                    resolver.read_resolv_conf(file)
        except (OSError, dns.resolver.NoResolverConfiguration):
            pass
        if self._settings.name_servers:
            resolver.nameservers = [_name_server(text) for text in self._settings.name_servers]
        elif not resolver.nameservers:
            # What the system's own resolver does without a configuration.
            resolver.nameservers = [_LOOPBACK[0]]
        resolver.nameservers = [
            Do53Nameserver(server, resolver.port) if isinstance(server, str) else server
            for server in resolver.nameservers
        ]
        resolver.timeout = min(_TRY_SECONDS, self._settings.lookup_seconds)
        resolver.lifetime = self._settings.lookup_seconds
        return resolver


class _Watched(Generic[_T]):
    """A file's meaning, read again when it has changed; looked at every five seconds at most."""

    def __init__(self, path: Path, clock: Callable[[], float], read: Callable[[Path], _T]) -> None:
        self._path = path
        self._clock = clock
        self._read = read
        self._looked = -math.inf
        self._known: tuple[int, _T] | None = None

    def read(self) -> _T:
        """What it says; a file that is not there means what an empty one does."""
        now = self._clock()
        if self._known is None or now - self._looked >= _REREAD_SECONDS:
            self._looked = now
            try:
                changed = self._path.stat().st_mtime_ns
            except OSError:
                changed = 0
            if self._known is None or self._known[0] != changed:
                self._known = changed, self._read(self._path)
        return self._known[1]


def _read_hosts(path: Path) -> Mapping[str, tuple[str, ...]]:
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return {}
    found: dict[str, tuple[str, ...]] = {}
    for line in lines:
        address, *names = line.partition("#")[0].split() or [""]
        if is_literal(address):
            for name in names:
                known = name.lower()
                found[known] = (*found.get(known, ()), address)
    return found


def _name_server(text: str) -> Do53Nameserver:
    address, _, port = text.partition("#")
    return Do53Nameserver(address, int(port or 53))


def _prefer(resolver: DnsResolver, address: str | None, port: int | None) -> None:
    """Ask next the server that answered: one that is down costs its try once, not with each name.

    Another than the first answers when those before it did not.
    """
    servers = list(resolver.nameservers)
    for index, server in enumerate(servers):
        if isinstance(server, Do53Nameserver) and (server.address, server.port) == (address, port):
            if index:
                resolver.nameservers = [server, *servers[:index], *servers[index + 1 :]]
            return


def _absent_seconds(message: QueryMessage) -> float:
    return min(float(message.resolve_chaining().minimum_ttl), _MAX_ABSENT_SECONDS)
