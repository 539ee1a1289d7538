"""HTTP face of secrets: parse, call, shape. No rules here."""

from typing import Annotated, Final, Literal

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import AfterValidator

from backend.core.context import Scope
from backend.core.errors import InvalidInputError
from backend.http.deps import Caller, Db, IdPath, canonical_id, manager_of, requires
from backend.http.etag import IfMatch, etag, expected_version
from backend.http.pagination import NamedPageQuery, Page, PageQuery, page_of
from backend.http.reply import (
    SHOWN_ONCE,
    IdempotencyKeyReusedError,
    leads_to,
    problems,
    reply,
)
from backend.http.schemas import view
from backend.managers.secrets._values import DEFAULT_ENVIRONMENT, Keeping, Secret
from backend.managers.secrets.errors import (
    CasMissingError,
    FolderClosedError,
    GrantNotFoundError,
    IssuerCannotReadError,
    NotAnObjectError,
    ReferenceBrokenError,
    SecretChangedError,
    SecretNotFoundError,
    SecretTokenForeignError,
    SecretTokenNotFoundError,
    SecretTokenSpentError,
    SecretTooLargeError,
    SecretValueError,
    SecretVersionGoneError,
    SecretVersionLostError,
    SecretVersionNotFoundError,
    TooManyGrantsError,
)
from backend.managers.secrets.manager import SecretManager
from backend.managers.secrets.schemas import (
    Environment,
    RedeemedSecretOut,
    SecretDifferenceOut,
    SecretEnvironmentsOut,
    SecretGrantCreate,
    SecretGrantOut,
    SecretOut,
    SecretPatch,
    SecretPath,
    SecretPut,
    SecretTokenCreate,
    SecretTokenOut,
    SecretTokenRedeem,
    SecretTokenSecretOut,
    SecretValueOut,
    SecretVersionOut,
    SecretWrite,
    VersionNumber,
)
from backend.managers.tenant import RoleUnknownError, StockReachedError

router = APIRouter(prefix="/api/v1", tags=["secrets"])
Secrets = Annotated[SecretManager, manager_of(SecretManager)]
Lister = Annotated[Scope, requires("secret:list")]
# Of people a recent log-in is asked for: a console left open shows nobody a password, nor makes
# what a password is given for, nor says of one that was guessed and written that it is the same.
Reader = Annotated[Scope, requires("secret:read", fresh=True)]
Issuer = Annotated[Scope, requires("secret_token:issue", fresh=True)]
Writer = Annotated[Scope, requires("secret:write")]
Destroyer = Annotated[Scope, requires("secret:destroy")]
Revoker = Annotated[Scope, requires("secret_token:issue")]
Redeemer = Annotated[Scope, requires("secret_token:redeem")]
GrantReader = Annotated[Scope, requires("secret_grant:read")]
GrantWriter = Annotated[Scope, requires("secret_grant:write")]
VersionPath = Annotated[VersionNumber, Path(description="Number of the version", examples=[1])]
PathQuery = Annotated[SecretPath, Query(examples=["billing/smtp"])]
EnvironmentQuery = Annotated[Environment, Query(examples=["production"])]
_POSTED: Final = (InvalidInputError, IdempotencyKeyReusedError)
_KNOWN: Final = (FolderClosedError, SecretNotFoundError)
_VERSION: Final = (*_KNOWN, SecretVersionNotFoundError)
_READABLE: Final = (*_VERSION, SecretVersionGoneError)
_RESOLVED: Final = (*_READABLE, ReferenceBrokenError, SecretTooLargeError)
_WRITTEN: Final = (
    *_POSTED,
    SecretValueError,
    SecretTooLargeError,
    SecretChangedError,
    CasMissingError,
    StockReachedError,
)
_ID: Final = {"secret_id": "$response.body#/secret_id"}
_OF_VERSION: Final = {**_ID, "version": "$response.body#/version"}
_SAME_VERSION: Final = {
    "secret_id": "$request.path.secret_id",
    "version": "$request.path.version",
}


@router.get("/secrets")
async def list_secrets(
    scope: Lister,
    caller: Caller,
    secrets: Secrets,
    db: Db,
    page: NamedPageQuery,
    environment: EnvironmentQuery = DEFAULT_ENVIRONMENT,
    folder: Annotated[SecretPath | None, Query(description="Below it, however deep")] = None,
    path: Annotated[
        str | None, Query(max_length=129, description="Exact, or how it begins: billing/s*")
    ] = None,
) -> Page[SecretOut]:
    """List an environment's secrets by path, without values; not those in closed folders."""
    async with db.read(scope) as tx:
        rows = await secrets.reading.list(
            tx,
            environment=environment,
            role=caller.role,
            limit=page.limit,
            after_name=page.after_name,
            folder=folder,
            path=path,
        )
    return page_of(SecretOut, rows, page)


