"""HTTP face of tenants' identity providers: parse, call, shape. No rules here."""

from typing import Annotated, Final

from fastapi import APIRouter, Request, Response

from backend.core.context import SystemScope
from backend.core.errors import InvalidInputError
from backend.core.room import PLATFORM_WRITE
from backend.http.deps import Caller, Db, IdPath, manager_of, requires
from backend.http.pagination import Page, PageQuery, page_of
from backend.http.reply import IdempotencyKeyReusedError, leads_to, problems, reply
from backend.http.schemas import view
from backend.managers.identity.errands import DOMAINS, PROVIDERS
from backend.managers.identity.errors import (
    DomainNotProvenError,
    DomainTakenError,
    OwnerByMappingError,
    ProviderNotFoundError,
    ProviderUnusableError,
)
from backend.managers.identity.manager import IdentityManager
from backend.managers.identity.schemas import (
    IdentityProviderCheck,
    IdentityProviderCreate,
    IdentityProviderOut,
    IdentityProviderPut,
)
from backend.managers.tenant import RoleTooHighError

router = APIRouter(prefix="/api/v1")
Identity = Annotated[IdentityManager, manager_of(IdentityManager)]
Reader = Annotated[SystemScope, requires("identity_provider:read", errand=PROVIDERS)]
Writer = Annotated[SystemScope, requires("identity_provider:write", errand=PROVIDERS, fresh=True)]
Confirmer = Annotated[SystemScope, requires(PLATFORM_WRITE, errand=DOMAINS, fresh=True)]
_ID: Final = {"provider_id": "$response.body#/id"}
_ASKED: Final = (
    InvalidInputError,
    ProviderUnusableError,
    OwnerByMappingError,
    RoleTooHighError,
)


@router.get("/identity-providers", tags=["identity-providers"])
async def list_identity_providers(
    scope: Reader, identity: Identity, db: Db, page: PageQuery
) -> Page[IdentityProviderOut]:
    """List the tenant's identity providers, newest first."""
    async with db.read(scope) as tx:
        rows = await identity.providers.list_providers(
            tx, limit=page.limit, before_id=page.before_id
        )
    return page_of(IdentityProviderOut, rows, page)


@router.post(
    "/identity-providers",
    tags=["identity-providers"],
    status_code=201,
    response_model=IdentityProviderOut,
    responses={
        201: leads_to(
            get_identity_provider=_ID,
            put_identity_provider=_ID,
            delete_identity_provider=_ID,
            check_identity_provider=_ID,
            prove_domain=_ID,
            confirm_domain=_ID,
        ),
        **problems(*_ASKED, IdempotencyKeyReusedError),
    },
)
async def create_identity_provider(
    request: Request,
    body: IdentityProviderCreate,
    scope: Writer,
    caller: Caller,
    *,
    identity: Identity,
    db: Db,
) -> Response:
    """Let people sign in with the tenant's own OpenID provider."""
    secret = body.client_secret.get_secret_value()
    async with db.transaction(scope) as tx:
        made = await identity.providers.create(
            tx, body.facts(), client_secret=secret, granter=caller.permissions
        )
        return reply(request, tx, view(IdentityProviderOut, made), status=201)


@router.get(
    "/identity-providers/{provider_id}",
    tags=["identity-providers"],
    responses=problems(ProviderNotFoundError),
)
async def get_identity_provider(
    provider_id: IdPath, scope: Reader, identity: Identity, db: Db
) -> IdentityProviderOut:
    """Get one identity provider, and how to prove its domain."""
    async with db.read(scope) as tx:
        return view(IdentityProviderOut, await identity.providers.get_provider(tx, provider_id))


@router.put(
    "/identity-providers/{provider_id}",
    tags=["identity-providers"],
    responses=problems(ProviderNotFoundError, *_ASKED),
)
async def put_identity_provider(
    provider_id: IdPath,
    body: IdentityProviderPut,
    scope: Writer,
    caller: Caller,
    *,
    identity: Identity,
    db: Db,
) -> IdentityProviderOut:
    """Replace what is said of an identity provider; another domain has to be proven anew."""
    secret = body.client_secret.get_secret_value() if body.client_secret else None
    async with db.transaction(scope) as tx:
        changed = await identity.providers.change(
            tx, provider_id, body.facts(), client_secret=secret, granter=caller.permissions
        )
    return view(IdentityProviderOut, changed)


@router.delete(
    "/identity-providers/{provider_id}",
    tags=["identity-providers"],
    status_code=204,
    responses=problems(ProviderNotFoundError, RoleTooHighError),
)
async def delete_identity_provider(
    provider_id: IdPath, scope: Writer, caller: Caller, identity: Identity, db: Db
) -> None:
    """Forget an identity provider; log-ins through it end, memberships stay."""
    async with db.transaction(scope) as tx:
        await identity.providers.delete(tx, provider_id, remover=caller.permissions)


@router.post(
    "/identity-providers/{provider_id}/check",
    tags=["identity-providers"],
    response_model=IdentityProviderCheck,
    responses=problems(ProviderNotFoundError),
)
async def check_identity_provider(
    request: Request, provider_id: IdPath, scope: Writer, identity: Identity, db: Db
) -> Response:
    """Ask the provider what it can, and say what is missing."""
    async with db.read(scope) as seen:
        provider = await identity.providers.get_provider(seen, provider_id)
    problem = await identity.providers.look_at(provider)
    async with db.transaction(scope) as tx:
        provider = await identity.providers.note_look(tx, provider_id, problem)
        return reply(request, tx, view(IdentityProviderCheck, provider, problem=problem or None))


@router.post(
    "/identity-providers/{provider_id}/prove-domain",
    tags=["identity-providers"],
    response_model=IdentityProviderCheck,
    responses=problems(ProviderNotFoundError, DomainNotProvenError, DomainTakenError),
)
async def prove_domain(
    request: Request, provider_id: IdPath, scope: Writer, identity: Identity, db: Db
) -> Response:
    """Look into the DNS for the record that says the mail domain is the tenant's."""
    async with db.read(scope) as seen:
        provider = await identity.providers.get_provider(seen, provider_id)
    problem = await identity.providers.look_for_proof(provider)
    async with db.transaction(scope) as tx:
        if problem:
            provider = await identity.providers.note_look(tx, provider_id, problem)
        else:
            provider = await identity.providers.take_domain(
                tx, provider_id, state="proven", of=provider
            )
        return reply(request, tx, view(IdentityProviderCheck, provider, problem=problem or None))


@router.post(
    "/platform/identity-providers/{provider_id}/confirm-domain",
    tags=["platform"],
    response_model=IdentityProviderOut,
    responses=problems(ProviderNotFoundError, DomainNotProvenError, DomainTakenError),
)
async def confirm_domain(
    request: Request, provider_id: IdPath, scope: Confirmer, identity: Identity, db: Db
) -> Response:
    """Say for the platform that the mail domain is the tenant's, where DNS cannot."""
    async with db.transaction(scope) as tx:
        confirmed = await identity.providers.take_domain(tx, provider_id, state="confirmed")
        return reply(request, tx, view(IdentityProviderOut, confirmed))
