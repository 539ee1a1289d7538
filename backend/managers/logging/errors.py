"""What can go wrong with logs, as a caller sees it."""

from typing import ClassVar

from backend.core.errors import (
    InvalidInputError,
    NotFoundError,
    PreconditionError,
    RateLimitedError,
    TooLargeError,
    UnavailableError,
)


class LogRecordNotFoundError(NotFoundError):
    """No such line in this tenant."""

    code: ClassVar[str] = "logging.record_not_found"
    title: ClassVar[str] = "No such log record"


class LogBatchTooLargeError(TooLargeError):
    """Unpacked, the batch has more bytes or lines than one may have."""

    code: ClassVar[str] = "logging.batch_too_large"
    title: ClassVar[str] = "The batch of log lines is too large"


class LogBatchDamagedError(InvalidInputError):
    """What says that it is packed cannot be unpacked."""

    code: ClassVar[str] = "logging.batch_damaged"
    title: ClassVar[str] = "The batch of log lines cannot be unpacked"


class LogBudgetError(RateLimitedError):
    """The tenant has sent as much today as one may."""

    code: ClassVar[str] = "logging.budget_used"
    title: ClassVar[str] = "Today's logs are used up"


class LogSearchError(InvalidInputError):
    """What is looked for cannot be."""

    code: ClassVar[str] = "logging.search_invalid"
    title: ClassVar[str] = "The search is not valid"


class LogSettingsInvalidError(InvalidInputError):
    """A rule of the settings cannot be kept."""

    code: ClassVar[str] = "logging.settings_invalid"
    title: ClassVar[str] = "The log settings are not valid"


class LogSettingsChangedError(PreconditionError):
    """The settings have changed since they were read."""

    code: ClassVar[str] = "logging.settings_changed"
    title: ClassVar[str] = "The log settings have changed meanwhile"


class LogExportBehindError(UnavailableError):
    """Lines have waited too long for Elasticsearch."""

    code: ClassVar[str] = "logging.export_behind"
    title: ClassVar[str] = "The export of logs is behind"
