"""The error families; a manager subclasses one family per public problem.

Every failure leaves the process as RFC 9457 problem details built from these three class
attributes. Codes are unique across the system and documented in ``docs/problems.md``.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar, Self


class AppError(Exception):
    """A failure we foresaw. Anything else that escapes is a bug and becomes a bare 500.

    ``detail`` reaches the caller, so it never quotes a library's exception or a secret.
    """

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal"
    title: ClassVar[str] = "Internal error"
    registry: ClassVar[dict[str, type["AppError"]]] = {}

    def __init__(
        self, detail: str = "", *, headers: Mapping[str, str] | None = None, **extra: Any
    ) -> None:
        super().__init__(detail or self.title)
        self.detail = detail
        self.headers = dict(headers or {})
        self.extra = extra
        self.place: tuple[int | str, ...] = ()

    def at(self, *place: int | str) -> Self:
        """Say where in the request's body it is; told from the inside out, as the error rises."""
        self.place = (*place, *self.place)
        return self

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        # One code, one meaning: a subclass that only specialises behaviour may keep its parent's.
        known = AppError.registry.setdefault(cls.code, cls)
        if known is not cls and not issubclass(cls, known):
            if (known.__module__, known.__qualname__) != (cls.__module__, cls.__qualname__):
                msg = f"{cls.__qualname__} reuses code {cls.code!r} of {known.__qualname__}"
                raise TypeError(msg)
            AppError.registry[cls.code] = cls


@contextmanager
def placed(*place: int | str) -> Iterator[None]:
    """What fails inside is about this part of the body: :meth:`AppError.at`."""
    try:
        yield
    except AppError as exc:
        exc.at(*place)
        raise


class MalformedError(AppError):
    """The bytes are not what their content type claims."""

    status, code, title = 400, "malformed_json", "The body is not valid JSON"


class InvalidInputError(AppError):
    """Well-formed, but a value is not acceptable."""

    status, code, title = 422, "invalid_input", "The request is not valid"


class UnauthenticatedError(AppError):
    """No credential, or one that does not hold. Never says which (enumeration)."""

    status, code, title = 401, "unauthenticated", "Authentication required"


class ExpiredError(UnauthenticatedError):
    """The credential was ours and its time is over; the caller is told no more than that it fails.

    Its own kind for us: this is how programs find out that they need another token, every ten
    minutes each, and nobody has tried anything.
    """


class ForbiddenError(AppError):
    """Known caller, missing permission."""

    status, code, title = 403, "forbidden", "Not permitted"


class NotFoundError(AppError):
    """Absent, or another tenant's: the caller cannot tell."""

    status, code, title = 404, "not_found", "Not found"


class ConflictError(AppError):
    """The current state does not allow it."""

    status, code, title = 409, "conflict", "Conflict with the current state"


class GoneError(AppError):
    """It was there and will not be again; asking once more is of no use (RFC 9110, 15.5.11)."""

    status, code, title = 410, "gone", "No longer available"


class PreconditionError(AppError):
    """If-Match names a version that is no longer current."""

    status, code, title = 412, "precondition_failed", "The resource has changed meanwhile"


class TooLargeError(AppError):
    """More bytes or items than the documented limit."""

    status, code, title = 413, "too_large", "The request is too large"


class RateLimitedError(AppError):
    """Over the caller's rate; carries Retry-After."""

    status, code, title = 429, "rate_limited", "Too many requests"


class UpstreamError(AppError):
    """A system we depend on answered wrongly."""

    status, code, title = 502, "upstream", "A system behind this one failed"


class UnavailableError(AppError):
    """We cannot serve now; the same request may succeed shortly."""

    status, code, title = 503, "unavailable", "Temporarily unavailable"


class DeadlineError(AppError):
    """A system behind this one did not come to an end in the time that it has."""

    status, code, title = 504, "deadline", "A system behind this one took too long"