@router.get("/secrets/environments")
async def list_secret_environments(
    scope: Lister, secrets: Secrets, db: Db
) -> SecretEnvironmentsOut:
    """List the environments that hold secrets, the first hundred by name."""
    async with db.read(scope) as tx:
        return SecretEnvironmentsOut(items=[*await secrets.reading.list_environments(tx)])


@router.post(
    "/secrets",
    status_code=201,
    response_model=SecretVersionOut,
    responses={
        201: leads_to(
            get_secret=_ID,
            change_secret=_ID,
            delete_secret=_ID,
            patch_secret=_ID,
            list_secret_versions=_ID,
            delete_secret_version=_OF_VERSION,
            destroy_secret_version=_OF_VERSION,
            compare_secret_versions={
                **_ID,
                "from_version": "$response.body#/version",
                "to_version": "$response.body#/version",
            },
            read_secret={
                "path": "$response.body#/path",
                "environment": "$response.body#/environment",
            },
        ),
        **problems(*_WRITTEN, FolderClosedError),
    },
)
async def write_secret(
    request: Request, body: SecretWrite, scope: Writer, caller: Caller, secrets: Secrets, db: Db
) -> Response:
    """Make a secret, or its next version. The answer does not repeat the value."""
    async with db.transaction(scope) as tx:
        made = await secrets.write(
            tx,
            path=body.path,
            environment=body.environment,
            value=body.value,
            role=caller.role,
            cas=body.cas,
            ttl_seconds=body.ttl_seconds,
        )
        return reply(request, tx, view(SecretVersionOut, made), status=201)


@router.get("/secrets/by-path/value", responses=problems(*_RESOLVED, SecretValueError))
async def read_secret(
    response: Response,
    path: PathQuery,
    scope: Reader,
    caller: Caller,
    secrets: Secrets,
    db: Db,
    environment: EnvironmentQuery = DEFAULT_ENVIRONMENT,
    version: Annotated[
        VersionNumber | None, Query(description="The newest unless one is named")
    ] = None,
    references: Annotated[
        Literal["resolve", "keep"], Query(description="Replace them by what they lead to, or not")
    ] = "resolve",
) -> SecretValueOut:
    """Read a secret's value; the audit trail keeps that it was read, and which version."""
    async with db.transaction(scope) as tx:
        found = await secrets.reading.read(
            tx,
            path=path,
            environment=environment,
            role=caller.role,
            version=version,
            resolve=references == "resolve",
        )
    response.headers.update(SHOWN_ONCE)
    return view(SecretValueOut, found)


# --- execution-bound reads ------------------------------------------------------------------------


@router.get("/secrets/tokens")
async def list_secret_tokens(
    scope: Lister,
    caller: Caller,
    secrets: Secrets,
    db: Db,
    page: PageQuery,
    secret_id: Annotated[
        str | None,
        Query(description="Only of this secret", json_schema_extra={"format": "uuid"}),
        AfterValidator(lambda text: None if text is None else canonical_id(text)),
    ] = None,
) -> Page[SecretTokenOut]:
    """List the tokens to read once, newest first: for whom, until when, used or not.

    Not those of secrets in closed folders.
    """
    async with db.read(scope) as tx:
        rows = await secrets.tokens.list(
            tx,
            role=caller.role,
            limit=page.limit,
            before_id=page.before_id,
            secret_id=secret_id,
        )
    return page_of(SecretTokenOut, rows, page)


@router.post(
    "/secrets/tokens",
    status_code=201,
    response_model=SecretTokenSecretOut,
    responses={
        201: leads_to(
            redeem_secret_token={
                "body.token": "$response.body#/token",
                "body.workflow_id": "$response.body#/workflow_id",
            },
            revoke_secret_token={"token_id": "$response.body#/id"},
        ),
        **problems(*_POSTED, *_READABLE, SecretValueError, IssuerCannotReadError),
    },
)
async def issue_secret_token(
    request: Request,
    body: SecretTokenCreate,
    scope: Issuer,
    caller: Caller,
    secrets: Secrets,
    db: Db,
) -> Response:
    """Let one execution of one workflow read a secret once; the token is shown this once."""
    async with db.transaction(scope) as tx:
        made, token = await secrets.tokens.issue(
            tx,
            path=body.path,
            environment=body.environment,
            role=caller.role,
            may=caller.permissions,
            workflow_id=body.workflow_id,
            execution_id=body.execution_id,
            ttl_seconds=body.ttl_seconds,
            version=body.version,
        )
        return reply(
            request,
            tx,
            view(SecretTokenSecretOut, made, token=token),
            status=201,
            headers=dict(SHOWN_ONCE),
        )


