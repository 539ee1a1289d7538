"""What can go wrong with tenants and their members, as a caller sees it."""

from backend.core.errors import (
    ConflictError,
    ForbiddenError,
    InvalidInputError,
    NotFoundError,
    PreconditionError,
    RateLimitedError,
)


class TenantNotFoundError(NotFoundError):
    """No such tenant, or not the caller's."""

    code, title = "tenant.not_found", "No such tenant"


class TenantSuspendedError(ForbiddenError):
    """The tenant exists and is not active; only for whoever has proven that they belong to it."""

    code, title = "tenant.suspended", "The tenant is suspended"

    def again(self) -> "TenantSuspendedError":
        """The same, to be raised once more."""
        return TenantSuspendedError(self.detail, **self.extra)


class TenantStateError(ConflictError):
    """The tenant is not in a state that allows it."""

    code, title = "tenant.state", "The tenant's state does not allow it"


class TenantNeededError(ConflictError):
    """The platform's own tenant, or the one that the caller acts through, has to stay."""

    code, title = "tenant.needed", "This tenant cannot be suspended or deleted"


class ConfirmationError(InvalidInputError):
    """What is typed to confirm is not the tenant's slug."""

    code, title = "tenant.confirmation", "The confirmation is not the tenant's slug"


class PlanNotFoundError(NotFoundError):
    """No plan of this name."""

    code, title = "tenant.plan_not_found", "No such plan"


class PlanInUseError(ConflictError):
    """A tenant has the plan."""

    code, title = "tenant.plan_in_use", "A tenant has this plan"


class PlanBuiltInError(ConflictError):
    """The plan without limits stays as it is."""

    code, title = "tenant.plan_built_in", "The built-in plan cannot be changed"


class QuotaReachedError(RateLimitedError):
    """The tenant has used what its quota allows for this day or month."""

    code, title = "tenant.quota_reached", "A quota of the tenant is reached"


class StockReachedError(ConflictError):
    """The tenant has as much of something as its quota allows."""

    code, title = "tenant.stock_reached", "The tenant has as much of it as its quota allows"


class SpanTooLongError(InvalidInputError):
    """The days asked for are more than are kept, or end before they begin."""

    code, title = "tenant.span", "These are not days that are kept"


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


class OwnAccountError(ConflictError):
    """Nobody locks themselves out."""

    code, title = "tenant.own_account", "Nobody disables their own account"


class RoleTooHighError(ForbiddenError):
    """Nobody grants, or takes away, permissions they lack."""

    code, title = "tenant.role_too_high", "This role has permissions you lack"


class RoleNotFoundError(NotFoundError):
    """Neither a built-in role nor one of this tenant's own."""

    code, title = "tenant.role_not_found", "No such role"


class RoleUnknownError(InvalidInputError):
    """What is to be handed out is no role of this tenant."""

    code, title = "tenant.role_unknown", "There is no such role"


class RoleBuiltInError(ConflictError):
    """The built-in roles are the same everywhere."""

    code, title = "tenant.role_built_in", "A built-in role cannot be changed"


class RoleChangedError(PreconditionError):
    """If-Match names a version of the role that is no longer current."""

    code, title = "tenant.role_changed", "The role has changed meanwhile"


class RoleHeldError(ConflictError):
    """Members, clients or keys hold the role."""

    code, title = "tenant.role_held", "Somebody holds this role"


class TooManyRolesError(ConflictError):
    """The tenant has as many roles of its own as it may have."""

    code, title = "tenant.too_many_roles", "The tenant has too many roles"


class PermissionUnknownError(InvalidInputError):
    """No room declares the permission, or it is none of a tenant's."""

    code, title = "tenant.permission_unknown", "There is no such permission for a role"


class LastAdministratorError(ConflictError):
    """The platform keeps at least one administrator."""

    code, title = "tenant.last_administrator", "The last administrator cannot leave"
