"""HTTP face of the export to Elasticsearch: how far it is, and what it does not take."""

from typing import Annotated, Final

from fastapi import APIRouter, Request, Response

from backend.core.context import Scope
from backend.http.deps import Db, manager_of, requires
from backend.http.pagination import Page, PageQuery, page_of
from backend.http.reply import reply
from backend.http.schemas import view
from backend.managers.logging.manager import LoggingManager
from backend.managers.logging.schemas import (
    DeadLetterOut,
    DeadLettersOut,
    DeadLettersSelect,
    LogExportOut,
)

_LETTERS: Final = "/dead-letters"

router = APIRouter(prefix="/api/v1/log-export", tags=["log"])
Logs = Annotated[LoggingManager, manager_of(LoggingManager)]
Reader = Annotated[Scope, requires("log:read")]
Writer = Annotated[Scope, requires("log_export:write")]


@router.get("")
async def get_log_export(scope: Reader, logs: Logs, db: Db) -> LogExportOut:
    """Get how far the tenant's log lines have come on their way to Elasticsearch."""
    async with db.read(scope) as tx:
        return view(LogExportOut, await logs.export.get(tx))


@router.get(_LETTERS)
async def list_log_dead_letters(
    scope: Reader, logs: Logs, db: Db, page: PageQuery
) -> Page[DeadLetterOut]:
    """List the log lines that Elasticsearch does not take, newest first, with the reasons."""
    async with db.read(scope) as tx:
        rows = await logs.export.list_letters(tx, limit=page.limit, before_id=page.before_id)
        return page_of(DeadLetterOut, rows, page)


@router.post(f"{_LETTERS}/retry", response_model=DeadLettersOut)
async def retry_log_dead_letters(
    request: Request, body: DeadLettersSelect, scope: Writer, logs: Logs, db: Db
) -> Response:
    """Have dead letters tried once more, when the mapping that was in the way is another.

    Those that are named, or the oldest thousand; what is about to be tried already does not count.
    """
    async with db.transaction(scope) as tx:
        count = await logs.export.retry_letters(tx, body.ids)
        return reply(request, tx, DeadLettersOut(count=count))


@router.post(f"{_LETTERS}/forget", response_model=DeadLettersOut)
async def forget_log_dead_letters(
    request: Request, body: DeadLettersSelect, scope: Writer, logs: Logs, db: Db
) -> Response:
    """Give up dead letters: those that are named, or the oldest thousand.

    Their lines stay here as long as any, and never come to Elasticsearch.
    """
    async with db.transaction(scope) as tx:
        count = await logs.export.forget_letters(tx, body.ids)
        return reply(request, tx, DeadLettersOut(count=count))
