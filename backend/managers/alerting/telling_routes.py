"""HTTP face of channels, escalation policies and routes: parse, call, shape."""

from typing import Annotated, Final

from fastapi import APIRouter, Request, Response

from backend.core.context import Scope
from backend.core.errors import UpstreamError
from backend.http.deps import Db, IdPath, manager_of, requires
from backend.http.etag import IfMatch, etag, expected_version
from backend.http.openapi import ONLY_READS
from backend.http.pagination import Page, PageQuery, page_of
from backend.http.reply import leads_to, problems, reply
from backend.http.schemas import view
from backend.kit.outbound import NotAllowedError, UnreachableError
from backend.managers.alerting._tree import Routing
from backend.managers.alerting.errors import (
    AlertNotFoundError,
    ChannelChangedError,
    ChannelExistsError,
    ChannelInUseError,
    ChannelInvalidError,
    ChannelNotFoundError,
    PolicyChangedError,
    PolicyExistsError,
    PolicyInUseError,
    PolicyInvalidError,
    PolicyNotFoundError,
    RoutingChangedError,
    RoutingInvalidError,
    TooManyChannelsError,
    TooManyPoliciesError,
)
from backend.managers.alerting.manager import AlertingManager
from backend.managers.alerting.telling_schemas import (
    AlertChannelMadeOut,
    AlertChannelOut,
    AlertChannelPut,
    AlertNotificationOut,
    AlertNotificationsOut,
    AlertPolicyOut,
    AlertPolicyPut,
    AlertRoutingOut,
    AlertRoutingPut,
    AlertRoutingTry,
    AlertWayOut,
    AlertWaysOut,
)

channels_router = APIRouter(prefix="/api/v1", tags=["alert_channel"])
routing_router = APIRouter(prefix="/api/v1", tags=["alert_routing"])
Alerting = Annotated[AlertingManager, manager_of(AlertingManager)]
ChannelReader = Annotated[Scope, requires("alert_channel:read")]
ChannelWriter = Annotated[Scope, requires("alert_channel:write")]
Reader = Annotated[Scope, requires("alert_routing:read")]
Writer = Annotated[Scope, requires("alert_routing:write")]
AlertReader = Annotated[Scope, requires("alert:read")]
_CHANNEL_ID: Final = {"channel_id": "$response.body#/id"}
_POLICY_ID: Final = {"policy_id": "$response.body#/id"}


@channels_router.get("/alert-channels")
async def list_alert_channels(
    scope: ChannelReader, alerting: Alerting, db: Db, page: PageQuery
) -> Page[AlertChannelOut]:
    """List ways to people and programs, the newest first."""
    async with db.read(scope) as tx:
        found = await alerting.channels.list(tx, limit=page.limit, before_id=page.before_id)
    return page_of(AlertChannelOut, found, page)


@channels_router.post(
    "/alert-channels",
    status_code=201,
    response_model=AlertChannelMadeOut,
    responses={
        201: leads_to(
            get_alert_channel=_CHANNEL_ID,
            put_alert_channel=_CHANNEL_ID,
            delete_alert_channel=_CHANNEL_ID,
            test_alert_channel=_CHANNEL_ID,
        ),
        **problems(ChannelExistsError, ChannelInvalidError, TooManyChannelsError),
    },
)
async def create_alert_channel(
    request: Request, body: AlertChannelPut, scope: ChannelWriter, alerting: Alerting, db: Db
) -> Response:
    """Make a way to somebody. A webhook's secret is shown this once."""
    async with db.transaction(scope) as tx:
        made, secret = await alerting.channels.create(tx, body.draft())
        headers = {"ETag": etag(made.version)}
        shown = view(AlertChannelMadeOut, made, secret=secret)
        return reply(request, tx, shown, status=201, headers=headers)


