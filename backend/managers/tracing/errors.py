"""What can go wrong with traces."""

from backend.core.errors import InvalidInputError, NotFoundError, RateLimitedError


class BacklogFullError(RateLimitedError):
    """The process holds as many of the tenant's spans as it may; soon there is room again."""

    code, title = "tracing.backlog_full", "Too many spans wait to be stored"


class TraceNotFoundError(NotFoundError):
    """No trace of this id was kept."""

    code, title = "tracing.trace_not_found", "No such trace"


class AttributeInvalidError(InvalidInputError):
    """The filter is not written as ``name=value``."""

    code, title = "tracing.invalid_attribute", "The attribute filter is not valid"


class KeptTooLongError(InvalidInputError):
    """Traces would be kept for longer than the operator allows."""

    code, title = "tracing.kept_too_long", "Traces cannot be kept for so long"
