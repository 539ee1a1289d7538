"""HTTP face of alert rules and alerts: parse, call, shape."""

import asyncio
from datetime import timedelta
from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Query, Request, Response

from backend.core.context import Scope
from backend.http.deps import Db, IdPath, IdQuery, manager_of, requires
from backend.http.etag import IfMatch, etag, expected_version
from backend.http.openapi import ONLY_READS
from backend.http.pagination import Page, PageQuery, decode_cursor, encode_cursor, page_of
from backend.http.reply import leads_to, problems, reply
from backend.http.schemas import view
from backend.managers.alerting._alerts import State
from backend.managers.alerting._catalogue import CATALOGUE
from backend.managers.alerting._conditions import write_condition
from backend.managers.alerting._history import look_back
from backend.managers.alerting._matching import read_matchers
from backend.managers.alerting._routing import silenced_by
from backend.managers.alerting._rules import Rule, Severity
from backend.managers.alerting.errors import (
    AlertNotFoundError,
    AlertOverError,
    ConditionInvalidError,
    MatcherInvalidError,
    NoHistoryError,
    RuleChangedError,
    RuleExistsError,
    RuleNotFoundError,
    ShippedNotFoundError,
    TooManyAlertsError,
    TooManyRulesError,
)
from backend.managers.alerting.manager import AlertingManager
from backend.managers.alerting.schemas import (
    AlertAct,
    AlertAssign,
    AlertCatalogueOut,
    AlertCommentCreate,
    AlertDayOut,
    AlertDetailOut,
    AlertHistoryOut,
    AlertNoiseOut,
    AlertNoteOut,
    AlertOut,
    AlertRaise,
    AlertRuleOut,
    AlertRulePut,
    AlertRuleTriedOut,
    AlertRuleTry,
    AlertsAcknowledge,
    AlertsAcknowledgedOut,
    AlertsFiringOut,
    AlertSnooze,
    AlertSpansOut,
    HeartbeatCreate,
    ShippedRuleOut,
    TriedFiringOut,
    TriedLineOut,
)

router = APIRouter(prefix="/api/v1", tags=["alert"])
rules_router = APIRouter(prefix="/api/v1", tags=["alert_rule"])
Alerting = Annotated[AlertingManager, manager_of(AlertingManager)]
Reader = Annotated[Scope, requires("alert:read")]
Writer = Annotated[Scope, requires("alert:write")]
RuleReader = Annotated[Scope, requires("alert_rule:read")]
RuleWriter = Annotated[Scope, requires("alert_rule:write")]
ShippedName = Annotated[
    str,
    Path(
        max_length=100,
        pattern="^[a-z-]+$",
        examples=["storage"],
        json_schema_extra={"enum": list(CATALOGUE)},
    ),
]
_RULE_ID: Final = {"rule_id": "$response.body#/id"}
_ALERT_ID: Final = {"alert_id": "$response.body#/id"}


@rules_router.get("/alert-rules")
async def list_alert_rules(
    scope: RuleReader, alerting: Alerting, db: Db, page: PageQuery
) -> Page[AlertRuleOut]:
    """List what is looked at, the newest first."""
    async with db.read(scope) as tx:
        found = await alerting.rules.list(tx, limit=page.limit, before_id=page.before_id)
    return page_of(AlertRuleOut, [_rule(one) for one in found], page)


@rules_router.post(
    "/alert-rules",
    status_code=201,
    response_model=AlertRuleOut,
    responses={
        201: leads_to(get_alert_rule=_RULE_ID, put_alert_rule=_RULE_ID, delete_alert_rule=_RULE_ID),
        **problems(ConditionInvalidError, RuleExistsError, TooManyRulesError),
    },
)
async def create_alert_rule(
    request: Request, body: AlertRulePut, scope: RuleWriter, alerting: Alerting, db: Db
) -> Response:
    """Have something looked at from now on."""
    async with db.transaction(scope) as tx:
        made = await alerting.rules.create(tx, body.draft())
        headers = {"ETag": etag(made.version)}
        return reply(request, tx, _rule(made), status=201, headers=headers)


