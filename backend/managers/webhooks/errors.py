"""What webhooks refuse."""

from backend.core.errors import (
    ConflictError,
    ForbiddenError,
    InvalidInputError,
    NotFoundError,
    PreconditionError,
)


class WebhookNotFoundError(NotFoundError):
    """No such one in this tenant."""

    code, title = "webhooks.not_found", "There is no such webhook"


class WebhookExistsError(ConflictError):
    """The tenant has one of this name."""

    code, title = "webhooks.exists", "There is a webhook of this name"


class WebhookChangedError(PreconditionError):
    """Somebody changed it meanwhile."""

    code, title = "webhooks.changed", "The webhook was changed meanwhile"


class WebhookInvalidError(InvalidInputError):
    """It leads nowhere, or tells of nothing."""

    code, title = "webhooks.invalid", "The webhook leads nowhere or tells of nothing"


class WebhookForbiddenError(ForbiddenError):
    """It tells of what whoever asks may not read."""

    code, title = "webhooks.forbidden", "The webhook tells of events that you may not read"


class TooManyWebhooksError(ConflictError):
    """The tenant has as many as it may."""

    code, title = "webhooks.too_many", "There are too many webhooks"


class DeliveryNotFoundError(NotFoundError):
    """No such one of this webhook."""

    code, title = "webhooks.delivery_not_found", "There is no such delivery"
