"""HTTP face of on-call schedules: parse, call, shape."""

from typing import Annotated, Final

from fastapi import APIRouter, Query, Request, Response

from backend.core.context import Scope
from backend.http.deps import Db, IdPath, manager_of, requires
from backend.http.etag import IfMatch, etag, expected_version
from backend.http.pagination import Page, PageQuery, page_of
from backend.http.reply import leads_to, problems, reply
from backend.http.schemas import Time, view
from backend.managers.alerting._calendar import calendar_of, calendar_range
from backend.managers.alerting._schedules import KeptSchedule, write_layer
from backend.managers.alerting.errors import (
    OverrideInvalidError,
    OverrideNotFoundError,
    ScheduleChangedError,
    ScheduleExistsError,
    ScheduleInUseError,
    ScheduleNotFoundError,
    ShiftRangeError,
    TimesInvalidError,
    TooManyOverridesError,
    TooManySchedulesError,
)
from backend.managers.alerting.manager import AlertingManager
from backend.managers.alerting.on_call_schemas import (
    OnCallNowListOut,
    OnCallNowOut,
    OnCallOverrideCreate,
    OnCallOverrideOut,
    OnCallScheduleOut,
    OnCallSchedulePut,
    OnCallShiftOut,
    OnCallShiftsOut,
)

on_call_router = APIRouter(prefix="/api/v1", tags=["on_call"])
Alerting = Annotated[AlertingManager, manager_of(AlertingManager)]
Reader = Annotated[Scope, requires("on_call:read")]
Writer = Annotated[Scope, requires("on_call:write")]
_ID: Final = {"schedule_id": "$response.body#/id"}
_OVERRIDE: Final = {
    "schedule_id": "$request.path.schedule_id",
    "override_id": "$response.body#/id",
}


@on_call_router.get("/on-call")
async def get_on_call(scope: Reader, alerting: Alerting, db: Db) -> OnCallNowListOut:
    """Tell who is on call now by each schedule, until when, and who is next."""
    async with db.read(scope) as tx:
        at = tx.now()
        found = await alerting.schedules.on_call(tx)
    items = [view(OnCallNowOut, await reckoning.now(one)) for one, reckoning in found]
    return OnCallNowListOut(at=at, items=items)


@on_call_router.get("/on-call-schedules")
async def list_on_call_schedules(
    scope: Reader, alerting: Alerting, db: Db, page: PageQuery
) -> Page[OnCallScheduleOut]:
    """List on-call schedules, the newest first."""
    async with db.read(scope) as tx:
        found = await alerting.schedules.list(tx, limit=page.limit, before_id=page.before_id)
    return page_of(OnCallScheduleOut, [_shown(one) for one in found], page)


@on_call_router.post(
    "/on-call-schedules",
    status_code=201,
    response_model=OnCallScheduleOut,
    responses={
        201: leads_to(
            get_on_call_schedule=_ID,
            put_on_call_schedule=_ID,
            delete_on_call_schedule=_ID,
            list_on_call_shifts=_ID,
            get_on_call_calendar=_ID,
            create_on_call_override=_ID,
            list_on_call_overrides=_ID,
        ),
        **problems(TimesInvalidError, ScheduleExistsError, TooManySchedulesError),
    },
)
async def create_on_call_schedule(
    request: Request, body: OnCallSchedulePut, scope: Writer, alerting: Alerting, db: Db
) -> Response:
    """Have people take turns at being on call."""
    async with db.transaction(scope) as tx:
        made = await alerting.schedules.create(tx, body.draft())
        return reply(request, tx, _shown(made), status=201, headers={"ETag": etag(made.version)})


@on_call_router.get("/on-call-schedules/{schedule_id}", responses=problems(ScheduleNotFoundError))
async def get_on_call_schedule(
    response: Response, schedule_id: IdPath, scope: Reader, alerting: Alerting, db: Db
) -> OnCallScheduleOut:
    """Get one on-call schedule. The ETag goes into If-Match."""
    async with db.read(scope) as tx:
        found = await alerting.schedules.get(tx, schedule_id)
    response.headers["ETag"] = etag(found.version)
    return _shown(found)


@on_call_router.put(
    "/on-call-schedules/{schedule_id}",
    response_model=OnCallScheduleOut,
    responses=problems(
        ScheduleNotFoundError, TimesInvalidError, ScheduleExistsError, ScheduleChangedError
    ),
)
async def put_on_call_schedule(
    request: Request,
    schedule_id: IdPath,
    body: OnCallSchedulePut,
    scope: Writer,
    alerting: Alerting,
    db: Db,
    if_match: IfMatch = None,
) -> Response:
    """Have other people take turns, or otherwise. Overrides stay."""
    async with db.transaction(scope) as tx:
        made = await alerting.schedules.replace(
            tx,
            schedule_id,
            body.draft(),
            expected_version=expected_version(if_match, ScheduleChangedError),
        )
        return reply(request, tx, _shown(made), headers={"ETag": etag(made.version)})


