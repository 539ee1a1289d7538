"""Alertmanager's API v2, for whatever sends to one or reads from one, and Grafana's webhook.

Below a path of its own: what its clients are given as the server's address. They are told of
failures in a JSON text, as they expect; what the pipeline refuses by the head of a request is a
problem, as everywhere, and they go by the status.
"""

from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from typing import Annotated, Any, Final

from fastapi import APIRouter, Body, Depends, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute

from backend.core.context import Scope
from backend.core.database import Database
from backend.core.errors import AppError
from backend.http.deps import Db, IdPath, manager_of, requires
from backend.http.openapi import json_response
from backend.http.reply import leads_to, reply
from backend.managers.alerting._alertmanager import Wanted, by_group
from backend.managers.alerting._foreign import Foreign, take
from backend.managers.alerting._matching import Matcher, read_matchers
from backend.managers.alerting.alertmanager_schemas import (
    MAX_ALERTS,
    AlertmanagerAlertIn,
    AlertmanagerAlertOut,
    AlertmanagerGroupOut,
    AlertmanagerInfoOut,
    AlertmanagerReceiver,
    AlertmanagerRefusal,
    AlertmanagerSilenceId,
    AlertmanagerSilenceIn,
    AlertmanagerSilenceOut,
    ForeignTakenOut,
    GrafanaAlertsIn,
)
from backend.managers.alerting.errors import SilenceOverError
from backend.managers.alerting.manager import AlertingManager

_PART: Final = 100
"""Alerts of a transaction: others write in between."""
_VERSION: Final = "0.25.0"
_CONFIG: Final = (
    "# Routes, policies and silences are kept by Email Sender\nroute: {receiver: nobody}\n"
)
_ID: Final = {"silence_id": "$response.body#/silenceID"}
_REFUSED: Final[dict[int | str, dict[str, Any]]] = {
    400: json_response("Not acceptable", {"type": "string"}),
    404: json_response("There is no such thing", {"type": "string"}),
}


_KEPT: Final = frozenset({401, 403, 404, 409, 429})


