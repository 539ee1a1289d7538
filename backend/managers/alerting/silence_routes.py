"""HTTP face of silences: parse, call, shape."""

from typing import Annotated, Final

from fastapi import APIRouter, Query, Request, Response

from backend.core.context import Scope
from backend.http.deps import Db, IdPath, manager_of, requires
from backend.http.etag import IfMatch, etag, expected_version
from backend.http.pagination import Page, PageQuery, page_of
from backend.http.reply import leads_to, problems, reply
from backend.http.schemas import Time, view
from backend.kit.wall_clock import Stretch
from backend.managers.alerting._matching import read_matchers
from backend.managers.alerting._silence_calendar import SilenceTime, silences_in
from backend.managers.alerting._silences import KeptSilence, SilenceState
from backend.managers.alerting._windows import write_windows
from backend.managers.alerting.errors import (
    MatcherInvalidError,
    SilenceChangedError,
    SilenceInvalidError,
    SilenceNotFoundError,
    SilenceOverError,
    SilenceRangeError,
    TimesInvalidError,
    TooManySilencesError,
)
from backend.managers.alerting.manager import AlertingManager
from backend.managers.alerting.silence_schemas import (
    SilenceCalendarOut,
    SilenceOut,
    SilencePut,
    SilenceTimeOut,
)

silences_router = APIRouter(prefix="/api/v1/silences", tags=["silence"])
silence_calendar_router = APIRouter(prefix="/api/v1/silence-calendar", tags=["silence"])
Alerting = Annotated[AlertingManager, manager_of(AlertingManager)]
Reader = Annotated[Scope, requires("silence:read")]
Writer = Annotated[Scope, requires("silence:write")]
_ID: Final = {"silence_id": "$response.body#/id"}


@silences_router.get("", responses=problems(MatcherInvalidError))
async def list_silences(
    scope: Reader,
    alerting: Alerting,
    db: Db,
    page: PageQuery,
    state: SilenceState | None = None,
    matchers: Annotated[
        str | None,
        Query(
            max_length=2000,
            description='Held against what its matchers say, as against labels: `team="db"`',
        ),
    ] = None,
) -> Page[SilenceOut]:
    """List silences and maintenance, the newest first."""
    async with db.read(scope) as tx:
        found = await alerting.silences.list(
            tx,
            state=state,
            matchers=read_matchers(matchers or ""),
            limit=page.limit,
            before_id=page.before_id,
        )
    return page_of(SilenceOut, [_shown(one) for one in found], page)


@silence_calendar_router.get("", responses=problems(SilenceRangeError))
async def list_silence_times(
    scope: Reader,
    alerting: Alerting,
    db: Db,
    from_: Annotated[
        Time, Query(alias="from", description="RFC 3339", examples=["2026-06-01T00:00:00Z"])
    ],
    until: Annotated[
        Time, Query(description="42 days later at most", examples=["2026-07-01T00:00:00Z"])
    ],
) -> SilenceCalendarOut:
    """List when silences and maintenance count in a stretch of time, each window by itself."""
    async with db.read(scope) as tx:
        reckoning = await silences_in(tx, alerting.silences, Stretch(from_, until))
    found = await reckoning.times()
    return SilenceCalendarOut(items=[_timed(one) for one in found.times], complete=found.complete)


@silences_router.post(
    "",
    status_code=201,
    response_model=SilenceOut,
    responses={
        201: leads_to(get_silence=_ID, put_silence=_ID, expire_silence=_ID),
        **problems(
            MatcherInvalidError, SilenceInvalidError, TimesInvalidError, TooManySilencesError
        ),
    },
)
async def create_silence(
    request: Request, body: SilencePut, scope: Writer, alerting: Alerting, db: Db
) -> Response:
    """Have nobody told of some alerts for a while."""
    async with db.transaction(scope) as tx:
        made = await alerting.silences.create(tx, body.draft())
        return reply(request, tx, _shown(made), status=201, headers={"ETag": etag(made.version)})


@silences_router.get("/{silence_id}", responses=problems(SilenceNotFoundError))
async def get_silence(
    response: Response, silence_id: IdPath, scope: Reader, alerting: Alerting, db: Db
) -> SilenceOut:
    """Get one silence. The ETag goes into If-Match."""
    async with db.read(scope) as tx:
        found = await alerting.silences.get(tx, silence_id)
    response.headers["ETag"] = etag(found.version)
    return _shown(found)


@silences_router.put(
    "/{silence_id}",
    response_model=SilenceOut,
    responses=problems(
        SilenceNotFoundError,
        MatcherInvalidError,
        SilenceInvalidError,
        TimesInvalidError,
        SilenceOverError,
        SilenceChangedError,
    ),
)
async def put_silence(
    request: Request,
    silence_id: IdPath,
    body: SilencePut,
    scope: Writer,
    alerting: Alerting,
    db: Db,
    if_match: IfMatch = None,
) -> Response:
    """Change a silence that is not over. Of one that has begun the beginning stays."""
    async with db.transaction(scope) as tx:
        made = await alerting.silences.replace(
            tx,
            silence_id,
            body.draft(),
            expected_version=expected_version(if_match, SilenceChangedError),
        )
        return reply(request, tx, _shown(made), headers={"ETag": etag(made.version)})


@silences_router.post(
    "/{silence_id}/expire",
    response_model=SilenceOut,
    responses=problems(SilenceNotFoundError, SilenceOverError),
)
async def expire_silence(
    request: Request, silence_id: IdPath, scope: Writer, alerting: Alerting, db: Db
) -> Response:
    """End a silence now. It stays as history."""
    async with db.transaction(scope) as tx:
        made = await alerting.silences.expire(tx, silence_id)
        return reply(request, tx, _shown(made))


def _timed(one: SilenceTime) -> SilenceTimeOut:
    silence = one.silence
    return SilenceTimeOut(
        silence_id=silence.id,
        kind=silence.kind,
        matchers=", ".join(map(str, silence.matchers)),
        reason=silence.reason,
        begins_at=one.stretch.begin,
        ends_at=one.stretch.end,
        recurs=bool(silence.windows),
        announced_at=silence.announced_at,
        announces_at=silence.announces_at,
    )


def _shown(silence: KeptSilence) -> SilenceOut:
    return view(
        SilenceOut,
        silence,
        matchers=", ".join(map(str, silence.matchers)),
        windows=write_windows(silence.windows),
    )