@rules_router.post(
    "/alert-rules/test",
    openapi_extra={ONLY_READS: True},
    responses=problems(ConditionInvalidError, NoHistoryError),
)
async def try_alert_rule(
    body: AlertRuleTry, scope: RuleReader, alerting: Alerting, db: Db
) -> AlertRuleTriedOut:
    """Say when a rule would have fired in the last days: of metrics and log lines."""
    found = await alerting.try_out(db, scope, body.draft(), days=body.days)
    lines = [
        view(TriedLineOut, one, firings=[view(TriedFiringOut, each) for each in one.firings])
        for one in found.lines
    ]
    return view(AlertRuleTriedOut, found, lines=lines)


@rules_router.get("/alert-rules/{rule_id}", responses=problems(RuleNotFoundError))
async def get_alert_rule(
    response: Response, rule_id: IdPath, scope: RuleReader, alerting: Alerting, db: Db
) -> AlertRuleOut:
    """Get one rule. The ETag goes into If-Match."""
    async with db.read(scope) as tx:
        found = await alerting.rules.get(tx, rule_id)
    response.headers["ETag"] = etag(found.version)
    return _rule(found)


@rules_router.put(
    "/alert-rules/{rule_id}",
    response_model=AlertRuleOut,
    responses=problems(RuleNotFoundError, ConditionInvalidError, RuleExistsError, RuleChangedError),
)
async def put_alert_rule(
    request: Request,
    rule_id: IdPath,
    body: AlertRulePut,
    scope: RuleWriter,
    alerting: Alerting,
    db: Db,
    if_match: IfMatch = None,
) -> Response:
    """Have something else looked at, or otherwise. Alerts that there are stand on."""
    async with db.transaction(scope) as tx:
        made = await alerting.rules.replace(
            tx, rule_id, body.draft(), expected_version=expected_version(if_match, RuleChangedError)
        )
        headers = {"ETag": etag(made.version)}
        return reply(request, tx, _rule(made), headers=headers)


@rules_router.delete(
    "/alert-rules/{rule_id}",
    status_code=204,
    responses=problems(RuleNotFoundError, RuleChangedError),
)
async def delete_alert_rule(
    rule_id: IdPath, scope: RuleWriter, alerting: Alerting, db: Db, if_match: IfMatch = None
) -> None:
    """Have it looked at no more; its alerts end."""
    async with db.transaction(scope) as tx:
        await alerting.rules.remove(
            tx, rule_id, expected_version=expected_version(if_match, RuleChangedError)
        )


@rules_router.get("/alert-catalogue")
async def list_alert_catalogue(scope: RuleReader, alerting: Alerting, db: Db) -> AlertCatalogueOut:
    """List the rules that ship, whether the tenant has them, and what they lack."""
    found = await alerting.offer(db, scope)
    return AlertCatalogueOut(
        items=[
            view(
                ShippedRuleOut,
                one.shipped.draft,
                name=one.shipped.name,
                title=one.shipped.draft.name,
                about=one.shipped.about,
                condition=write_condition(one.shipped.draft.condition),
                rule_id=one.rule_id,
                problem=one.problem,
            )
            for one in found
        ]
    )


@rules_router.post(
    "/alert-catalogue/{name}",
    status_code=201,
    response_model=AlertRuleOut,
    responses={
        201: leads_to(get_alert_rule=_RULE_ID, put_alert_rule=_RULE_ID, delete_alert_rule=_RULE_ID),
        200: {"model": AlertRuleOut, "description": "There is one of its title: it stays as it is"},
        **problems(ShippedNotFoundError, RuleExistsError, TooManyRulesError),
    },
)
async def adopt_alert_rule(
    request: Request, name: ShippedName, scope: RuleWriter, alerting: Alerting, db: Db
) -> Response:
    """Have what a rule of the catalogue asks looked at from now on. It is the tenant's own then."""
    async with db.transaction(scope) as tx:
        made, is_new = await alerting.adopt(tx, name)
        headers = {"ETag": etag(made.version)}
        return reply(request, tx, _rule(made), status=201 if is_new else 200, headers=headers)


