"""What a handler may ask for: its manager, a database, the caller's scope.

All are coroutines although none waits: the framework sends plain functions to a thread each.
"""

from typing import Annotated, Any, TypeVar, cast
from uuid import UUID

from fastapi import Depends, Path, Query, Request
from pydantic import AfterValidator, Field

from backend.core.context import NO_RUN, Errand, Principal, Scope, SystemScope
from backend.core.database import Database
from backend.core.errors import ForbiddenError, UnauthenticatedError
from backend.core.ids import PLATFORM_TENANT

T = TypeVar("T")


def manager_of(kind: type[T]) -> Any:
    """Inject the application's instance of ``kind``."""

    async def get(request: Request) -> T:
        return cast("T", request.app.state.managers[kind])

    return Depends(get)


async def _caller(request: Request) -> Principal:
    principal: Principal | None = request.scope.get("principal")
    if principal is None:
        raise UnauthenticatedError(headers={"WWW-Authenticate": "Bearer"})
    return principal


Caller = Annotated[Principal, Depends(_caller)]


def lacks(permission: str) -> ForbiddenError:
    """The refusal of a caller without the permission: the challenge of RFC 6750, section 3.1."""
    return ForbiddenError(
        f"This needs the permission {permission}",
        headers={"WWW-Authenticate": f'Bearer error="insufficient_scope", scope="{permission}"'},
        permission=permission,
    )


class LogInTooOldError(UnauthenticatedError):
    """The act is a dangerous one, and the person's log-in is not a recent one."""

    code, title = "log_in_too_old", "Log in again to do this"


def too_old(max_age_seconds: int) -> LogInTooOldError:
    """The refusal of a log-in that is too old for the act: the challenge of RFC 9470."""
    return LogInTooOldError(
        f"This needs a log-in of the last {max_age_seconds} s",
        headers={
            "WWW-Authenticate": (
                'Bearer error="insufficient_user_authentication", '
                'error_description="A more recent log-in is needed", '
                f'max_age="{max_age_seconds}"'
            )
        },
        max_age=max_age_seconds,
    )


def requires(
    permission: str, *, errand: Errand | None = None, fresh: bool = False, counted: bool = True
) -> Any:
    """The caller's scope, once the caller is known to hold ``permission``.

    Args:
        permission: ``noun:verb``.
        errand: Gives a system errand's scope instead, for acts on tables that belong to no tenant.
            Unless it is of the platform it speaks for the caller's tenant, and its manager
            confines each statement by hand.
        fresh: The act is dangerous: of people the pipeline asks for a recent log-in, by the
            head of the request. Programs have none and are not asked.
        counted: Whether the request is one of those that a tenant has so many of.
    """

    async def check(request: Request, principal: Caller) -> Scope | SystemScope:
        # The pipeline has asked this already, before the body; a second line costs nothing.
        if permission not in principal.permissions:
            raise lacks(permission)
        request.scope["permission"] = permission
        who = {
            "actor": principal.subject,
            "tenant_id": PLATFORM_TENANT if errand and errand.of_platform else principal.tenant_id,
            "request_id": request.scope.get("request_id", ""),
            "traceparent": request.scope.get("traceparent", ""),
            "run": request.scope.get("run", NO_RUN),
        }
        if errand is None:
            return Scope(**who)
        return SystemScope(errand, **who, along=request.app.state.along)

    check.permission = permission  # type: ignore[attr-defined]
    check.fresh = fresh  # type: ignore[attr-defined]
    check.counted = counted  # type: ignore[attr-defined]
    return Depends(check)


def personal(errand: Errand, *, fresh: bool = False) -> Any:
    """The scope of an errand on what is the caller's own, who must be a person.

    Args:
        errand: Of the platform: people belong to no tenant.
        fresh: As :func:`requires` has it.
    """

    async def check(request: Request, principal: Caller) -> SystemScope:
        if principal.kind != "user":
            raise ForbiddenError("Only a person has this")
        return SystemScope(
            errand,
            actor=principal.subject,
            request_id=request.scope.get("request_id", ""),
            traceparent=request.scope.get("traceparent", ""),
            run=request.scope.get("run", NO_RUN),
            along=request.app.state.along,
        )

    check.fresh = fresh  # type: ignore[attr-defined]
    return Depends(check)


async def _database(request: Request) -> Database:
    return cast("Database", request.app.state.database)


Db = Annotated[Database, Depends(_database)]


def canonical_id(text: str) -> str:
    """A UUID's canonical text; ValueError (so 422) when it is none."""
    return str(UUID(text))


IdPath = Annotated[
    str,
    Path(description="UUIDv7", json_schema_extra={"format": "uuid"}),
    AfterValidator(canonical_id),
]

IdQuery = Annotated[
    Annotated[str, Field(json_schema_extra={"format": "uuid"}), AfterValidator(canonical_id)]
    | None,
    Query(description="UUIDv7"),
]
