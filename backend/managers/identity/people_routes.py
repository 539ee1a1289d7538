"""HTTP face of people: invitations, one's own account, everybody. Parse, call, shape; no rules."""

from typing import Annotated, Final

from fastapi import APIRouter, Depends, Query, Request, Response

from backend.core.context import Scope, SystemScope
from backend.core.ids import PLATFORM_TENANT
from backend.core.room import PLATFORM_READ, PLATFORM_WRITE
from backend.http.deps import Caller, Db, IdPath, manager_of, requires
from backend.http.pagination import Page, PageQuery, page_of
from backend.http.reply import SHOWN_ONCE, leads_to, problems, reply
from backend.http.schemas import view
from backend.managers.audit import AuditManager
from backend.managers.identity._forms import peer_of
from backend.managers.identity.errands import ACCOUNT, INVITE, USERS
from backend.managers.identity.errors import (
    DomainEnforcedError,
    InvitationClosedError,
    InvitationExistsError,
    InvitationNotFoundError,
    PasswordWrongError,
    PersonOnlyError,
    SessionNotFoundError,
    TooManyFailuresError,
    WeakPasswordError,
)
from backend.managers.identity.manager import IdentityManager
from backend.managers.identity.schemas import (
    InvitationCreate,
    InvitationLinkOut,
    InvitationOut,
    PasswordPut,
    ProfileOut,
    ProfilePut,
    SessionOut,
    SignIn,
    SignInOut,
    UserDetailOut,
    UserOut,
)
from backend.managers.tenant import (
    MEMBER_READ,
    MEMBER_WRITE,
    LastAdministratorError,
    LastOwnerError,
    MemberExistsError,
    MemberNotFoundError,
    OwnAccountError,
    RoleTooHighError,
    TenantManager,
)

people = APIRouter(prefix="/api/v1")
Identity = Annotated[IdentityManager, manager_of(IdentityManager)]
Tenants = Annotated[TenantManager, manager_of(TenantManager)]
PlatformReader = Annotated[SystemScope, requires(PLATFORM_READ, errand=USERS)]
PlatformWriter = Annotated[SystemScope, requires(PLATFORM_WRITE, errand=USERS)]
Disabler = Annotated[SystemScope, requires(PLATFORM_WRITE, errand=USERS, fresh=True)]
MemberReader = Annotated[SystemScope, requires(MEMBER_READ, errand=INVITE)]
MemberWriter = Annotated[SystemScope, requires(MEMBER_WRITE, errand=INVITE)]
_INVITATION: Final = {"invitation_id": "$response.body#/id"}


@people.get("/invitations", tags=["members"])
async def list_invitations(
    scope: MemberReader, identity: Identity, db: Db, page: PageQuery
) -> Page[InvitationOut]:
    """List the tenant's invitations, newest first, for 90 days after they ended."""
    async with db.read(scope) as tx:
        rows = await identity.invitations.list(tx, limit=page.limit, before_id=page.before_id)
    return page_of(InvitationOut, rows, page)


@people.post(
    "/invitations",
    tags=["members"],
    status_code=201,
    response_model=InvitationLinkOut,
    responses={
        201: leads_to(revoke_invitation=_INVITATION, resend_invitation=_INVITATION),
        **problems(MemberExistsError, InvitationExistsError, RoleTooHighError, DomainEnforcedError),
    },
)
async def create_invitation(
    request: Request,
    body: InvitationCreate,
    scope: MemberWriter,
    caller: Caller,
    identity: Identity,
    db: Db,
) -> Response:
    """Invite a person by e-mail; they become a member when they accept."""
    await identity.invitations.look_at(body.email)
    async with db.transaction(scope) as tx:
        made, link = await identity.invitations.create(
            tx, email=body.email, name=body.name or "", role=body.role, granter=caller.permissions
        )
        answer = view(InvitationLinkOut, made, link=link)
        return reply(request, tx, answer, status=201, headers=SHOWN_ONCE)


@people.post(
    "/invitations/{invitation_id}/resend",
    tags=["members"],
    response_model=InvitationLinkOut,
    responses=problems(
        InvitationNotFoundError,
        InvitationClosedError,
        InvitationExistsError,
        RoleTooHighError,
        DomainEnforcedError,
    ),
)
async def resend_invitation(
    request: Request,
    invitation_id: IdPath,
    scope: MemberWriter,
    caller: Caller,
    identity: Identity,
    db: Db,
) -> Response:
    """Give an invitation a new link and its time again; the old link is void."""
    async with db.read(scope) as looked:
        invited = await identity.invitations.get(looked, invitation_id)
    await identity.invitations.look_at(invited.email)
    async with db.transaction(scope) as tx:
        made, link = await identity.invitations.resend(
            tx, invitation_id, granter=caller.permissions
        )
        return reply(request, tx, view(InvitationLinkOut, made, link=link), headers=SHOWN_ONCE)


@people.delete(
    "/invitations/{invitation_id}",
    tags=["members"],
    status_code=204,
    responses=problems(InvitationNotFoundError, InvitationClosedError, RoleTooHighError),
)
async def revoke_invitation(
    invitation_id: IdPath, scope: MemberWriter, caller: Caller, identity: Identity, db: Db
) -> None:
    """Take an invitation back; its link is void at once."""
    async with db.transaction(scope) as tx:
        await identity.invitations.revoke(tx, invitation_id, remover=caller.permissions)


# --- one's own account ----------------------------------------------------------------------------


async def _own(request: Request, caller: Caller) -> SystemScope:
    """The scope of a person for their own account: programs have none."""
    if caller.kind != "user":
        raise PersonOnlyError
    return SystemScope(
        ACCOUNT, actor=caller.subject, request_id=request.scope.get("request_id", "")
    )