class _Route(APIRoute):
    """Tells what is refused as a JSON text."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handled(request: Request) -> Response:
            try:
                return await handle(request)
            except RequestValidationError as exc:
                found = exc.errors()[0]
                where = ".".join(map(str, found["loc"]))
                return _refused(request, 400, "invalid_input", f"{where}: {found['msg']}")
            except AppError as exc:
                status = exc.status if exc.status >= 500 or exc.status in _KEPT else 400
                return _refused(request, status, exc.code, exc.detail or exc.title, exc.headers)

        return handled


alertmanager_router = APIRouter(
    prefix="/alertmanager/api/v2", tags=["alertmanager"], route_class=_Route
)
grafana_router = APIRouter(prefix="/api/v1/alerts", tags=["alert"])
Alerting = Annotated[AlertingManager, manager_of(AlertingManager)]
Reader = Annotated[Scope, requires("alert:read")]
Writer = Annotated[Scope, requires("alert:write")]
RoutingReader = Annotated[Scope, requires("alert_routing:read")]
SilenceReader = Annotated[Scope, requires("silence:read")]
SilenceWriter = Annotated[Scope, requires("silence:write")]
AlertsIn = Annotated[
    list[AlertmanagerAlertIn],
    Body(
        max_length=MAX_ALERTS,
        examples=[
            [
                {
                    "labels": {"alertname": "DiskFull", "severity": "critical"},
                    "annotations": {"summary": "A disk is full"},
                }
            ]
        ],
    ),
]
Filter = Annotated[
    list[Annotated[str, Query(max_length=400)]] | None,
    Query(description='Matchers, as often as there are: `team="db"`', max_length=10),
]


async def _wanted(
    *,
    filter: Filter = None,  # noqa: A002 - as the protocol has it
    active: bool = True,
    silenced: bool = True,
    inhibited: bool = True,
    muted: bool = True,
    unprocessed: bool = True,  # noqa: ARG001 - there are none: what is kept is processed
    receiver: Annotated[
        str, Query(max_length=500, description="A regular expression of all of a name")
    ] = "",
) -> Wanted:
    return Wanted(
        matchers=_matchers(filter),
        active=active,
        silenced=silenced,
        inhibited=inhibited,
        muted=muted,
        receiver=receiver,
    )


Asked = Annotated[Wanted, Depends(_wanted)]


@alertmanager_router.post(
    "/alerts", status_code=200, response_class=Response, responses={400: _REFUSED[400]}
)
async def alertmanager_post_alerts(
    request: Request, body: AlertsIn, scope: Writer, db: Db
) -> Response:
    """Have alerts fire, go on and end, as Prometheus sends them.

    What cannot be taken is refused by itself (400), and the rest counts.
    """
    told = [one.told() for one in body]
    refused = await _take_all_but_last(db, scope, told, source="prometheus")
    async with db.transaction(scope) as tx:
        refused += await take(tx, told[-_PART:], source="prometheus")
        if refused:
            return reply(request, tx, AlertmanagerRefusal("; ".join(refused)), status=400)
        return reply(request, tx, None)


@alertmanager_router.get("/alerts", responses={400: _REFUSED[400]})
async def alertmanager_get_alerts(
    scope: Reader,
    alerting: Alerting,
    db: Db,
    wanted: Asked,
) -> list[AlertmanagerAlertOut]:
    """List the alerts that fire, ten thousand at most. None of them is ever unprocessed."""
    async with db.read(scope) as tx:
        reckon, now = await alerting.alertmanager.firing(tx, wanted), tx.now()
    found = await alerting.turns.run(scope.tenant_id, reckon)
    return [AlertmanagerAlertOut.of(one, now) for one in found]


@alertmanager_router.get("/alerts/groups", responses={400: _REFUSED[400]})
async def alertmanager_get_groups(
    scope: Reader,
    alerting: Alerting,
    db: Db,
    wanted: Asked,
) -> list[AlertmanagerGroupOut]:
    """List the alerts that fire by the messages that they go in."""
    async with db.read(scope) as tx:
        reckon, now = await alerting.alertmanager.firing(tx, wanted), tx.now()
    groups = await alerting.turns.run(scope.tenant_id, lambda: by_group(reckon()))
    return [
        AlertmanagerGroupOut(
            labels=dict(group.labels),
            receiver=AlertmanagerReceiver(name=group.receiver),
            alerts=[AlertmanagerAlertOut.of(one, now) for one in members],
        )
        for group, members in groups
    ]


@alertmanager_router.get("/receivers")
async def alertmanager_get_receivers(
    scope: RoutingReader, alerting: Alerting, db: Db
) -> list[AlertmanagerReceiver]:
    """List whom alerts may reach: escalation policies, and nobody."""
    async with db.read(scope) as tx:
        names = await alerting.alertmanager.receivers(tx)
    return [AlertmanagerReceiver(name=name) for name in names]


@alertmanager_router.get("/status")
async def alertmanager_get_status(_: Reader, alerting: Alerting) -> AlertmanagerInfoOut:
    """Say that it runs. The version is that of the Alertmanager whose API this is."""
    return AlertmanagerInfoOut(
        cluster={"name": "", "status": "disabled", "peers": []},
        config={"original": _CONFIG},
        uptime=alerting.began_at,
        versionInfo={
            "version": _VERSION,
            "revision": "email-sender",
            "branch": "",
            "buildUser": "",
            "buildDate": "",
            "goVersion": "",
        },
    )


@alertmanager_router.get("/silences", responses={400: _REFUSED[400]})
async def alertmanager_get_silences(
    scope: SilenceReader,
    alerting: Alerting,
    db: Db,
    filter: Filter = None,  # noqa: A002
) -> list[AlertmanagerSilenceOut]:
    """List silences: all that are not over, and the newest five hundred that are."""
    async with db.read(scope) as tx:
        found = await alerting.alertmanager.silences(tx, _matchers(filter))
    return [AlertmanagerSilenceOut.of(one) for one in found]


@alertmanager_router.post(
    "/silences",
    response_model=AlertmanagerSilenceId,
    responses={
        **_REFUSED,
        200: leads_to(alertmanager_get_silence=_ID, alertmanager_delete_silence=_ID),
    },
)
async def alertmanager_post_silence(
    request: Request, body: AlertmanagerSilenceIn, scope: SilenceWriter, alerting: Alerting, db: Db
) -> Response:
    """Have nobody told of some alerts for a while; or change what is silent, by its id."""
    draft = body.draft(scope.actor)
    async with db.transaction(scope) as tx:
        made = await alerting.silences.put(tx, body.id, draft)
        return reply(request, tx, AlertmanagerSilenceId(silenceID=made.id))


@alertmanager_router.get("/silence/{silence_id}", responses=_REFUSED)
async def alertmanager_get_silence(
    silence_id: IdPath, scope: SilenceReader, alerting: Alerting, db: Db
) -> AlertmanagerSilenceOut:
    """Get one silence."""
    async with db.read(scope) as tx:
        return AlertmanagerSilenceOut.of(await alerting.silences.get(tx, silence_id))


@alertmanager_router.delete("/silence/{silence_id}", response_class=Response, responses=_REFUSED)
async def alertmanager_delete_silence(
    silence_id: IdPath, scope: SilenceWriter, alerting: Alerting, db: Db
) -> Response:
    """End a silence now. One that is over stays so."""
    async with db.transaction(scope) as tx:
        with suppress(SilenceOverError):
            await alerting.silences.expire(tx, silence_id)
    return Response()


@grafana_router.post("/grafana", response_model=ForeignTakenOut)
async def take_grafana_alerts(
    request: Request, body: GrafanaAlertsIn, scope: Writer, db: Db
) -> Response:
    """Have alerts fire and end, as a webhook of Grafana tells it."""
    told = [one.told(db.clock()) for one in body.alerts]
    refused = await _take_all_but_last(db, scope, told, source="grafana")
    async with db.transaction(scope) as tx:
        refused += await take(tx, told[-_PART:], source="grafana")
        out = ForeignTakenOut(taken=len(told) - len(refused), refused=refused)
        return reply(request, tx, out)


async def _take_all_but_last(
    db: Database, scope: Scope, told: Sequence[Foreign], *, source: str
) -> list[str]:
    """Take what comes before the last part, a transaction each; why some were refused."""
    refused: list[str] = []
    for at in range(0, len(told) - _PART, _PART):
        async with db.transaction(scope) as tx:
            part = told[at : min(at + _PART, len(told) - _PART)]
            refused += await take(tx, part, source=source)
    return refused


def _matchers(asked: Sequence[str] | None) -> Sequence[Matcher]:
    return [matcher for one in asked or () for matcher in read_matchers(one)]


def _refused(request: Request, status: int, code: str, said: str, headers: Any = None) -> Response:
    request.scope["problem"] = code
    return JSONResponse(said, status, headers=dict(headers or {}))
