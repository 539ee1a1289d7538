"""HTTP face of looking for log lines, and of their settings: parse, call, shape. No rules here."""

from typing import Annotated, Final

from fastapi import APIRouter, Depends, Query, Response

from backend.core.context import Scope
from backend.core.errors import InvalidInputError
from backend.http.deps import Db, IdPath, manager_of, requires
from backend.http.etag import IfMatch, etag, expected_version
from backend.http.pagination import PageQuery, encode_cursor
from backend.http.reply import leads_to, problems
from backend.http.schemas import Time, view
from backend.managers.logging._lines import KeepRule
from backend.managers.logging._patterns import MAX_PATTERNS
from backend.managers.logging._redaction import Pattern
from backend.managers.logging._search import (
    Wanted,
    find_around,
    follow,
    get_line,
)
from backend.managers.logging.errors import (
    LogRecordNotFoundError,
    LogSearchError,
    LogSettingsChangedError,
    LogSettingsInvalidError,
)
from backend.managers.logging.manager import LoggingManager
from backend.managers.logging.schemas import (
    Level,
    LogLinesOut,
    LogPatternsOut,
    LogRecordOut,
    LogRecordPage,
    LogSettingsOut,
    LogSettingsPut,
    LogStoreOut,
    LogSummaryOut,
    LogTailOut,
)

router = APIRouter(prefix="/api/v1", tags=["log"])
Logs = Annotated[LoggingManager, manager_of(LoggingManager)]
Reader = Annotated[Scope, requires("log:read")]
Writer = Annotated[Scope, requires("log_settings:write")]
_Name = Annotated[str | None, Query(max_length=200, description="Exactly")]
_SEARCHED: Final = (LogSearchError, InvalidInputError)


async def _wanted(
    level: Annotated[Level | None, Query(description="This level or a higher one")] = None,
    source: _Name = None,
    after: Annotated[
        Time | None,
        Query(description="RFC 3339; happened then or later", examples=["2026-01-31T08:00:00Z"]),
    ] = None,
    before: Annotated[
        Time | None,
        Query(description="RFC 3339; happened earlier", examples=["2026-02-01T08:00:00Z"]),
    ] = None,
    trace_id: _Name = None,
    request_id: _Name = None,
    execution_id: _Name = None,
    words: Annotated[
        str | None,
        Query(
            max_length=500,
            description='Words that occur in the message; "one after the other", pay*, -without',
            examples=["payment failed"],
        ),
    ] = None,
) -> Wanted:
    return Wanted(
        level=level,
        source=source,
        after=after,
        before=before,
        trace_id=trace_id,
        request_id=request_id,
        execution_id=execution_id,
        words=words,
    )


WantedQuery = Annotated[Wanted, Depends(_wanted)]


@router.get("/logs", responses=problems(*_SEARCHED))
async def list_logs(
    scope: Reader, logs: Logs, db: Db, page: PageQuery, wanted: WantedQuery
) -> LogRecordPage:
    """List log lines, the latest first, by their own time.

    Where Elasticsearch is configured it is asked, and `store` says what answered. A page may have
    fewer lines than its limit, or none, while `next_cursor` says that there are more: the database
    looks for what has no index among 200 000 lines a request.
    """
    found = await logs.index.find(db, scope, wanted, limit=page.limit, before_id=page.before_id)
    return LogRecordPage(
        items=[view(LogRecordOut, one) for one in found.lines],
        next_cursor=None if found.next_id is None else encode_cursor(found.next_id),
        store=view(LogStoreOut, found.store),
    )


@router.get("/logs/summary", responses=problems(*_SEARCHED))
async def sum_up_logs(scope: Reader, logs: Logs, db: Db, wanted: WantedQuery) -> LogSummaryOut:
    """Count log lines by time and level, and by source, of the last hour or since `after`.

    Of more than 200 000 lines the database counts the latest, and `complete` is false;
    Elasticsearch, where it is configured, counts all. `store` says what answered.
    """
    return view(LogSummaryOut, await logs.index.sum_up(db, scope, wanted))


