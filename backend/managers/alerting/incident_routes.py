"""HTTP face of incidents: parse, call, shape."""

from typing import Annotated, Final

from fastapi import APIRouter, Request, Response

from backend.core.context import Scope
from backend.core.database import ReadTx
from backend.http.deps import Db, IdPath, manager_of, requires
from backend.http.etag import IfMatch, etag, expected_version
from backend.http.pagination import Page, PageQuery, page_of
from backend.http.reply import leads_to, problems, reply
from backend.http.schemas import view
from backend.managers.alerting._incidents import Event
from backend.managers.alerting.errors import (
    AlertNotFoundError,
    IncidentChangedError,
    IncidentNotFoundError,
    IncidentOverError,
)
from backend.managers.alerting.incident_schemas import (
    AlertIncidentOut,
    IncidentAlertOut,
    IncidentAlerts,
    IncidentDetailOut,
    IncidentEventOut,
    IncidentPost,
    IncidentPut,
    IncidentState,
)
from backend.managers.alerting.manager import AlertingManager
from backend.managers.alerting.schemas import AlertAct, AlertCommentCreate

incidents_router = APIRouter(prefix="/api/v1/incidents", tags=["incident"])
Alerting = Annotated[AlertingManager, manager_of(AlertingManager)]
Reader = Annotated[Scope, requires("incident:read")]
Writer = Annotated[Scope, requires("incident:write")]
_ID: Final = {"incident_id": "$response.body#/id"}


@incidents_router.get("")
async def list_incidents(
    scope: Reader, alerting: Alerting, db: Db, page: PageQuery, state: IncidentState | None = None
) -> Page[AlertIncidentOut]:
    """List incidents, the newest first."""
    async with db.read(scope) as tx:
        found = await alerting.incidents.list(
            tx, state=state, limit=page.limit, before_id=page.before_id
        )
    return page_of(AlertIncidentOut, found, page)


@incidents_router.post(
    "",
    status_code=201,
    response_model=AlertIncidentOut,
    responses={
        201: leads_to(
            get_incident=_ID,
            put_incident=_ID,
            add_incident_alerts=_ID,
            acknowledge_incident=_ID,
            comment_incident=_ID,
            resolve_incident=_ID,
        ),
        **problems(AlertNotFoundError),
    },
)
async def create_incident(
    request: Request, body: IncidentPost, scope: Writer, alerting: Alerting, db: Db
) -> Response:
    """Open an incident by hand; it is over when somebody says so."""
    async with db.transaction(scope) as tx:
        made = await alerting.incidents.create(tx, body.draft(), body.alert_ids)
        shown = view(AlertIncidentOut, made)
        return reply(request, tx, shown, status=201, headers={"ETag": etag(made.version)})


@incidents_router.get("/{incident_id}", responses=problems(IncidentNotFoundError))
async def get_incident(
    response: Response, incident_id: IdPath, scope: Reader, alerting: Alerting, db: Db
) -> IncidentDetailOut:
    """Get an incident with its alerts and its timeline. The ETag goes into If-Match."""
    async with db.read(scope) as tx:
        found = await _detail(tx, alerting, incident_id)
    response.headers["ETag"] = etag(found.version)
    return found


@incidents_router.put(
    "/{incident_id}",
    response_model=AlertIncidentOut,
    responses=problems(IncidentNotFoundError, IncidentChangedError),
)
async def put_incident(
    request: Request,
    incident_id: IdPath,
    body: IncidentPut,
    scope: Writer,
    alerting: Alerting,
    db: Db,
    if_match: IfMatch = None,
) -> Response:
    """Say something else of an incident; what was learned is written when it is over."""
    async with db.transaction(scope) as tx:
        made = await alerting.incidents.replace(
            tx,
            incident_id,
            body.draft(),
            expected_version=expected_version(if_match, IncidentChangedError),
        )
        headers = {"ETag": etag(made.version)}
        return reply(request, tx, view(AlertIncidentOut, made), headers=headers)


@incidents_router.post(
    "/{incident_id}/alerts",
    response_model=AlertIncidentOut,
    responses=problems(IncidentNotFoundError, AlertNotFoundError, IncidentOverError),
)
async def add_incident_alerts(
    request: Request,
    incident_id: IdPath,
    body: IncidentAlerts,
    scope: Writer,
    alerting: Alerting,
    db: Db,
) -> Response:
    """Make alerts part of an incident that are part of none, or of another one."""
    async with db.transaction(scope) as tx:
        made = await alerting.incidents.add(tx, incident_id, body.alert_ids)
        return reply(request, tx, view(AlertIncidentOut, made))


@incidents_router.post(
    "/{incident_id}/acknowledge",
    response_model=AlertIncidentOut,
    responses=problems(IncidentNotFoundError, IncidentOverError),
)
async def acknowledge_incident(
    request: Request, incident_id: IdPath, scope: Writer, alerting: Alerting, db: Db
) -> Response:
    """Say of all alerts of an incident that somebody sees to them; of five hundred at most."""
    async with db.transaction(scope) as tx:
        made = await alerting.incidents.acknowledge(tx, incident_id)
        return reply(request, tx, view(AlertIncidentOut, made))


@incidents_router.post(
    "/{incident_id}/resolve",
    response_model=AlertIncidentOut,
    responses=problems(IncidentNotFoundError, IncidentOverError),
)
async def resolve_incident(
    request: Request, incident_id: IdPath, body: AlertAct, scope: Writer, alerting: Alerting, db: Db
) -> Response:
    """End an incident; its alerts go on."""
    async with db.transaction(scope) as tx:
        made = await alerting.incidents.resolve(tx, incident_id, text=body.text)
        return reply(request, tx, view(AlertIncidentOut, made))


@incidents_router.post(
    "/{incident_id}/comments",
    status_code=204,
    response_model=None,
    responses=problems(IncidentNotFoundError),
)
async def comment_incident(
    request: Request,
    incident_id: IdPath,
    body: AlertCommentCreate,
    scope: Writer,
    alerting: Alerting,
    db: Db,
) -> Response:
    """Write something down with an incident."""
    async with db.transaction(scope) as tx:
        await alerting.incidents.comment(tx, incident_id, text=body.text)
        return reply(request, tx, None, status=204)


async def _detail(tx: ReadTx, alerting: AlertingManager, incident_id: str) -> IncidentDetailOut:
    found = await alerting.incidents.get(tx, incident_id)
    alerts = await alerting.incidents.alerts(tx, incident_id)
    timeline = await alerting.incidents.timeline(tx, incident_id, alerts)
    return view(
        IncidentDetailOut,
        found,
        items=[view(IncidentAlertOut, one) for one in alerts],
        timeline=[_event(one) for one in timeline],
    )


def _event(one: Event) -> IncidentEventOut:
    return IncidentEventOut(
        at=one.note.at,
        kind=one.note.kind,
        actor=one.note.actor,
        text=one.note.text,
        alert_id=one.alert_id,
        alert=one.alert,
    )
