"""One tenant's HTTP: connections to addresses that were judged, and answers of bounded size."""

import asyncio
import ssl
from collections.abc import Awaitable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final, Protocol

import httpcore
import httpx

from backend.kit.outbound._trust import tls_context
from backend.kit.outbound.errors import NotAllowedError, UnreachableError

_KEPT: Final = 4
_KEPT_SECONDS: Final = 30.0
_MAX_PORT: Final = 65_535


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """What a server said; ``url`` is who said it, after redirects. The body is as it was sent."""

    url: str
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def is_success(self) -> bool:
        """Whether the status is 2xx."""
        return 200 <= self.status < 300

    def retry_after(self, now: datetime) -> float | None:
        """Seconds that the server asks to be left alone (RFC 9110, 10.2.3); None: it does not."""
        written = self.headers.get("retry-after", "").strip()
        if not written:
            return None
        if written.isdecimal():
            return float(written)
        try:
            return (parsedate_to_datetime(written) - now).total_seconds()
        except (TypeError, ValueError):
            return None


class LookUp(Protocol):
    """Finds the addresses of a host that may be connected to."""

    def __call__(self, host: str) -> Awaitable[tuple[str, ...]]:
        """Raise NotAllowedError or UnreachableError when there are none."""


class _JudgedNetwork(httpcore.AsyncNetworkBackend):
    """Connects to the addresses that ``look_up`` gives, and never looks up by itself."""

    def __init__(self, look_up: LookUp) -> None:
        self._look_up = look_up
        self._inner = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the library's signature
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        addresses = await self._look_up(host)
        for address in addresses[:-1]:
            try:
                return await self._inner.connect_tcp(
                    address, port, timeout, local_address, socket_options
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                continue
        return await self._inner.connect_tcp(
            addresses[-1], port, timeout, local_address, socket_options
        )

    async def sleep(self, seconds: float) -> None:
        await self._inner.sleep(seconds)


class TenantTransport(httpx.AsyncHTTPTransport):
    """A tenant's own connections: nobody else's request travels on them."""

    def __init__(self, look_up: LookUp, connections: int) -> None:
        super().__init__(verify=tls_context(), trust_env=False)
        # The library's own pool, but for who connects.
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=tls_context(),
            max_connections=connections,
            max_keepalive_connections=_KEPT,
            keepalive_expiry=_KEPT_SECONDS,
            network_backend=_JudgedNetwork(look_up),
        )
        self.users = 0


class Borrowed(httpx.AsyncBaseTransport):
    """A transport that outlives the client which is closed over it."""

    def __init__(self, transport: TenantTransport) -> None:
        self._transport = transport

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Pass on."""
        return await self._transport.handle_async_request(request)


async def ask(
    client: httpx.AsyncClient, request: httpx.Request, *, deadline: float, max_bytes: int
) -> tuple[httpx.Response, bytes]:
    """Send one request and read its whole answer before the loop's time is ``deadline``.

    Raises:
        NotAllowedError: It is no address of http(s), or it was judged so.
        UnreachableError: The network failed, or there was no whole answer in time or in bounds.
    """
    where = destination_of(request.url)
    if request.url.port is not None and not 0 < request.url.port <= _MAX_PORT:
        # Nobody asks it: what connects would fail with an error of its own kind.
        raise NotAllowedError("This is no address of http or https")
    try:
        async with asyncio.timeout_at(deadline):
            answer = await client.send(request, stream=True)
            try:
                return answer, await _read(answer, where, max_bytes)
            finally:
                await answer.aclose()
    except (TimeoutError, httpx.TimeoutException):
        raise UnreachableError(f"{where}: no answer in time") from None
    except httpx.UnsupportedProtocol:
        raise NotAllowedError("This is no address of http or https") from None
    except httpx.HTTPError as exc:
        raise UnreachableError(f"{where}: {_explain(exc)}") from exc


def destination_of(url: httpx.URL) -> str:
    """``host:port`` of an address."""
    return f"{url.host}:{url.port or (443 if url.scheme == 'https' else 80)}"


async def _read(answer: httpx.Response, where: str, most: int) -> bytes:
    body = bytearray()
    async for chunk in answer.aiter_raw():
        body += chunk
        if len(body) > most:
            raise UnreachableError(f"{where}: an answer of more than {most} bytes")
    return bytes(body)


def _explain(error: httpx.HTTPError) -> str:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"its certificate is not trusted ({cause.verify_message})"
        cause = cause.__cause__ or cause.__context__
    if isinstance(error, httpx.ConnectError):
        return "nobody takes the connection"
    return "the connection was lost, or what came is no HTTP"