@router.get("/logs/patterns", responses=problems(*_SEARCHED))
async def find_log_patterns(
    scope: Reader,
    logs: Logs,
    db: Db,
    wanted: WantedQuery,
    limit: Annotated[int, Query(ge=1, le=MAX_PATTERNS, description="Patterns")] = 50,
    *,
    new: Annotated[
        bool, Query(description="Only those that no line before the stretch was like")
    ] = False,
) -> LogPatternsOut:
    """Find what log lines have in common, and what is new of it.

    Of the last day, or since `after`. Numbers, ids, addresses, times and what stands in double
    quotes are left out of messages. At most the newest 10 000 lines of the stretch are looked at,
    and as many before it are compared with; `talkers` says who wrote those that were looked at.
    """
    found = await logs.find_patterns(db, scope, wanted, limit=limit, only_new=new)
    return view(LogPatternsOut, found)


@router.get("/logs/tail", responses=problems(*_SEARCHED))
async def tail_logs(
    scope: Reader,
    db: Db,
    wanted: WantedQuery,
    after_seq: Annotated[
        int | None, Query(ge=0, le=2**53, description="The `seq` of the answer before")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=200, description="Lines")] = 50,
) -> LogTailOut:
    """Follow log lines in the order of their coming: those after a `seq`, or the newest.

    `after` and `before` are not asked about.
    """
    async with db.read(scope) as tx:
        tail = await follow(tx, wanted, after_seq=after_seq, limit=limit)
    return LogTailOut(items=[view(LogRecordOut, one) for one in tail.lines], seq=tail.seq)


@router.get("/logs/{record_id}", responses=problems(LogRecordNotFoundError))
async def get_log(record_id: IdPath, scope: Reader, db: Db) -> LogRecordOut:
    """Get one log line."""
    async with db.read(scope) as tx:
        return view(LogRecordOut, await get_line(tx, record_id))


@router.get("/logs/{record_id}/context", responses=problems(LogRecordNotFoundError))
async def get_log_context(
    record_id: IdPath,
    scope: Reader,
    db: Db,
    lines: Annotated[int, Query(ge=1, le=100, description="Before it and after it, each")] = 10,
) -> LogLinesOut:
    """Get what the line's source said before it and after it, in order, the line among them."""
    async with db.read(scope) as tx:
        found = await find_around(tx, record_id, lines=lines)
    return LogLinesOut(items=[view(LogRecordOut, one) for one in found])


@router.get("/log-settings")
async def get_log_settings(response: Response, scope: Reader, logs: Logs, db: Db) -> LogSettingsOut:
    """Get how long log lines are kept and what is taken out. The ETag goes into If-Match."""
    async with db.read(scope) as tx:
        found = await logs.get_settings(tx)
    response.headers["ETag"] = etag(found.version)
    return view(LogSettingsOut, found)


@router.put(
    "/log-settings",
    responses={
        200: leads_to(get_log_settings={}),
        **problems(InvalidInputError, LogSettingsInvalidError, LogSettingsChangedError),
    },
)
async def put_log_settings(
    response: Response,
    body: LogSettingsPut,
    scope: Writer,
    logs: Logs,
    db: Db,
    if_match: IfMatch = None,
) -> LogSettingsOut:
    """Say how long log lines are kept and what is taken out of those that come from now on."""
    async with db.transaction(scope) as tx:
        said = await logs.put_settings(
            tx,
            keep_days=body.keep_days,
            retention=[KeepRule(one.days, tuple(one.levels), one.source) for one in body.retention],
            hidden=body.hidden,
            patterns=[Pattern(one.name, one.expression) for one in body.patterns],
            expected_version=expected_version(if_match, LogSettingsChangedError),
        )
    response.headers["ETag"] = etag(said.version)
    return view(LogSettingsOut, said)