@router.get("/alerts", responses=problems(MatcherInvalidError))
async def list_alerts(
    scope: Reader,
    alerting: Alerting,
    db: Db,
    page: PageQuery,
    state: State | None = None,
    severity: Severity | None = None,
    rule_id: IdQuery = None,
    matchers: Annotated[
        str | None,
        Query(max_length=2000, description='As Alertmanager writes them: `team="db"`'),
    ] = None,
) -> Page[AlertOut]:
    """List alerts, the newest first."""
    async with db.read(scope) as tx:
        found = await alerting.alerts.list(
            tx,
            state=state,
            severity=severity,
            rule_id=rule_id,
            matchers=read_matchers(matchers or ""),
            limit=page.limit,
            before_id=page.before_id,
        )
    return page_of(AlertOut, found, page)


@router.get("/alerts-firing")
async def get_alerts_firing(scope: Reader, alerting: Alerting, db: Db) -> AlertsFiringOut:
    """Count the alerts that fire now, by severity."""
    async with db.read(scope) as tx:
        return view(AlertsFiringOut, await alerting.alerts.count_firing(tx))


@router.get("/alert-history")
async def get_alert_history(
    scope: Reader, db: Db, days: Annotated[int, Query(ge=1, le=90)] = 30
) -> AlertHistoryOut:
    """Look back: how soon people saw to alerts, how long they lasted, and which are noise."""
    async with db.read(scope) as tx:
        work_out = await look_back(tx, days=days)
    found = await asyncio.to_thread(work_out)
    return view(
        AlertHistoryOut,
        found,
        by_severity=dict(found.by_severity),
        acknowledged=view(AlertSpansOut, found.acknowledged),
        resolved=view(AlertSpansOut, found.resolved),
        days=[AlertDayOut(day=day, fired=fired) for day, fired in found.days],
        noise=[
            view(AlertNoiseOut, one, lasts=view(AlertSpansOut, one.lasts)) for one in found.noise
        ],
    )


@router.post(
    "/alerts",
    status_code=201,
    response_model=AlertOut,
    responses={
        201: leads_to(
            get_alert=_ALERT_ID,
            list_alert_notifications=_ALERT_ID,
            acknowledge_alert=_ALERT_ID,
            assign_alert=_ALERT_ID,
            comment_alert=_ALERT_ID,
            resolve_alert=_ALERT_ID,
            snooze_alert=_ALERT_ID,
        ),
        200: {"model": AlertOut, "description": "It fires already, and goes on"},
        **problems(TooManyAlertsError),
    },
)
async def raise_alert(
    request: Request, body: AlertRaise, scope: Writer, alerting: Alerting, db: Db
) -> Response:
    """Have an alert fire that no rule looks for, or say again that it does."""
    async with db.transaction(scope) as tx:
        made, began = await alerting.raise_alert(tx, body.said())
        return reply(request, tx, view(AlertOut, made), status=201 if began else 200)


@router.post(
    "/alerts/acknowledge",
    response_model=AlertsAcknowledgedOut,
    responses=problems(MatcherInvalidError),
)
async def acknowledge_alerts(
    request: Request, body: AlertsAcknowledge, scope: Writer, alerting: Alerting, db: Db
) -> Response:
    """Say of a part of what fires, a hundred alerts at most, that somebody sees to it.

    Go on with `next_cursor` until it is null.
    """
    before_id = None if body.cursor is None else decode_cursor(body.cursor)
    async with db.transaction(scope) as tx:
        done = await alerting.alerts.acknowledge_some(
            tx,
            severity=body.severity,
            rule_id=body.rule_id,
            matchers=read_matchers(body.matchers),
            before_id=before_id,
        )
        after = None if done.last_id is None else encode_cursor(done.last_id)
        return reply(request, tx, view(AlertsAcknowledgedOut, done, next_cursor=after))


