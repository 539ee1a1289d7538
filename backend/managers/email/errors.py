"""What can go wrong in sending e-mail, one class per public problem code."""

from typing import ClassVar

from backend.core.errors import (
    ConflictError,
    InvalidInputError,
    NotFoundError,
    PreconditionError,
    TooLargeError,
)


class TemplatesTooLargeError(TooLargeError):
    """The tenant's templates together exceed what one tenant may keep."""

    code: ClassVar[str] = "email.templates_too_large"
    title: ClassVar[str] = "The templates are too large together"


class TooManyRecipientsError(InvalidInputError):
    """More distinct recipients than one message, or one request, may have."""

    code: ClassVar[str] = "email.too_many_recipients"
    title: ClassVar[str] = "The message has too many recipients"


class BusinessKeyConflictError(ConflictError):
    """The key names a message to other people or with another subject.

    ``differs`` says which; ``first_fingerprint`` and ``fingerprint`` tell the two apart.
    """

    code: ClassVar[str] = "email.business_key_conflict"
    title: ClassVar[str] = "The business key belongs to another message"


class EmailNotFoundError(NotFoundError):
    """No such message in this tenant."""

    code: ClassVar[str] = "email.not_found"
    title: ClassVar[str] = "No such e-mail"


class TemplateNotFoundError(NotFoundError):
    """No such template in this tenant."""

    code: ClassVar[str] = "email.template_not_found"
    title: ClassVar[str] = "No such template"


class ContentForgottenError(NotFoundError):
    """The message is known, but what it said is not kept any longer."""

    code: ClassVar[str] = "email.content_forgotten"
    title: ClassVar[str] = "The content is no longer kept"


class RetentionError(InvalidInputError):
    """A tenant asks for longer than the platform keeps, or for content without its message."""

    code: ClassVar[str] = "email.retention_invalid"
    title: ClassVar[str] = "Mail is not kept so long"


class EmailSettingsChangedError(PreconditionError):
    """Somebody else changed the settings since they were read."""

    code: ClassVar[str] = "email.settings_changed"
    title: ClassVar[str] = "The e-mail settings have changed meanwhile"


class TemplateChangedError(PreconditionError):
    """Somebody else changed or deleted the template since it was read."""

    code: ClassVar[str] = "email.template_changed"
    title: ClassVar[str] = "The template has changed meanwhile"


class RelayNotAllowedError(InvalidInputError):
    """A tenant may not make the platform connect to its inner network."""

    code: ClassVar[str] = "email.relay_not_allowed"
    title: ClassVar[str] = "This mail server is not allowed"


class EmailTestRunningError(ConflictError):
    """A tenant tries one of its mail servers at a time: each may hold a connection for a minute."""

    code: ClassVar[str] = "email.test_running"
    title: ClassVar[str] = "Another test of the mail server is running"


class RelayNotFoundError(NotFoundError):
    """No relay of this name in this tenant."""

    code: ClassVar[str] = "email.relay_not_found"
    title: ClassVar[str] = "No such relay"


class RelayUnknownError(InvalidInputError):
    """A message names a relay that the tenant does not have."""

    code: ClassVar[str] = "email.relay_unknown"
    title: ClassVar[str] = "The message names a relay that does not exist"


class RelayChangedError(PreconditionError):
    """Somebody else changed or deleted the relay since it was read."""

    code: ClassVar[str] = "email.relay_changed"
    title: ClassVar[str] = "The relay has changed meanwhile"


class RelayInUseError(ConflictError):
    """Messages that name the relay are not settled."""

    code: ClassVar[str] = "email.relay_in_use"
    title: ClassVar[str] = "Messages are on their way by this relay"


class TooManyRelaysError(ConflictError):
    """The tenant has as many named relays as one may have."""

    code: ClassVar[str] = "email.too_many_relays"
    title: ClassVar[str] = "The tenant has too many relays"


class SenderNotAllowedError(InvalidInputError):
    """A message from an address that the tenant's settings do not name."""

    code: ClassVar[str] = "email.sender_not_allowed"
    title: ClassVar[str] = "The tenant may not send from this address"


class SuppressionNotFoundError(NotFoundError):
    """No such entry on the tenant's list, or none that still holds."""

    code: ClassVar[str] = "email.suppression_not_found"
    title: ClassVar[str] = "No such suppression"


class SuppressionExpiryError(InvalidInputError):
    """An entry that would never hold."""

    code: ClassVar[str] = "email.suppression_expiry_invalid"
    title: ClassVar[str] = "The suppression's expiry is over already"


class SuppressionImportError(InvalidInputError):
    """A file of which some lines cannot be read; ``errors`` says which."""

    code: ClassVar[str] = "email.suppression_import_invalid"
    title: ClassVar[str] = "The file cannot be imported"
