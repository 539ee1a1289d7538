"""The way out itself: looking up, connecting and asking, each within a tenant's bounds."""

import asyncio
import os
import socket
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from time import monotonic
from typing import Final

import httpx

from backend.kit.outbound import _addresses
from backend.kit.outbound._breaker import Breaker
from backend.kit.outbound._http import Borrowed, HttpAnswer, TenantTransport, ask, destination_of
from backend.kit.outbound._resolver import Resolver
from backend.kit.outbound._syslog import send_syslog
from backend.kit.outbound._trust import tls_context, trusting
from backend.kit.outbound.errors import NotAllowedError, UnreachableError
from backend.kit.outbound.settings import OutboundSettings
from backend.kit.shares import Shares

_MAX_TRANSPORTS: Final = 64


class Outbound:
    """One for each process. ``tenant_id`` None is the platform itself, going where it is told to.

    A tenant has its share of look-ups and requests, and a breaker for each destination; the
    platform has neither, since whoever configured its destinations sees them fail in the readiness
    check. ``public_only`` refuses every address of the platform's own network, at the moment it is
    connected to: the address that was judged is the one that is used.
    """

    def __init__(
        self,
        settings: OutboundSettings | None = None,
        *,
        clock: Callable[[], float] = monotonic,
        resolver: Resolver | None = None,
    ) -> None:
        """Open nothing yet; ``clock`` counts seconds for the breaker and what is remembered."""
        settings = settings or OutboundSettings()
        self._resolver = resolver or Resolver(settings, clock=clock)
        self._breaker = Breaker(settings.breaker_failures, settings.breaker_seconds, clock=clock)
        self._requests = Shares(settings.requests_each)
        self._destinations = Shares(settings.requests_destination)
        self._connections = settings.requests_each
        self._transports: OrderedDict[tuple[str | None, bool], TenantTransport] = OrderedDict()

    async def look_up(
        self, host: str, *, tenant_id: str | None, public_only: bool
    ) -> tuple[str, ...]:
        """The addresses of ``host``, at least one, all of which may be connected to.

        Raises:
            NotAllowedError: One of them is not public although it should be, or it can be no name
                of a host.
            UnreachableError: There is no such host, or no answer in time.
        """
        # Names of the platform's own network, which its search list completes, are not a tenant's.
        found = await self._resolver.look_up(host, tenant_id=tenant_id, local=not public_only)
        if public_only and not all(_addresses.is_public(address) for address in found):
            raise NotAllowedError(f"{host} is not on the public Internet")
        return found

    async def look_up_texts(self, name: str, *, tenant_id: str | None) -> tuple[str, ...]:
        """What the TXT records of a name say, none remembered; empty when there are none.

        Raises:
            NotAllowedError: It can be no name.
            UnreachableError: No answer in time.
        """
        return await self._resolver.look_up_texts(name, tenant_id=tenant_id)

    async def connect(
        self,
        host: str,
        port: int,
        *,
        tenant_id: str | None,
        public_only: bool,
        timeout_seconds: float,
    ) -> socket.socket:
        """A connected, non-blocking socket, ``timeout_seconds`` after the call at the latest.

        Raises:
            NotAllowedError, UnreachableError: As ``look_up``; or nobody takes the connection.
        """
        loop = asyncio.get_running_loop()
        ends = loop.time() + timeout_seconds
        failure: OSError = TimeoutError()
        try:
            async with asyncio.timeout_at(ends):
                found = await self.look_up(host, tenant_id=tenant_id, public_only=public_only)
                for index, address in enumerate(found):
                    # What is left is shared among the addresses that are: the first may hang.
                    left = (ends - loop.time()) / (len(found) - index)
                    try:
                        async with asyncio.timeout(left):
                            return await _connect_to(address, port)
                    except OSError as error:  # a timeout is one
                        failure = error
        except TimeoutError as error:
            failure = error
        raise UnreachableError(_explain(failure)) from failure

    async def send_syslog(
        self,
        host: str,
        port: int,
        messages: Sequence[bytes],
        *,
        tenant_id: str | None,
        public_only: bool,
        ca_certificate: str | None = None,
        timeout_seconds: float = 10.0,
    ) -> None:
        """Send syslog messages over TLS 1.2 or newer, all within ``timeout_seconds``.

        A destination that fails or hangs is left alone for a while, as one of HTTP is.

        Args:
            host: Whom the certificate has to name.
            port: Mostly 6514 (RFC 5425).
            messages: By :func:`syslog_message`; they are framed here.
            tenant_id: Whose they are; None: the platform's.
            public_only: Whether the platform's own network is refused.
            ca_certificate: The authority to trust, PEM; None: the system's.
            timeout_seconds: For everything.

        Raises:
            NotAllowedError, UnreachableError: As ``connect``; or they were not taken, of which
                some may have been read.
        """
        ends = asyncio.get_running_loop().time() + timeout_seconds
        context = tls_context() if ca_certificate is None else trusting(ca_certificate)

        async def send() -> None:
            connection = await self.connect(
                host,
                port,
                tenant_id=tenant_id,
                public_only=public_only,
                timeout_seconds=timeout_seconds,
            )
            try:
                async with asyncio.timeout_at(ends):
                    await send_syslog(connection, host, context, messages)
            except TimeoutError as error:
                raise UnreachableError(_explain(error)) from error
            finally:
                connection.close()

        if tenant_id is None:
            await send()
            return
        with self._breaker.guard(tenant_id, f"syslog://{host}:{port}"):
            await send()

    async def request(
        self,
        method: str,
        url: str,
        *,
        tenant_id: str | None,
        public_only: bool,
        headers: Mapping[str, str] | None = None,
        content: bytes = b"",
        timeout_seconds: float = 10.0,
        max_bytes: int = 2**20,
        redirects: int = 0,
    ) -> HttpAnswer:
        """Ask once and read the whole answer, both within ``timeout_seconds`` and ``max_bytes``.

        Follows up to ``redirects``, each of which is judged like the first address; headers other
        than ``Authorization`` go to wherever they lead. Nothing is remembered between calls but
        open connections, of this tenant alone.

        Raises:
            NotAllowedError: As ``look_up``, also of a redirect; or it is no address of http(s).
            UnreachableError: As ``connect``; or no whole answer in time or in bounds.
        """
        deadline = asyncio.get_running_loop().time() + timeout_seconds
        transport = self._transport(tenant_id, public_only=public_only)
        transport.users += 1
        try:
            async with httpx.AsyncClient(
                transport=Borrowed(transport),
                timeout=timeout_seconds,
                trust_env=False,
                # An answer that unpacks to a thousand times its size has no bound.
                headers={"accept-encoding": "identity"},
            ) as client:
                following: httpx.Request | None = client.build_request(
                    method, url, headers=headers, content=content
                )
                for _ in range(redirects + 1):
                    assert following is not None  # noqa: S101 - the loop ends when it is
                    answer, body = await self._ask(
                        client, following, tenant_id, deadline=deadline, max_bytes=max_bytes
                    )
                    following = answer.next_request
                    if following is None or not redirects:
                        said = answer.headers
                        return HttpAnswer(str(answer.url), answer.status_code, said, body)
        except httpx.InvalidURL:
            raise NotAllowedError("This is no address of http or https") from None
        finally:
            transport.users -= 1
            await self._close_surplus()
        raise UnreachableError(f"{url}: more than {redirects} redirects")

    async def _ask(
        self,
        client: httpx.AsyncClient,
        request: httpx.Request,
        tenant_id: str | None,
        *,
        deadline: float,
        max_bytes: int,
    ) -> tuple[httpx.Response, bytes]:
        """One step of a request that may be redirected, in its tenant's turn."""
        if tenant_id is None:
            return await ask(client, request, deadline=deadline, max_bytes=max_bytes)
        destination = destination_of(request.url)
        async with AsyncExitStack() as stack:
            try:
                async with asyncio.timeout_at(deadline):
                    # A destination that hangs must leave the tenant room for the others.
                    holder = (tenant_id, destination)
                    await stack.enter_async_context(self._destinations.hold(holder))
                    await stack.enter_async_context(self._requests.hold(tenant_id))
            except TimeoutError:
                raise UnreachableError(
                    f"{destination}: earlier requests of this tenant took all the time"
                ) from None
            with self._breaker.guard(tenant_id, destination):
                return await ask(client, request, deadline=deadline, max_bytes=max_bytes)

    def _transport(self, tenant_id: str | None, *, public_only: bool) -> TenantTransport:
        key = (tenant_id, public_only)
        transport = self._transports.get(key)
        if transport is None:

            async def look_up(host: str) -> tuple[str, ...]:
                return await self.look_up(host, tenant_id=tenant_id, public_only=public_only)

            transport = self._transports[key] = TenantTransport(look_up, self._connections)
        self._transports.move_to_end(key)
        return transport

    async def _close_surplus(self) -> None:
        """Close the connections of whoever asked longest ago and is not asking now."""
        while len(self._transports) > _MAX_TRANSPORTS:
            idle = next((key for key, one in self._transports.items() if not one.users), None)
            if idle is None:
                return
            await self._transports.pop(idle).aclose()

    async def aclose(self) -> None:
        """Close every kept connection. Idempotent."""
        while self._transports:
            _, transport = self._transports.popitem()
            await transport.aclose()


async def _connect_to(address: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    connection = socket.socket(family, socket.SOCK_STREAM)
    try:
        connection.setblocking(False)
        await asyncio.get_running_loop().sock_connect(connection, (address, port))
    except BaseException:
        connection.close()
        raise
    return connection


def _explain(error: OSError) -> str:
    if isinstance(error, TimeoutError):
        return "timed out"
    # Not its own words: those of some event loops name the address, which may be nobody's business.
    return os.strerror(error.errno) if error.errno else type(error).__name__