Own = Annotated[SystemScope, Depends(_own)]


def _id_of(scope: SystemScope) -> str:
    return scope.actor.removeprefix("user:")


@people.get("/me/profile", tags=["me"], responses=problems(PersonOnlyError))
async def get_profile(scope: Own, tenants: Tenants, db: Db) -> ProfileOut:
    """Show the caller's own account."""
    async with db.read(scope) as tx:
        return view(ProfileOut, await tenants.get_user(tx, _id_of(scope)))


@people.put("/me/profile", tags=["me"], responses=problems(PersonOnlyError))
async def put_profile(body: ProfilePut, scope: Own, tenants: Tenants, db: Db) -> ProfileOut:
    """Change the caller's own name."""
    async with db.transaction(scope) as tx:
        return view(ProfileOut, await tenants.rename_user(tx, _id_of(scope), body.name))


@people.put(
    "/me/password",
    tags=["me"],
    status_code=204,
    responses=problems(
        PersonOnlyError, PasswordWrongError, WeakPasswordError, TooManyFailuresError
    ),
)
async def change_password(
    request: Request, body: PasswordPut, scope: Own, caller: Caller, identity: Identity
) -> None:
    """Change the caller's own password; all their other log-ins end."""
    await identity.accounts.change_password(
        _id_of(scope),
        session_id=caller.session_id,
        old=body.old_password.get_secret_value(),
        new=body.new_password.get_secret_value(),
        peer=peer_of(request),
    )


@people.get("/me/sessions", tags=["me"], responses=problems(PersonOnlyError))
async def list_sessions(scope: Own, caller: Caller, identity: Identity, db: Db) -> Page[SessionOut]:
    """List where the caller is logged in, newest first."""
    async with db.read(scope) as tx:
        found = await identity.accounts.list_sessions(tx, _id_of(scope))
    return Page[SessionOut](
        items=[view(SessionOut, one, current=one.id == caller.session_id) for one in found],
        next_cursor=None,
    )


@people.delete("/me/sessions", tags=["me"], status_code=204, responses=problems(PersonOnlyError))
async def end_other_sessions(scope: Own, caller: Caller, identity: Identity, db: Db) -> None:
    """End all log-ins of the caller but this one; their tokens stop working at once."""
    async with db.transaction(scope) as tx:
        await identity.accounts.end_other_sessions(tx, _id_of(scope), caller.session_id)


@people.delete(
    "/me/sessions/{session_id}",
    tags=["me"],
    status_code=204,
    responses=problems(PersonOnlyError, SessionNotFoundError),
)
async def end_session(session_id: IdPath, scope: Own, identity: Identity, db: Db) -> None:
    """End one log-in of the caller; its tokens stop working at once."""
    async with db.transaction(scope) as tx:
        await identity.accounts.end_session(tx, _id_of(scope), session_id)


@people.get("/me/sign-ins", tags=["me"], responses=problems(PersonOnlyError))
async def list_sign_ins(
    scope: Own, audit: Annotated[AuditManager, manager_of(AuditManager)], db: Db, page: PageQuery
) -> Page[SignInOut]:
    """List log-ins to the caller's account, and what failed, newest first."""
    async with db.read(Scope(scope.actor, PLATFORM_TENANT)) as tx:
        rows = await audit.list_records(
            tx, limit=page.limit, before_id=page.before_id, action="login.*", target=scope.actor
        )
    return page_of(SignInOut, [SignIn.of(row) for row in rows], page)


# --- everybody, for the platform's administrators -------------------------------------------------


@people.get("/platform/users", tags=["platform"])
async def list_users(
    scope: PlatformReader,
    tenants: Tenants,
    db: Db,
    page: PageQuery,
    q: Annotated[
        str | None,
        Query(min_length=1, max_length=254, description="How an e-mail begins, or part of a name"),
    ] = None,
) -> Page[UserOut]:
    """List everybody who logs in here, newest first."""
    async with db.read(scope) as tx:
        rows = await tenants.people.list(tx, limit=page.limit, before_id=page.before_id, q=q)
    return page_of(UserOut, rows, page)


@people.get("/platform/users/{user_id}", tags=["platform"], responses=problems(MemberNotFoundError))
async def get_user(
    user_id: IdPath, scope: PlatformReader, tenants: Tenants, db: Db
) -> UserDetailOut:
    """Get one person, with the tenants they belong to."""
    async with db.read(scope) as tx:
        return view(UserDetailOut, await tenants.people.get(tx, user_id))


@people.post(
    "/platform/users/{user_id}/disable",
    tags=["platform"],
    response_model=UserDetailOut,
    responses=problems(
        MemberNotFoundError, OwnAccountError, LastOwnerError, LastAdministratorError
    ),
)
async def disable_user(
    request: Request,
    user_id: IdPath,
    scope: Disabler,
    tenants: Tenants,
    identity: Identity,
    db: Db,
) -> Response:
    """Keep a person out of everything; their log-ins and tokens end at once."""
    async with db.transaction(scope) as tx:
        await identity.accounts.disable(tx, user_id)
        return reply(request, tx, view(UserDetailOut, await tenants.people.get(tx, user_id)))


@people.post(
    "/platform/users/{user_id}/enable",
    tags=["platform"],
    response_model=UserDetailOut,
    responses=problems(MemberNotFoundError),
)
async def enable_user(
    request: Request, user_id: IdPath, scope: PlatformWriter, tenants: Tenants, db: Db
) -> Response:
    """Let a person log in again."""
    async with db.transaction(scope) as tx:
        await tenants.people.enable(tx, user_id)
        return reply(request, tx, view(UserDetailOut, await tenants.people.get(tx, user_id)))
