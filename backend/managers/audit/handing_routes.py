"""HTTP face of what takes the trail away: files of records, and the stream that pushes it.

Told once, and declared twice: for a tenant's trail and for the platform's own.
"""

from typing import Annotated, Any, Final, NamedTuple

from fastapi import APIRouter, Request, Response
from fastapi.responses import StreamingResponse

from backend.core.context import AnyScope
from backend.http.deps import Db, IdPath, manager_of, requires
from backend.http.pagination import Page, PageQuery, page_of
from backend.http.reply import leads_to, problems, reply
from backend.http.schemas import view
from backend.managers.audit._formats import FORMATS
from backend.managers.audit._search import Wanted
from backend.managers.audit.errands import EXPORT_PLATFORM, STREAM_PLATFORM
from backend.managers.audit.errors import (
    ExportNotFoundError,
    ExportNotReadyError,
    StreamInvalidError,
    StreamNotFoundError,
    TooManyExportsError,
)
from backend.managers.audit.manager import AuditManager
from backend.managers.audit.schemas import (
    ExportCreate,
    ExportOut,
    StreamOut,
    StreamPut,
    StreamSavedOut,
)

Audit = Annotated[AuditManager, manager_of(AuditManager)]
# One for all formats: the file's name says which.
_BYTES: Final = "application/octet-stream"


class _Trail(NamedTuple):
    """Whose trail the routes are of.

    Attributes:
        below: What their paths begin with.
        noun: What stands before ``audit`` in their names.
        whose: The trail's owner, in their descriptions.
        tags: What the document lists them under.
        exporter: Who may have files made, and their scope.
        stream_reader: Who may see the stream, and their scope.
        stream_writer: Who may change it, and their scope.
    """

    below: str
    noun: str
    whose: str
    tags: list[str]
    exporter: Any
    stream_reader: Any
    stream_writer: Any


_TRAILS: Final = (
    _Trail(
        below="/api/v1",
        noun="",
        whose="tenant's",
        tags=["audit"],
        exporter=requires("audit:export"),
        stream_reader=requires("audit_stream:read"),
        stream_writer=requires("audit_stream:write"),
    ),
    _Trail(
        below="/api/v1/platform",
        noun="platform_",
        whose="platform's own",
        tags=["audit", "platform"],
        exporter=requires("platform_audit:export", errand=EXPORT_PLATFORM),
        stream_reader=requires("platform_audit_stream:read", errand=STREAM_PLATFORM),
        stream_writer=requires("platform_audit_stream:write", errand=STREAM_PLATFORM),
    ),
)


