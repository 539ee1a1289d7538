"""A client for libraries that bring none but ``requests``: bounded in time and bytes."""

from typing import Any, Final

import requests
from urllib3.exceptions import HTTPError

from backend.core.clock import monotonic
from backend.kit.outbound.errors import UnreachableError

_PIECE_BYTES: Final = 64 * 1024


class RefusedAnswerError(Exception):
    """Another status than 200, with as much of the body as may be read."""

    def __init__(self, status: int, body: bytes) -> None:
        super().__init__(f"status {status}")
        self.status = status
        self.body = body


class SlowAnswerError(UnreachableError):
    """No whole answer in time."""


class LongAnswerError(Exception):
    """More bytes than are read of one answer."""


class BoundedSession(requests.Session):
    """A session of one thread, for a destination that the operator named.

    Follows no redirect, tries nothing twice, and takes neither proxies nor passwords from the
    environment. The whole answer comes within ``seconds`` and has at most ``max_bytes`` bytes
    unpacked. ``last_body`` is what the last answer was made of.

    Every request raises, whatever the library in between makes of it:

    Raises:
        UnreachableError: Nobody there, or the connection broke.
        SlowAnswerError: Not within ``seconds``.
        LongAnswerError: More than ``max_bytes``.
        RefusedAnswerError: Another status than 200.
    """

    def __init__(self, *, seconds: float, max_bytes: int) -> None:
        super().__init__()
        self.trust_env = False
        self.last_body = b""
        self._seconds = seconds
        self._max_bytes = max_bytes

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:
        """Send it; returns an answer that is read whole."""
        until = monotonic() + self._seconds
        kwargs |= {"stream": True, "allow_redirects": False, "timeout": self._seconds}
        try:
            answer = super().send(request, **kwargs)
            with answer:
                body = self._read(answer, until)
        except (requests.exceptions.Timeout, TimeoutError) as exc:
            raise SlowAnswerError("no answer in time") from exc
        except (requests.exceptions.RequestException, HTTPError, OSError) as exc:
            # What urllib3 raises while a body is read is not translated by anybody.
            if "timed out" in str(exc):
                raise SlowAnswerError("no answer in time") from exc
            raise UnreachableError("no connection, or a broken one") from exc
        if answer.status_code != 200:
            raise RefusedAnswerError(answer.status_code, body)
        self.last_body = body
        # The attribute that `content` reads: the body is there already.
        answer._content = body  # noqa: SLF001
        return answer

    def _read(self, answer: requests.Response, until: float) -> bytes:
        body = bytearray()
        # A piece at a time as it comes: `iter_content` waits for whole ones, each byte of which has
        # a time of its own.
        while piece := answer.raw.read1(_PIECE_BYTES, decode_content=True):
            body += piece
            if len(body) > self._max_bytes:
                raise LongAnswerError
            if monotonic() > until:
                raise SlowAnswerError("no whole answer in time")
        return bytes(body)
