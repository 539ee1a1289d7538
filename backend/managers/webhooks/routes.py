"""HTTP face of webhooks: parse, call, shape."""

import json
from typing import Annotated, Final

from fastapi import APIRouter, Query, Request, Response

from backend.core.context import Scope
from backend.core.events import read_events
from backend.http.deps import Caller, Db, IdPath, manager_of, requires
from backend.http.etag import IfMatch, etag, expected_version
from backend.http.pagination import Page, PageQuery, page_of
from backend.http.reply import leads_to, problems, reply
from backend.http.schemas import view
from backend.managers.webhooks._delivering import said
from backend.managers.webhooks.errors import (
    DeliveryNotFoundError,
    TooManyWebhooksError,
    WebhookChangedError,
    WebhookExistsError,
    WebhookForbiddenError,
    WebhookInvalidError,
    WebhookNotFoundError,
)
from backend.managers.webhooks.manager import WebhooksManager
from backend.managers.webhooks.schemas import (
    WebhookDeliveryDetailOut,
    WebhookDeliveryOut,
    WebhookMadeOut,
    WebhookOut,
    WebhookPost,
    WebhookPut,
    WebhookReplay,
)

router = APIRouter(prefix="/api/v1/webhooks", tags=["webhook"])
Webhooks = Annotated[WebhooksManager, manager_of(WebhooksManager)]
Reader = Annotated[Scope, requires("webhook:read")]
Writer = Annotated[Scope, requires("webhook:write")]
_ID: Final = {"webhook_id": "$response.body#/id"}


@router.get("")
async def list_webhooks(
    scope: Reader, webhooks: Webhooks, db: Db, page: PageQuery
) -> Page[WebhookOut]:
    """List programs that are told of events, the newest first."""
    async with db.read(scope) as tx:
        found = await webhooks.endpoints.list(tx, limit=page.limit, before_id=page.before_id)
    return page_of(WebhookOut, found, page)


@router.post(
    "",
    status_code=201,
    response_model=WebhookMadeOut,
    responses={
        201: leads_to(
            get_webhook=_ID,
            put_webhook=_ID,
            delete_webhook=_ID,
            test_webhook=_ID,
            rotate_webhook=_ID,
            replay_webhook=_ID,
            list_webhook_deliveries=_ID,
        ),
        **problems(
            WebhookExistsError, WebhookForbiddenError, WebhookInvalidError, TooManyWebhooksError
        ),
    },
)
async def create_webhook(
    request: Request, body: WebhookPost, scope: Writer, caller: Caller, webhooks: Webhooks, db: Db
) -> Response:
    """Have a program told of events. The secret of the signatures is shown this once."""
    async with db.transaction(scope) as tx:
        made, secret = await webhooks.endpoints.create(
            tx, body.draft(), permissions=caller.permissions
        )
        shown = view(WebhookMadeOut, made, secret=secret)
        return reply(request, tx, shown, status=201, headers={"ETag": etag(made.version)})


@router.get("/{webhook_id}", responses=problems(WebhookNotFoundError))
async def get_webhook(
    response: Response, webhook_id: IdPath, scope: Reader, webhooks: Webhooks, db: Db
) -> WebhookOut:
    """Get one webhook. The ETag goes into If-Match."""
    async with db.read(scope) as tx:
        found = await webhooks.endpoints.get(tx, webhook_id)
    response.headers["ETag"] = etag(found.version)
    return view(WebhookOut, found)


@router.put(
    "/{webhook_id}",
    response_model=WebhookOut,
    responses=problems(
        WebhookNotFoundError,
        WebhookExistsError,
        WebhookForbiddenError,
        WebhookInvalidError,
        WebhookChangedError,
    ),
)
async def put_webhook(
    request: Request,
    webhook_id: IdPath,
    body: WebhookPut,
    scope: Writer,
    caller: Caller,
    webhooks: Webhooks,
    db: Db,
    if_match: IfMatch = None,
) -> Response:
    """Have it told of others, or elsewhere. It goes on where it was, and is tried at once."""
    async with db.transaction(scope) as tx:
        made = await webhooks.endpoints.replace(
            tx,
            webhook_id,
            body.draft(),
            permissions=caller.permissions,
            expected_version=expected_version(if_match, WebhookChangedError),
        )
        headers = {"ETag": etag(made.version)}
        return reply(request, tx, view(WebhookOut, made), headers=headers)