def _exports(of: _Trail) -> APIRouter:
    router = APIRouter(prefix=f"{of.below}/audit-exports", tags=[*of.tags])
    one, many = f"{of.noun}audit_export", f"{of.noun}audit_exports"
    made = {"export_id": "$response.body#/id"}

    @router.post(
        "",
        name=f"start_{one}",
        description=f"Have a file made of the {of.whose} records, oldest first; a job makes it.",
        status_code=202,
        response_model=ExportOut,
        responses={
            202: leads_to(**{f"{verb}_{one}": made for verb in ("get", "download", "delete")}),
            **problems(TooManyExportsError),
        },
    )
    async def start(
        request: Request,
        body: ExportCreate,
        scope: Annotated[AnyScope, of.exporter],
        audit: Audit,
        db: Db,
    ) -> Response:
        wanted = Wanted(
            action=body.action,
            actor=body.actor,
            target=body.target,
            request_id=body.request_id,
            workflow=body.workflow,
            execution=body.execution,
            after=body.created_after,
            before=body.created_before,
        )
        async with db.transaction(scope) as tx:
            started = await audit.exports.start(tx, format_name=body.format, wanted=wanted)
            return reply(request, tx, view(ExportOut, started), status=202)

    @router.get(
        "",
        name=f"list_{many}",
        description=f"List the files of the {of.whose} trail that there are or will be, "
        "newest first.",
    )
    async def list_(
        scope: Annotated[AnyScope, of.exporter], audit: Audit, db: Db, page: PageQuery
    ) -> Page[ExportOut]:
        async with db.read(scope) as tx:
            rows = await audit.exports.list(tx, limit=page.limit, before_id=page.before_id)
            return page_of(ExportOut, rows, page)

    @router.get(
        "/{export_id}",
        name=f"get_{one}",
        description=f"Get one export of the {of.whose} trail: how far it is.",
        responses=problems(ExportNotFoundError),
    )
    async def get(
        export_id: IdPath, scope: Annotated[AnyScope, of.exporter], audit: Audit, db: Db
    ) -> ExportOut:
        async with db.read(scope) as tx:
            return view(ExportOut, await audit.exports.get(tx, export_id))

    @router.get(
        "/{export_id}/file",
        name=f"download_{one}",
        description=f"Download a file of the {of.whose} trail; that it was is on record.",
        response_class=Response,
        responses={
            200: {
                "content": {_BYTES: {"schema": {"type": "string", "format": "binary"}}},
                "description": "The file, in the export's format",
            },
            **problems(ExportNotFoundError, ExportNotReadyError),
        },
    )
    async def download(
        export_id: IdPath, scope: Annotated[AnyScope, of.exporter], audit: Audit, db: Db
    ) -> Response:
        async with db.transaction(scope) as tx:
            export = await audit.exports.open(tx, export_id)
        name = f"{of.noun}audit-{export.created_at:%Y%m%dT%H%M%SZ}.{FORMATS[export.format].suffix}"
        return StreamingResponse(
            audit.exports.read(db, scope, export),
            media_type=_BYTES,
            headers={
                "Content-Disposition": f'attachment; filename="{name.replace("_", "-")}"',
            },
        )

    @router.delete(
        "/{export_id}",
        name=f"delete_{one}",
        description=f"Forget a file of the {of.whose} trail, whether it is ready or being made.",
        status_code=204,
        responses=problems(ExportNotFoundError),
    )
    async def delete(
        export_id: IdPath, scope: Annotated[AnyScope, of.exporter], audit: Audit, db: Db
    ) -> None:
        async with db.transaction(scope) as tx:
            await audit.exports.delete(tx, export_id)

    return router


def _stream(of: _Trail) -> APIRouter:
    router = APIRouter(prefix=f"{of.below}/audit-stream", tags=[*of.tags])
    name = f"{of.noun}audit_stream"

    @router.get(
        "",
        name=f"get_{name}",
        description=f"Get where the {of.whose} trail is pushed to, and how far behind it is.",
        responses=problems(StreamNotFoundError),
    )
    async def get(scope: Annotated[AnyScope, of.stream_reader], audit: Audit, db: Db) -> StreamOut:
        async with db.read(scope) as tx:
            return view(StreamOut, await audit.streams.get(tx))

    @router.put(
        "",
        name=f"put_{name}",
        description=f"Push the {of.whose} trail to a webhook or a syslog receiver.\n\n"
        "A changed one keeps its place. Every record arrives at least once, in the order of "
        "`seq`; what is sent again has the same `webhook-id`. What fails is tried again after "
        "five minutes at most.",
        response_model=StreamSavedOut,
        responses={
            200: leads_to(**{f"{verb}_{name}": {} for verb in ("get", "delete")}),
            **problems(StreamInvalidError),
        },
    )
    async def put(
        request: Request,
        body: StreamPut,
        scope: Annotated[AnyScope, of.stream_writer],
        audit: Audit,
        db: Db,
    ) -> Response:
        async with db.transaction(scope) as tx:
            saved, secret = await audit.streams.put(
                tx,
                kind=body.kind,
                target=body.target,
                format_name=body.format,
                ca_certificate=body.ca_certificate,
                paused=body.paused,
                from_beginning=body.from_beginning,
            )
            shown = view(StreamSavedOut, saved, secret=secret, secret_withheld=None)
            return reply(request, tx, shown)

    @router.delete(
        "",
        name=f"delete_{name}",
        description=f"Push the {of.whose} trail nowhere any more; where it was is forgotten.",
        status_code=204,
        responses=problems(StreamNotFoundError),
    )
    async def delete(scope: Annotated[AnyScope, of.stream_writer], audit: Audit, db: Db) -> None:
        async with db.transaction(scope) as tx:
            await audit.streams.delete(tx)

    return router


exports, stream, platform_exports, platform_stream = (
    make(trail) for trail in _TRAILS for make in (_exports, _stream)
)
