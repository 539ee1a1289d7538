"""HTTP face of second factors and of what tenants ask of log-ins: parse, call, shape. No rules."""

from typing import Annotated, Final

from fastapi import APIRouter, Request, Response

from backend.core.context import Scope, SystemScope
from backend.core.errors import InvalidInputError
from backend.core.room import PLATFORM_WRITE
from backend.http.deps import Caller, Db, IdPath, manager_of, personal, requires
from backend.http.reply import IdempotencyKeyReusedError, leads_to, problems, reply
from backend.http.schemas import view
from backend.managers.identity.errands import SECOND_FACTOR
from backend.managers.identity.errors import (
    CodeRefusedError,
    SecondFactorExistsError,
    SecondFactorMissingError,
    SecondFactorNotFoundError,
    TooManyFailuresError,
)
from backend.managers.identity.manager import IdentityManager
from backend.managers.identity.schemas import (
    LoginPolicyOut,
    LoginPolicyPut,
    RecoveryCodesOut,
    SecondFactorOut,
    TotpCode,
    TotpEnrolmentOut,
)
from backend.managers.tenant import MemberNotFoundError

router = APIRouter(prefix="/api/v1")
Identity = Annotated[IdentityManager, manager_of(IdentityManager)]
Own = Annotated[SystemScope, personal(SECOND_FACTOR)]
OwnAndFresh = Annotated[SystemScope, personal(SECOND_FACTOR, fresh=True)]
_POSTED: Final = (InvalidInputError, IdempotencyKeyReusedError)
_SHOWN_ONCE: Final = {"Cache-Control": "no-store"}


@router.get(
    "/me/totp",
    tags=["me"],
    responses={200: leads_to(reset_totp={"user_id": "$response.body#/user_id"})},
)
async def get_totp(caller: Caller, scope: Own, identity: Identity, db: Db) -> SecondFactorOut:
    """Say whether the caller has a second factor, and whether one is required."""
    async with db.read(scope) as tx:
        found, required = await identity.describe_second_factor(tx, caller.user_id)
    return view(SecondFactorOut, found, user_id=caller.user_id, required=required)


@router.post(
    "/me/totp",
    tags=["me"],
    status_code=201,
    response_model=TotpEnrolmentOut,
    responses=problems(*_POSTED, SecondFactorExistsError),
)
async def begin_totp(
    request: Request, caller: Caller, scope: OwnAndFresh, identity: Identity, db: Db
) -> Response:
    """Make a secret for an authenticator app; it counts once a code of it was given."""
    async with db.transaction(scope) as tx:
        made = await identity.begin_second_factor(tx, caller.user_id)
        return reply(request, tx, view(TotpEnrolmentOut, made), status=201, headers=_SHOWN_ONCE)


@router.post(
    "/me/totp/confirm",
    tags=["me"],
    response_model=RecoveryCodesOut,
    responses=problems(
        *_POSTED,
        CodeRefusedError,
        SecondFactorExistsError,
        SecondFactorNotFoundError,
        TooManyFailuresError,
    ),
)
async def confirm_totp(
    request: Request,
    body: TotpCode,
    caller: Caller,
    scope: Own,
    *,
    identity: Identity,
    db: Db,
) -> Response:
    """Have the secret count from now on, by a code of it; the caller's other log-ins end."""
    address = str(request.scope.get("address", ""))
    async with (
        identity.second_factors.attempt(caller.user_id, address),
        db.transaction(scope) as tx,
    ):
        codes = await identity.second_factors.confirm(
            tx, caller.user_id, body.code, session_id=caller.session_id
        )
        return reply(request, tx, RecoveryCodesOut(recovery_codes=codes), headers=_SHOWN_ONCE)


@router.post(
    "/me/totp/recovery-codes",
    tags=["me"],
    response_model=RecoveryCodesOut,
    responses=problems(*_POSTED, SecondFactorNotFoundError),
)
async def renew_recovery_codes(
    request: Request, caller: Caller, scope: OwnAndFresh, identity: Identity, db: Db
) -> Response:
    """Make ten new recovery codes; the old ones are void at once."""
    async with db.transaction(scope) as tx:
        codes = await identity.second_factors.renew_codes(tx, caller.user_id)
        return reply(request, tx, RecoveryCodesOut(recovery_codes=codes), headers=_SHOWN_ONCE)


@router.delete(
    "/me/totp", tags=["me"], status_code=204, responses=problems(SecondFactorNotFoundError)
)
async def remove_totp(caller: Caller, scope: OwnAndFresh, identity: Identity, db: Db) -> None:
    """Do without a second factor; where one is required, the next log-in sets up another."""
    async with db.transaction(scope) as tx:
        await identity.second_factors.remove(tx, caller.user_id)


@router.delete(
    "/platform/users/{user_id}/totp",
    tags=["platform"],
    status_code=204,
    responses=problems(MemberNotFoundError),
)
async def reset_totp(
    user_id: IdPath,
    scope: Annotated[SystemScope, requires(PLATFORM_WRITE, errand=SECOND_FACTOR, fresh=True)],
    identity: Identity,
    db: Db,
) -> None:
    """Take somebody's second factor away who lost it; their log-ins end."""
    async with db.transaction(scope) as tx:
        await identity.reset_second_factor(tx, user_id)


@router.get("/login-policy", tags=["members"])
async def get_login_policy(
    scope: Annotated[Scope, requires("login_policy:read")], identity: Identity, db: Db
) -> LoginPolicyOut:
    """Say what the tenant asks of its people's log-ins."""
    async with db.read(scope) as tx:
        return view(LoginPolicyOut, await identity.policies.get(tx))


@router.put("/login-policy", tags=["members"], responses=problems(SecondFactorMissingError))
async def put_login_policy(
    body: LoginPolicyPut,
    scope: Annotated[Scope, requires("login_policy:write", fresh=True)],
    caller: Caller,
    identity: Identity,
    db: Db,
) -> LoginPolicyOut:
    """Set what the tenant asks of its people's log-ins, from their next token on."""
    async with db.transaction(scope) as tx:
        policy = await identity.policies.put(
            tx, require_second_factor=body.require_second_factor, setter=caller
        )
    return view(LoginPolicyOut, policy)