@on_call_router.delete(
    "/on-call-schedules/{schedule_id}",
    status_code=204,
    responses=problems(ScheduleNotFoundError, ScheduleInUseError, ScheduleChangedError),
)
async def delete_on_call_schedule(
    schedule_id: IdPath, scope: Writer, alerting: Alerting, db: Db, if_match: IfMatch = None
) -> None:
    """Delete an on-call schedule and its overrides."""
    async with db.transaction(scope) as tx:
        await alerting.schedules.remove(
            tx, schedule_id, expected_version=expected_version(if_match, ScheduleChangedError)
        )


@on_call_router.get(
    "/on-call-schedules/{schedule_id}/shifts",
    responses=problems(ScheduleNotFoundError, ShiftRangeError),
)
async def list_on_call_shifts(
    schedule_id: IdPath,
    scope: Reader,
    alerting: Alerting,
    db: Db,
    from_: Annotated[
        Time, Query(alias="from", description="RFC 3339", examples=["2026-06-01T00:00:00Z"])
    ],
    until: Annotated[
        Time, Query(description="92 days later at most", examples=["2026-07-01T00:00:00Z"])
    ],
) -> OnCallShiftsOut:
    """List who is on call in a stretch of time. Where nobody is, that is told as well."""
    async with db.read(scope) as tx:
        _, reckoning = await alerting.schedules.shifts(tx, schedule_id, from_, until)
    items = [
        OnCallShiftOut(begins_at=one.begin, ends_at=one.end, person=one.person)
        for one in await reckoning.shifts()
    ]
    return OnCallShiftsOut(schedule_id=schedule_id, items=items)


@on_call_router.get(
    "/on-call-schedules/{schedule_id}/calendar.ics",
    response_class=Response,
    responses={
        200: {"content": {"text/calendar": {}}, "description": "iCalendar (RFC 5545)"},
        **problems(ScheduleNotFoundError),
    },
)
async def get_on_call_calendar(
    schedule_id: IdPath, scope: Reader, alerting: Alerting, db: Db
) -> Response:
    """Get who is on call as a calendar: 92 days from the beginning of the month before."""
    async with db.read(scope) as tx:
        begin, end = calendar_range(tx.now())
        found, reckoning = await alerting.schedules.shifts(tx, schedule_id, begin, end)
        changed_at = await alerting.schedules.changed_at(tx, found)
    text = calendar_of(found.id, found.name, await reckoning.shifts(), changed_at)
    return Response(text, media_type="text/calendar; charset=utf-8")


@on_call_router.get(
    "/on-call-schedules/{schedule_id}/overrides", responses=problems(ScheduleNotFoundError)
)
async def list_on_call_overrides(
    schedule_id: IdPath, scope: Reader, alerting: Alerting, db: Db, page: PageQuery
) -> Page[OnCallOverrideOut]:
    """List who stands in, the newest first."""
    async with db.read(scope) as tx:
        found = await alerting.schedules.overrides(
            tx, schedule_id, limit=page.limit, before_id=page.before_id
        )
    return page_of(OnCallOverrideOut, found, page)


@on_call_router.post(
    "/on-call-schedules/{schedule_id}/overrides",
    status_code=201,
    response_model=OnCallOverrideOut,
    responses={
        201: leads_to(delete_on_call_override=_OVERRIDE),
        **problems(ScheduleNotFoundError, OverrideInvalidError, TooManyOverridesError),
    },
)
async def create_on_call_override(
    request: Request,
    schedule_id: IdPath,
    body: OnCallOverrideCreate,
    scope: Writer,
    alerting: Alerting,
    db: Db,
) -> Response:
    """Have somebody stand in for whoever it would be."""
    async with db.transaction(scope) as tx:
        made = await alerting.schedules.override(tx, schedule_id, body.draft())
        return reply(request, tx, view(OnCallOverrideOut, made), status=201)


@on_call_router.delete(
    "/on-call-schedules/{schedule_id}/overrides/{override_id}",
    status_code=204,
    responses=problems(OverrideNotFoundError),
)
async def delete_on_call_override(
    schedule_id: IdPath, override_id: IdPath, scope: Writer, alerting: Alerting, db: Db
) -> None:
    """Have nobody stand in any more."""
    async with db.transaction(scope) as tx:
        await alerting.schedules.remove_override(tx, schedule_id, override_id)


def _shown(schedule: KeptSchedule) -> OnCallScheduleOut:
    return view(OnCallScheduleOut, schedule, layers=[write_layer(one) for one in schedule.layers])
