"""What can go wrong in sending e-mail, one class per public problem code."""

from typing import ClassVar

from backend.core.errors import (
    InvalidInputError,
    NotFoundError,
    PreconditionError,
    TooLargeError,
    UnavailableError,
)


class InvalidAddressError(InvalidInputError):
    """A mailbox we would not dare to put on the wire."""

    code: ClassVar[str] = "email.invalid_address"
    title: ClassVar[str] = "The e-mail address is not valid"


class InvalidHeaderError(InvalidInputError):
    """A header, subject or attachment name that could change the meaning of the message."""

    code: ClassVar[str] = "email.invalid_header"
    title: ClassVar[str] = "A header of the message is not valid"


class TemplateInvalidError(InvalidInputError):
    """The template itself is wrong, forbidden or too expensive; other variables cannot help."""

    code: ClassVar[str] = "email.template_invalid"
    title: ClassVar[str] = "The template is not valid"


class TemplateVariablesError(InvalidInputError):
    """The template is sound but cannot be rendered with these variables."""

    code: ClassVar[str] = "email.template_variables"
    title: ClassVar[str] = "The template's variables are not valid"


class TemplatesTooLargeError(TooLargeError):
    """The tenant's templates together exceed what one tenant may keep."""

    code: ClassVar[str] = "email.templates_too_large"
    title: ClassVar[str] = "The templates are too large together"


class TooManyRecipientsError(InvalidInputError):
    """More distinct recipients than one message, or one request, may have."""

    code: ClassVar[str] = "email.too_many_recipients"
    title: ClassVar[str] = "The message has too many recipients"


class AttachmentsTooLargeError(TooLargeError):
    """The attachments together exceed the limit, counted before encoding."""

    code: ClassVar[str] = "email.attachments_too_large"
    title: ClassVar[str] = "The attachments are too large"


class RelayUnavailableError(UnavailableError):
    """The SMTP relay cannot be reached, trusted or logged in to."""

    code: ClassVar[str] = "email.relay_unavailable"
    title: ClassVar[str] = "The SMTP relay is not available"


class EmailNotFoundError(NotFoundError):
    """No such message in this tenant."""

    code: ClassVar[str] = "email.not_found"
    title: ClassVar[str] = "No such e-mail"


class TemplateNotFoundError(NotFoundError):
    """No such template in this tenant."""

    code: ClassVar[str] = "email.template_not_found"
    title: ClassVar[str] = "No such template"


class SinkDisabledError(NotFoundError):
    """This installation sends to a real mail server and keeps no copies."""

    code: ClassVar[str] = "email.sink_disabled"
    title: ClassVar[str] = "There is no local mail sink"


class SettingsChangedError(PreconditionError):
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
