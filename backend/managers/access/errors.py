"""What can go wrong when somebody asks or reviews who may do what, as a caller sees it."""

from backend.core.errors import ConflictError, InvalidInputError, NotFoundError


class HolderNotFoundError(NotFoundError):
    """Nobody of this name is a member, a client or a key of the tenant."""

    code, title = "access.holder_not_found", "No such member, client or key"


class ReviewNotFoundError(NotFoundError):
    """No such review in this tenant."""

    code, title = "access.review_not_found", "No such access review"


class ReviewClosedError(ConflictError):
    """What was decided is evidence."""

    code, title = "access.review_closed", "The access review is closed"


class ReviewUndecidedError(ConflictError):
    """Lines without a decision are no review."""

    code, title = "access.review_undecided", "Some lines are not decided"


class AccessGrownError(ConflictError):
    """Keeping a line would keep what nobody has looked at."""

    code, title = "access.grown", "Somebody may do more than the review says"


class TooManyHoldersError(ConflictError):
    """One review has a bound, and so has what a request looks through."""

    code, title = "access.too_many_holders", "Too many hold something here"


class DueDateInvalidError(InvalidInputError):
    """A review is due in the future."""

    code, title = "access.due_date_invalid", "The due date is over already"