@router.post(
    "/secrets/tokens/redeem",
    response_model=RedeemedSecretOut,
    responses=problems(
        *_POSTED,
        *_RESOLVED,
        SecretTokenNotFoundError,
        SecretTokenForeignError,
        SecretTokenSpentError,
        IssuerCannotReadError,
    ),
)
async def redeem_secret_token(
    request: Request, body: SecretTokenRedeem, scope: Redeemer, secrets: Secrets, db: Db
) -> Response:
    """Give a token's secret to the execution that it is for, once."""
    issuer = await secrets.tokens.find_issuer(db, scope, body.token)
    async with db.transaction(scope) as tx:
        found = await secrets.tokens.redeem(
            tx,
            token=body.token,
            workflow_id=body.workflow_id,
            execution_id=body.execution_id,
            issuer=issuer,
        )
        if found.revealed is not None:
            shown = view(RedeemedSecretOut, found.revealed, secret_withheld=None)
            return reply(request, tx, shown, headers=dict(SHOWN_ONCE))
    # After the commit: that it was refused is kept.
    raise found.refusal or SecretTokenNotFoundError


@router.delete(
    "/secrets/tokens/{token_id}",
    status_code=204,
    responses=problems(SecretTokenNotFoundError, FolderClosedError),
)
async def revoke_secret_token(
    token_id: IdPath, scope: Revoker, caller: Caller, secrets: Secrets, db: Db
) -> None:
    """Forget a token to read once: it is refused from now on."""
    async with db.transaction(scope) as tx:
        await secrets.tokens.revoke(tx, token_id, role=caller.role)


# --- folders --------------------------------------------------------------------------------------


@router.get("/secrets/grants")
async def list_secret_grants(
    scope: GrantReader, secrets: Secrets, db: Db, page: PageQuery
) -> Page[SecretGrantOut]:
    """List which folders are open to which roles, newest first."""
    async with db.read(scope) as tx:
        rows = await secrets.grants.list(tx, limit=page.limit, before_id=page.before_id)
    return page_of(SecretGrantOut, rows, page)


@router.post(
    "/secrets/grants",
    status_code=201,
    response_model=SecretGrantOut,
    responses={
        200: {"model": SecretGrantOut, "description": "The role had one, and has this access now"},
        201: leads_to(remove_secret_grant={"grant_id": "$response.body#/id"}),
        **problems(*_POSTED, SecretValueError, RoleUnknownError, TooManyGrantsError),
    },
)
async def add_secret_grant(
    request: Request, body: SecretGrantCreate, scope: GrantWriter, secrets: Secrets, db: Db
) -> Response:
    """Open a folder to a role; it is closed to every role that has no grant there."""
    async with db.transaction(scope) as tx:
        made, is_new = await secrets.grants.add(
            tx,
            folder=body.folder,
            environment=body.environment,
            role=body.role,
            access=body.access,
        )
        return reply(request, tx, view(SecretGrantOut, made), status=201 if is_new else 200)


@router.delete(
    "/secrets/grants/{grant_id}", status_code=204, responses=problems(GrantNotFoundError)
)
async def remove_secret_grant(
    grant_id: IdPath, scope: GrantWriter, secrets: Secrets, db: Db
) -> None:
    """Take a grant away; with the last one of a folder what lies around it decides again."""
    async with db.transaction(scope) as tx:
        await secrets.grants.remove(tx, grant_id)


# --- one secret -----------------------------------------------------------------------------------


@router.get("/secrets/{secret_id}", responses=problems(*_KNOWN))
async def get_secret(
    response: Response, secret_id: IdPath, scope: Lister, caller: Caller, secrets: Secrets, db: Db
) -> SecretOut:
    """Get a secret without its values. The ETag goes into If-Match when changing how it is kept."""
    async with db.read(scope) as tx:
        found = await secrets.reading.get(tx, secret_id, role=caller.role)
    return _shown(response, found)


@router.put("/secrets/{secret_id}", responses=problems(*_KNOWN, SecretChangedError))
async def change_secret(
    response: Response,
    secret_id: IdPath,
    body: SecretPut,
    scope: Writer,
    caller: Caller,
    secrets: Secrets,
    db: Db,
    if_match: IfMatch = None,
) -> SecretOut:
    """Say anew how a secret is kept; versions beyond the number to keep are destroyed."""
    expected = expected_version(if_match, SecretChangedError)
    async with db.transaction(scope) as tx:
        changed = await secrets.change(
            tx,
            secret_id,
            Keeping(**body.model_dump()),
            role=caller.role,
            revision=expected,
        )
    return _shown(response, changed)


