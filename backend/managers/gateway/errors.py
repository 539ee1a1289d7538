"""What can go wrong at the gate, as a caller sees it."""

from backend.core.errors import (
    ConflictError,
    InvalidInputError,
    NotFoundError,
    PreconditionError,
)


class ApiKeyNotFoundError(NotFoundError):
    """No such API key in this tenant."""

    code, title = "gateway.api_key_not_found", "No such API key"


class LimitNotFoundError(NotFoundError):
    """No such limit that the caller could see, or change."""

    code, title = "gateway.limit_not_found", "No such limit"


class LimitExistsError(ConflictError):
    """There is a limit for this already: change that one."""

    code, title = "gateway.limit_exists", "There is such a limit already"


class LimitChangedError(PreconditionError):
    """Somebody changed the limit since it was read."""

    code, title = "gateway.limit_changed", "The limit has changed meanwhile"


class LimitInvalidError(InvalidInputError):
    """It limits nothing, or something that there is not."""

    code, title = "gateway.limit_invalid", "The limit is not valid"


class LimitTooWideError(InvalidInputError):
    """A tenant narrows what the platform allows, and does not widen it."""

    code, title = "gateway.limit_too_wide", "The limit is wider than the platform's"
