"""Why something does not go out."""

from typing import ClassVar

from backend.core.errors import InvalidInputError, UpstreamError


class NotAllowedError(InvalidInputError):
    """A destination of the platform's own network, or none at all."""

    code: ClassVar[str] = "outbound.not_allowed"
    title: ClassVar[str] = "This destination is not allowed"


class UnreachableError(UpstreamError):
    """No such host, nobody there, no answer in time, or too many failures just now."""

    code: ClassVar[str] = "outbound.unreachable"
    title: ClassVar[str] = "The destination cannot be reached"
