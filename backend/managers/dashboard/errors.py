"""What the dashboard room refuses, each by its code."""

from backend.core.errors import ConflictError, InvalidInputError, NotFoundError, PreconditionError


class DashboardNotFoundError(NotFoundError):
    """No such dashboard here, or it is somebody else's own: nobody learns which."""

    code, title = "dashboard.not_found", "No such dashboard"


class DashboardVersionNotFoundError(NotFoundError):
    """The dashboard never had this version, or it is too long ago."""

    code, title = "dashboard.version_not_found", "No such version of the dashboard"


class DashboardExistsError(ConflictError):
    """Another dashboard of the same people has this name."""

    code, title = "dashboard.exists", "A dashboard of this name exists"


class DashboardChangedError(PreconditionError):
    """If-Match names a version that is no longer the current one."""

    code, title = "dashboard.changed", "The dashboard was changed meanwhile"


class DashboardInvalidError(InvalidInputError):
    """Its parts do not fit together; the detail says which."""

    code, title = "dashboard.invalid", "The dashboard cannot be drawn so"


class TooManyDashboardsError(ConflictError):
    """The tenant, or the person in it, has as many as are kept."""

    code, title = "dashboard.too_many", "There are as many dashboards as may be"
