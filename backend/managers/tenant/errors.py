"""What can go wrong with tenants and their members, as a caller sees it."""

from backend.core.errors import ConflictError, ForbiddenError, NotFoundError


class TenantNotFoundError(NotFoundError):
    """No such tenant, or not the caller's."""

    code, title = "tenant.not_found", "No such tenant"


class SlugTakenError(ConflictError):
    """Another tenant has this slug."""

    code, title = "tenant.slug_taken", "The slug is taken"


class MemberNotFoundError(NotFoundError):
    """The user is not a member of this tenant."""

    code, title = "tenant.member_not_found", "No such member"


class MemberExistsError(ConflictError):
    """The user is a member already."""

    code, title = "tenant.member_exists", "Already a member"


class LoginExistsError(ConflictError):
    """The e-mail has a log-in already, and its password is known to whoever made it."""

    code, title = "tenant.login_exists", "This e-mail has a log-in already"


class LastOwnerError(ConflictError):
    """A tenant keeps at least one owner."""

    code, title = "tenant.last_owner", "The last owner cannot leave"


class RoleTooHighError(ForbiddenError):
    """Nobody grants, or takes away, permissions they lack."""

    code, title = "tenant.role_too_high", "This role has permissions you lack"