@router.delete(
    "/{webhook_id}",
    status_code=204,
    responses=problems(WebhookNotFoundError, WebhookChangedError),
)
async def delete_webhook(
    webhook_id: IdPath, scope: Writer, webhooks: Webhooks, db: Db, if_match: IfMatch = None
) -> None:
    """Tell it nothing more."""
    async with db.transaction(scope) as tx:
        await webhooks.endpoints.remove(
            tx, webhook_id, expected_version=expected_version(if_match, WebhookChangedError)
        )


@router.post(
    "/{webhook_id}/rotate",
    response_model=WebhookMadeOut,
    responses=problems(WebhookNotFoundError, WebhookForbiddenError),
)
async def rotate_webhook(
    request: Request,
    webhook_id: IdPath,
    scope: Writer,
    caller: Caller,
    webhooks: Webhooks,
    db: Db,
) -> Response:
    """Sign with another secret, shown this once. For a day the one before signs as well."""
    async with db.transaction(scope) as tx:
        made, secret = await webhooks.endpoints.rotate(
            tx, webhook_id, permissions=caller.permissions
        )
        return reply(request, tx, view(WebhookMadeOut, made, secret=secret))


@router.post(
    "/{webhook_id}/replay",
    response_model=WebhookOut,
    responses=problems(WebhookNotFoundError, WebhookForbiddenError, WebhookInvalidError),
)
async def replay_webhook(
    request: Request,
    webhook_id: IdPath,
    body: WebhookReplay,
    scope: Writer,
    caller: Caller,
    webhooks: Webhooks,
    db: Db,
) -> Response:
    """Tell it again of all events after a number or since a time, as long as they are kept."""
    async with db.transaction(scope) as tx:
        made = await webhooks.endpoints.replay(
            tx,
            webhook_id,
            after_seq=body.after_seq,
            since=body.since,
            permissions=caller.permissions,
        )
        return reply(request, tx, view(WebhookOut, made))


@router.post(
    "/{webhook_id}/test",
    response_model=WebhookDeliveryOut,
    responses={
        200: leads_to(
            get_webhook_delivery={
                "webhook_id": "$request.path.webhook_id",
                "delivery_id": "$response.body#/id",
            }
        ),
        **problems(WebhookNotFoundError),
    },
)
async def test_webhook(
    request: Request, webhook_id: IdPath, scope: Writer, webhooks: Webhooks, db: Db
) -> Response:
    """Send an event of the kind `webhook.test`, now and once, and say what came of it."""
    tried = await webhooks.delivering.test(db, scope, webhook_id)
    async with db.transaction(scope) as tx:
        made = await webhooks.endpoints.tested(tx, webhook_id, tried)
        return reply(request, tx, view(WebhookDeliveryOut, made))


@router.get("/{webhook_id}/deliveries", responses=problems(WebhookNotFoundError))
async def list_webhook_deliveries(
    webhook_id: IdPath,
    scope: Reader,
    caller: Caller,
    webhooks: Webhooks,
    db: Db,
    page: PageQuery,
    failed: Annotated[bool, Query(description="Only what was not taken")] = False,  # noqa: FBT002
) -> Page[WebhookDeliveryOut]:
    """List what was tried in the last seven days, the newest first."""
    async with db.read(scope) as tx:
        found = await webhooks.endpoints.deliveries(
            tx,
            webhook_id,
            permissions=caller.permissions,
            failed=failed,
            limit=page.limit,
            before_id=page.before_id,
        )
    return page_of(WebhookDeliveryOut, found, page)


@router.get(
    "/{webhook_id}/deliveries/{delivery_id}",
    responses=problems(WebhookNotFoundError, DeliveryNotFoundError),
)
async def get_webhook_delivery(
    webhook_id: IdPath,
    delivery_id: IdPath,
    scope: Reader,
    caller: Caller,
    webhooks: Webhooks,
    db: Db,
) -> WebhookDeliveryDetailOut:
    """Get one try with what was sent."""
    async with db.read(scope) as tx:
        found = await webhooks.endpoints.delivery(
            tx, webhook_id, delivery_id, permissions=caller.permissions
        )
        events = await read_events(tx, after=found.seq - 1, limit=1)
    body = [json.loads(said(one)) for one in events if one.id == found.event_id]
    return view(WebhookDeliveryDetailOut, found, body=body[0] if body else None)