@router.delete("/secrets/{secret_id}", status_code=204, responses=problems(*_KNOWN))
async def delete_secret(
    secret_id: IdPath, scope: Destroyer, caller: Caller, secrets: Secrets, db: Db
) -> None:
    """Destroy a secret with all its versions; nothing brings it back."""
    async with db.transaction(scope) as tx:
        await secrets.delete(tx, secret_id, role=caller.role)


@router.post(
    "/secrets/{secret_id}/patch",
    status_code=201,
    response_model=SecretVersionOut,
    responses=problems(*_WRITTEN, *_KNOWN, SecretVersionGoneError, NotAnObjectError),
)
async def patch_secret(
    request: Request,
    secret_id: IdPath,
    body: SecretPatch,
    scope: Writer,
    caller: Caller,
    secrets: Secrets,
    db: Db,
) -> Response:
    """Make the next version of the newest one by other keys; null takes a key away."""
    async with db.transaction(scope) as tx:
        made = await secrets.patch(
            tx,
            secret_id,
            changes=body.value,
            role=caller.role,
            cas=body.cas,
            ttl_seconds=body.ttl_seconds,
        )
        return reply(request, tx, view(SecretVersionOut, made), status=201)


@router.get("/secrets/{secret_id}/versions", responses=problems(*_KNOWN))
async def list_secret_versions(
    secret_id: IdPath, scope: Lister, caller: Caller, secrets: Secrets, db: Db, page: PageQuery
) -> Page[SecretVersionOut]:
    """List a secret's versions without their values, newest first."""
    async with db.read(scope) as tx:
        rows = await secrets.reading.list_versions(
            tx, secret_id, role=caller.role, limit=page.limit, before_id=page.before_id
        )
    return page_of(SecretVersionOut, rows, page)


@router.get("/secrets/{secret_id}/difference", responses=problems(*_READABLE))
async def compare_secret_versions(
    secret_id: IdPath,
    from_version: Annotated[VersionNumber, Query(examples=[1])],
    to_version: Annotated[VersionNumber, Query(examples=[1])],
    scope: Reader,
    caller: Caller,
    secrets: Secrets,
    db: Db,
) -> SecretDifferenceOut:
    """Compare two versions by their keys: which came, went, changed and stayed. No value."""
    async with db.transaction(scope) as tx:
        found = await secrets.reading.compare(
            tx,
            secret_id,
            from_version=from_version,
            to_version=to_version,
            role=caller.role,
        )
    return view(SecretDifferenceOut, found)


@router.delete(
    "/secrets/{secret_id}/versions/{version}",
    responses={200: leads_to(undelete_secret_version=_SAME_VERSION), **problems(*_VERSION)},
)
async def delete_secret_version(
    secret_id: IdPath,
    version: VersionPath,
    scope: Writer,
    caller: Caller,
    secrets: Secrets,
    db: Db,
) -> SecretVersionOut:
    """Let a version be read no more, until it is undeleted."""
    async with db.transaction(scope) as tx:
        changed = await secrets.delete_version(tx, secret_id, version, role=caller.role)
    return view(SecretVersionOut, changed)


@router.post(
    "/secrets/{secret_id}/versions/{version}/undelete",
    response_model=SecretVersionOut,
    responses={
        **problems(*_POSTED, *_VERSION, SecretVersionLostError),
    },
)
async def undelete_secret_version(
    request: Request,
    secret_id: IdPath,
    version: VersionPath,
    scope: Writer,
    caller: Caller,
    secrets: Secrets,
    db: Db,
) -> Response:
    """Let a deleted version be read again."""
    async with db.transaction(scope) as tx:
        changed = await secrets.undelete_version(tx, secret_id, version, role=caller.role)
        return reply(request, tx, view(SecretVersionOut, changed))


@router.post(
    "/secrets/{secret_id}/versions/{version}/destroy",
    response_model=SecretVersionOut,
    responses=problems(*_POSTED, *_VERSION),
)
async def destroy_secret_version(
    request: Request,
    secret_id: IdPath,
    version: VersionPath,
    scope: Destroyer,
    caller: Caller,
    secrets: Secrets,
    db: Db,
) -> Response:
    """Destroy a version's value for good; that there was one stays."""
    async with db.transaction(scope) as tx:
        changed = await secrets.destroy_version(tx, secret_id, version, role=caller.role)
        return reply(request, tx, view(SecretVersionOut, changed))


def _shown(response: Response, secret: Secret) -> SecretOut:
    response.headers["ETag"] = etag(secret.revision)
    return view(SecretOut, secret)
