"""What can go wrong at the gate, as a caller sees it."""

from backend.core.errors import NotFoundError


class ApiKeyNotFoundError(NotFoundError):
    """No such API key in this tenant."""

    code, title = "gateway.api_key_not_found", "No such API key"