@channels_router.get("/alert-channels/{channel_id}", responses=problems(ChannelNotFoundError))
async def get_alert_channel(
    response: Response, channel_id: IdPath, scope: ChannelReader, alerting: Alerting, db: Db
) -> AlertChannelOut:
    """Get one channel. The ETag goes into If-Match."""
    async with db.read(scope) as tx:
        found = await alerting.channels.get(tx, channel_id)
    response.headers["ETag"] = etag(found.version)
    return view(AlertChannelOut, found)


@channels_router.put(
    "/alert-channels/{channel_id}",
    response_model=AlertChannelOut,
    responses=problems(
        ChannelNotFoundError, ChannelExistsError, ChannelInvalidError, ChannelChangedError
    ),
)
async def put_alert_channel(
    request: Request,
    channel_id: IdPath,
    body: AlertChannelPut,
    scope: ChannelWriter,
    alerting: Alerting,
    db: Db,
    if_match: IfMatch = None,
) -> Response:
    """Have a channel lead elsewhere, or otherwise. The secret of its signatures stays."""
    async with db.transaction(scope) as tx:
        made = await alerting.channels.replace(
            tx,
            channel_id,
            body.draft(),
            expected_version=expected_version(if_match, ChannelChangedError),
        )
        headers = {"ETag": etag(made.version)}
        return reply(request, tx, view(AlertChannelOut, made), headers=headers)


@channels_router.delete(
    "/alert-channels/{channel_id}",
    status_code=204,
    responses=problems(ChannelNotFoundError, ChannelInUseError, ChannelChangedError),
)
async def delete_alert_channel(
    channel_id: IdPath,
    scope: ChannelWriter,
    alerting: Alerting,
    db: Db,
    if_match: IfMatch = None,
) -> None:
    """Have nobody told by a channel any more."""
    async with db.transaction(scope) as tx:
        await alerting.channels.remove(
            tx, channel_id, expected_version=expected_version(if_match, ChannelChangedError)
        )


@channels_router.post(
    "/alert-channels/{channel_id}/test",
    status_code=204,
    response_model=None,
    responses=problems(ChannelNotFoundError, NotAllowedError, UnreachableError, UpstreamError),
)
async def test_alert_channel(
    request: Request, channel_id: IdPath, scope: ChannelWriter, alerting: Alerting, db: Db
) -> Response:
    """Send a message by a channel that says it is a test; of mail: queue it."""
    await alerting.sending.test(db, scope, channel_id)
    async with db.transaction(scope) as tx:
        await alerting.channels.tested(tx, channel_id)
        return reply(request, tx, None, status=204)


@routing_router.get("/alert-policies")
async def list_alert_policies(
    scope: Reader, alerting: Alerting, db: Db, page: PageQuery
) -> Page[AlertPolicyOut]:
    """List escalation policies, the newest first."""
    async with db.read(scope) as tx:
        found = await alerting.policies.list(tx, limit=page.limit, before_id=page.before_id)
    return page_of(AlertPolicyOut, found, page)


@routing_router.post(
    "/alert-policies",
    status_code=201,
    response_model=AlertPolicyOut,
    responses={
        201: leads_to(
            get_alert_policy=_POLICY_ID, put_alert_policy=_POLICY_ID, delete_alert_policy=_POLICY_ID
        ),
        **problems(PolicyExistsError, PolicyInvalidError, TooManyPoliciesError),
    },
)
async def create_alert_policy(
    request: Request, body: AlertPolicyPut, scope: Writer, alerting: Alerting, db: Db
) -> Response:
    """Say who is told first, and who next."""
    async with db.transaction(scope) as tx:
        made = await alerting.policies.create(tx, body.draft())
        headers = {"ETag": etag(made.version)}
        return reply(request, tx, view(AlertPolicyOut, made), status=201, headers=headers)


@routing_router.get("/alert-policies/{policy_id}", responses=problems(PolicyNotFoundError))
async def get_alert_policy(
    response: Response, policy_id: IdPath, scope: Reader, alerting: Alerting, db: Db
) -> AlertPolicyOut:
    """Get one policy. The ETag goes into If-Match."""
    async with db.read(scope) as tx:
        found = await alerting.policies.get(tx, policy_id)
    response.headers["ETag"] = etag(found.version)
    return view(AlertPolicyOut, found)


