"""What can go wrong when somebody is to be forgotten, as a caller sees it."""

from backend.core.errors import ConflictError, InvalidInputError, NotFoundError


class SubjectInUseError(ConflictError):
    """Something goes on that needs to know who the person is."""

    code, title = "compliance.subject_in_use", "The person cannot be erased yet"


class SubjectUnclearError(InvalidInputError):
    """Neither a person's id nor an address was given."""

    code, title = "compliance.subject_unclear", "Whom? Give a user's id, an address, or both"


class ErasureNotFoundError(NotFoundError):
    """No such erasure in this tenant."""

    code, title = "compliance.erasure_not_found", "No such erasure"