@router.get("/alerts/{alert_id}", responses=problems(AlertNotFoundError))
async def get_alert(alert_id: IdPath, scope: Reader, alerting: Alerting, db: Db) -> AlertDetailOut:
    """Get one alert and what happened to it."""
    async with db.read(scope) as tx:
        found, notes = await alerting.alerts.get(tx, alert_id)
        incident_id = await alerting.incidents.of_alert(tx, alert_id)
        silences = [] if found.ended_at else await alerting.silences.active(tx)
        now = tx.now()
    shown = [view(AlertNoteOut, one) for one in notes]
    return view(
        AlertDetailOut,
        found,
        notes=shown,
        incident_id=incident_id,
        silenced_by=silenced_by(silences, found.labels, now),
    )


@router.post(
    "/alerts/{alert_id}/acknowledge",
    response_model=AlertOut,
    responses=problems(AlertNotFoundError, AlertOverError),
)
async def acknowledge_alert(
    request: Request, alert_id: IdPath, body: AlertAct, scope: Writer, alerting: Alerting, db: Db
) -> Response:
    """Say that somebody sees to an alert. Once more changes nothing."""
    async with db.transaction(scope) as tx:
        made = await alerting.alerts.acknowledge(tx, alert_id, text=body.text)
        return reply(request, tx, view(AlertOut, made))


@router.post(
    "/alerts/{alert_id}/snooze",
    response_model=AlertOut,
    responses=problems(AlertNotFoundError, AlertOverError),
)
async def snooze_alert(
    request: Request, alert_id: IdPath, body: AlertSnooze, scope: Writer, alerting: Alerting, db: Db
) -> Response:
    """Have nobody told of an alert for a while."""
    async with db.transaction(scope) as tx:
        made = await alerting.alerts.snooze(
            tx, alert_id, lasts=timedelta(seconds=body.seconds), text=body.text
        )
        return reply(request, tx, view(AlertOut, made))


@router.post(
    "/alerts/{alert_id}/assign",
    response_model=AlertOut,
    responses=problems(AlertNotFoundError, AlertOverError),
)
async def assign_alert(
    request: Request, alert_id: IdPath, body: AlertAssign, scope: Writer, alerting: Alerting, db: Db
) -> Response:
    """Say who sees to an alert."""
    async with db.transaction(scope) as tx:
        made = await alerting.alerts.assign(tx, alert_id, assignee=body.assignee)
        return reply(request, tx, view(AlertOut, made))


@router.post(
    "/alerts/{alert_id}/resolve",
    response_model=AlertOut,
    responses=problems(AlertNotFoundError, AlertOverError),
)
async def resolve_alert(
    request: Request, alert_id: IdPath, body: AlertAct, scope: Writer, alerting: Alerting, db: Db
) -> Response:
    """End an alert. A look that finds it again begins another."""
    async with db.transaction(scope) as tx:
        made = await alerting.alerts.resolve(tx, alert_id, text=body.text)
        return reply(request, tx, view(AlertOut, made))


@router.post(
    "/alerts/{alert_id}/comments",
    status_code=204,
    response_model=None,
    responses=problems(AlertNotFoundError),
)
async def comment_alert(
    request: Request,
    alert_id: IdPath,
    body: AlertCommentCreate,
    scope: Writer,
    alerting: Alerting,
    db: Db,
) -> Response:
    """Write something down with an alert."""
    async with db.transaction(scope) as tx:
        await alerting.alerts.comment(tx, alert_id, text=body.text)
        return reply(request, tx, None, status=204)


@router.post("/heartbeats", status_code=204, response_model=None)
async def beat(
    request: Request, body: HeartbeatCreate, scope: Writer, alerting: Alerting, db: Db
) -> Response:
    """Let a signal come that an alert rule waits for."""
    async with db.transaction(scope) as tx:
        await alerting.beat(tx, body.name)
        return reply(request, tx, None, status=204)


def _rule(rule: Rule) -> AlertRuleOut:
    said: dict[str, Any] = write_condition(rule.condition)
    return view(AlertRuleOut, rule, condition=said)