@routing_router.put(
    "/alert-policies/{policy_id}",
    response_model=AlertPolicyOut,
    responses=problems(
        PolicyNotFoundError, PolicyExistsError, PolicyInvalidError, PolicyChangedError
    ),
)
async def put_alert_policy(
    request: Request,
    policy_id: IdPath,
    body: AlertPolicyPut,
    scope: Writer,
    alerting: Alerting,
    db: Db,
    if_match: IfMatch = None,
) -> Response:
    """Have others told, or at other times. Who waits already is told as it was."""
    async with db.transaction(scope) as tx:
        made = await alerting.policies.replace(
            tx,
            policy_id,
            body.draft(),
            expected_version=expected_version(if_match, PolicyChangedError),
        )
        headers = {"ETag": etag(made.version)}
        return reply(request, tx, view(AlertPolicyOut, made), headers=headers)


@routing_router.delete(
    "/alert-policies/{policy_id}",
    status_code=204,
    responses=problems(PolicyNotFoundError, PolicyInUseError, PolicyChangedError),
)
async def delete_alert_policy(
    policy_id: IdPath, scope: Writer, alerting: Alerting, db: Db, if_match: IfMatch = None
) -> None:
    """Have nobody told by a policy any more."""
    async with db.transaction(scope) as tx:
        await alerting.policies.remove(
            tx, policy_id, expected_version=expected_version(if_match, PolicyChangedError)
        )


@routing_router.get("/alert-routing")
async def get_alert_routing(
    response: Response, scope: Reader, alerting: Alerting, db: Db
) -> AlertRoutingOut:
    """Get where alerts go. The ETag goes into If-Match."""
    async with db.read(scope) as tx:
        found = await alerting.routings.get(tx)
    response.headers["ETag"] = etag(found.version)
    return _routing(found)


@routing_router.put(
    "/alert-routing",
    response_model=AlertRoutingOut,
    responses=problems(RoutingInvalidError, RoutingChangedError),
)
async def put_alert_routing(
    request: Request,
    body: AlertRoutingPut,
    scope: Writer,
    alerting: Alerting,
    db: Db,
    if_match: IfMatch = None,
) -> Response:
    """Have alerts go elsewhere from now on. Who waits already is told as it was."""
    async with db.transaction(scope) as tx:
        made = await alerting.routings.put(
            tx, body.routing(), expected_version=expected_version(if_match, RoutingChangedError)
        )
        headers = {"ETag": etag(made.version)}
        return reply(request, tx, _routing(made), headers=headers)


@routing_router.post("/alert-routing/test", openapi_extra={ONLY_READS: True})
async def test_alert_routing(
    body: AlertRoutingTry, scope: Reader, alerting: Alerting, db: Db
) -> AlertWaysOut:
    """Say where an alert with these labels would go."""
    async with db.read(scope) as tx:
        found = await alerting.routings.try_out(tx, body.labels)
    return AlertWaysOut(items=[view(AlertWayOut, one) for one in found])


@routing_router.get("/alerts/{alert_id}/notifications", responses=problems(AlertNotFoundError))
async def list_alert_notifications(
    alert_id: IdPath, scope: AlertReader, alerting: Alerting, db: Db
) -> AlertNotificationsOut:
    """List who is told of an alert and who was, the first step first; two thousand at most."""
    async with db.read(scope) as tx:
        await alerting.alerts.get(tx, alert_id)
        found = await alerting.telling.of_alert(tx, alert_id)
    return AlertNotificationsOut(items=[view(AlertNotificationOut, one) for one in found])


def _routing(found: Routing) -> AlertRoutingOut:
    return AlertRoutingOut(
        tree=dict(found.tree),
        inhibitions=[dict(one) for one in found.inhibitions],  # type: ignore[misc]  # as it was kept
        incidents=[dict(one) for one in found.incidents],  # type: ignore[misc]  # as it was kept
        version=found.version,
        updated_at=found.updated_at,
        updated_by=found.updated_by,
    )
