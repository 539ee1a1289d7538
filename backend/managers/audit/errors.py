"""What the audit room refuses."""

from backend.core.errors import ConflictError, InvalidInputError, NotFoundError


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
