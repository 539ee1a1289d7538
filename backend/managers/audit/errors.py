"""What the audit room refuses, each with its own code."""

from backend.core.errors import (
    ConflictError,
    InvalidInputError,
    NotFoundError,
    UnavailableError,
)


class RangeNeededError(InvalidInputError):
    """What looks into every record looks at a stretch of time, and at no more."""

    code, title = "audit.range_needed", "A range of time is needed"


class ExportNotFoundError(NotFoundError):
    """No such export in this tenant, or its time is over; another tenant's looks the same."""

    code, title = "audit.export_not_found", "No such export"


class ExportNotReadyError(ConflictError):
    """The file is being made, or could not be."""

    code, title = "audit.export_not_ready", "The export is not ready"


class TooManyExportsError(ConflictError):
    """A tenant keeps a few files at a time."""

    code, title = "audit.too_many_exports", "The tenant has too many exports"


class StreamNotFoundError(NotFoundError):
    """The tenant streams its trail nowhere."""

    code, title = "audit.stream_not_found", "No stream is set up"


class StreamInvalidError(InvalidInputError):
    """The target is none of its kind."""

    code, title = "audit.stream_invalid", "The stream cannot go there"


class StreamsFailingError(UnavailableError):
    """Nobody is answered so: the readiness check says it."""

    code, title = "audit.streams_failing", "Streams of the audit trail fail"


class RetentionTooShortError(InvalidInputError):
    """Records are kept for longer than that, whoever asks."""

    code, title = "audit.retention_too_short", "Audit records are kept longer than that"


class CheckpointsWaitingError(UnavailableError):
    """Nobody is answered so: the readiness check says it."""

    code, title = "audit.checkpoints_waiting", "Checkpoints of the audit trail are not handed out"


class RecordNotFoundError(NotFoundError):
    """The tenant has no record of this id in its tree: none at all, or not yet."""

    code, title = "audit.record_not_found", "No such audit record is in the tree"


class CheckpointNotFoundError(NotFoundError):
    """The tenant's tree was not signed at this size."""

    code, title = "audit.checkpoint_not_found", "No such checkpoint"


class VerificationNotFoundError(NotFoundError):
    """No such verification of the tenant's trail."""

    code, title = "audit.verification_not_found", "No such verification"


class TreeSizeInvalidError(InvalidInputError):
    """The tree does not have, or the record is not among, so many leaves."""

    code, title = "audit.tree_size_invalid", "The tree does not have that size"


class CheckpointRefusedError(ConflictError):
    """The trail does not hold, or is empty: nothing of it is signed."""

    code, title = "audit.checkpoint_refused", "The trail cannot be signed"
