"""HTTP face of the dashboards that people make, and of those that ship."""

import re
from typing import Annotated, Any, Final, cast

from fastapi import APIRouter, Path, Request, Response

from backend.core.context import AnyScope, Errand, Scope
from backend.core.room import PLATFORM_READ, PLATFORM_WRITE
from backend.http.deps import Db, IdPath, manager_of, requires
from backend.http.etag import IfMatch, etag, expected_version
from backend.http.pagination import Page, PageQuery, page_of
from backend.http.reply import leads_to, problems, reply
from backend.http.schemas import view
from backend.managers.dashboard._dashboards import Dashboard, DashboardDraft, Visibility
from backend.managers.dashboard._shipped import TEMPLATES, TemplateKey, get_template
from backend.managers.dashboard.errands import PLATFORM_DASHBOARDS
from backend.managers.dashboard.errors import (
    DashboardChangedError,
    DashboardExistsError,
    DashboardInvalidError,
    DashboardNotFoundError,
    DashboardVersionNotFoundError,
    TooManyDashboardsError,
)
from backend.managers.dashboard.manager import DashboardManager
from backend.managers.dashboard.schemas import (
    DashboardCreate,
    DashboardDetailOut,
    DashboardDocument,
    DashboardImport,
    DashboardOut,
    DashboardPut,
    DashboardTemplateOut,
    DashboardTemplatesOut,
    DashboardVersionDetailOut,
    DashboardVersionOut,
    DashboardVersionsOut,
    PlatformDashboardImport,
    content_of,
)

Boards = Annotated[DashboardManager, manager_of(DashboardManager)]
VersionPath = Annotated[int, Path(ge=1, le=2**31, examples=[1], description="From 1 on")]
_MADE: Final = problems(DashboardInvalidError, DashboardExistsError, TooManyDashboardsError)
_SAVED: Final = problems(
    DashboardNotFoundError, DashboardExistsError, DashboardChangedError, DashboardInvalidError
)


def _shown(found: Dashboard) -> tuple[DashboardDetailOut, dict[str, str]]:
    return view(DashboardDetailOut, found), {"ETag": etag(str(found.version))}


def _routes(
    root: str, noun: str, whose: str, read: str, write: str, errand: Errand | None
) -> APIRouter:
    """The acts, told once: the doors differ by who may pass and what visibility there is."""
    router = APIRouter(prefix=root, tags=["dashboard", *(["platform"] if errand else [])])
    one, many = noun, f"{noun}s"
    made: Any = PlatformDashboardImport if errand else DashboardImport
    body_of: Any = DashboardPut if errand else DashboardCreate
    Reader = Annotated[AnyScope, requires(read, errand=errand)]  # noqa: N806 - a type
    Writer = Annotated[AnyScope, requires(write, errand=errand)]  # noqa: N806
    which: Final = {"dashboard_id": "$response.body#/id"}
    follows: Final = leads_to(
        **{f"{verb}_{one}": which for verb in ("get", "put", "export", "delete")},
        **{f"list_{one}_versions": which},
        **{
            f"{verb}_{one}_version": {**which, "version": "$response.body#/version"}
            for verb in ("get", "restore")
        },
    )

    def visibility_of(body: object) -> Visibility:
        return "platform" if errand else cast("Visibility", getattr(body, "visibility"))  # noqa: B009

    @router.get("", name=f"list_{many}", description=f"List {whose} dashboards, newest first.")
    async def list_(scope: Reader, boards: Boards, db: Db, page: PageQuery) -> Page[DashboardOut]:
        async with db.read(scope) as tx:
            found = await boards.dashboards.list(tx, limit=page.limit, before_id=page.before_id)
        return page_of(DashboardOut, found, page)

    @router.post(
        "",
        name=f"create_{one}",
        description=f"Make one of {whose} dashboards.",
        status_code=201,
        response_model=DashboardDetailOut,
        responses={201: follows, **_MADE},
    )
    async def create(
        request: Request, body: body_of, scope: Writer, boards: Boards, db: Db
    ) -> Response:
        async with db.transaction(scope) as tx:
            found = await boards.dashboards.create(
                tx, DashboardDraft(**content_of(body)), visibility_of(body)
            )
            shown, headers = _shown(found)
            return reply(request, tx, shown, status=201, headers=headers)

    @router.post(
        "/import",
        name=f"import_{one}",
        description=f"Make one of {whose} dashboards from an exported file.",
        status_code=201,
        response_model=DashboardDetailOut,
        responses={201: follows, **_MADE},
    )
    async def import_(
        request: Request, body: made, scope: Writer, boards: Boards, db: Db
    ) -> Response:
        content = content_of(body.document)
        draft = DashboardDraft(**{**content, "name": body.name or content["name"]})
        async with db.transaction(scope) as tx:
            found = await boards.dashboards.create(tx, draft, visibility_of(body), imported=True)
            shown, headers = _shown(found)
            return reply(request, tx, shown, status=201, headers=headers)

    @router.get(
        "/{dashboard_id}",
        name=f"get_{one}",
        description=f"Get one of {whose} dashboards. The ETag goes into If-Match.",
        responses=problems(DashboardNotFoundError),
    )
    async def get(
        response: Response, dashboard_id: IdPath, scope: Reader, boards: Boards, db: Db
    ) -> DashboardDetailOut:
        async with db.read(scope) as tx:
            shown, headers = _shown(await boards.dashboards.get(tx, dashboard_id))
        response.headers.update(headers)
        return shown

    @router.put(
        "/{dashboard_id}",
        name=f"put_{one}",
        description=f"Save another version of one of {whose} dashboards.",
        response_model=DashboardDetailOut,
        responses=_SAVED,
    )
    async def put(
        request: Request,
        dashboard_id: IdPath,
        body: DashboardPut,
        scope: Writer,
        boards: Boards,
        db: Db,
        if_match: IfMatch = None,
    ) -> Response:
        expected = expected_version(if_match, DashboardChangedError)
        async with db.transaction(scope) as tx:
            draft = DashboardDraft(**content_of(body))
            found = await boards.dashboards.replace(
                tx, dashboard_id, draft, expected_version=expected
            )
            shown, headers = _shown(found)
            return reply(request, tx, shown, headers=headers)

    @router.delete(
        "/{dashboard_id}",
        name=f"delete_{one}",
        description=f"Delete one of {whose} dashboards with its versions.",
        status_code=204,
        responses=problems(DashboardNotFoundError, DashboardChangedError),
    )
    async def delete(
        dashboard_id: IdPath, scope: Writer, boards: Boards, db: Db, if_match: IfMatch = None
    ) -> None:
        expected = expected_version(if_match, DashboardChangedError)
        async with db.transaction(scope) as tx:
            await boards.dashboards.remove(tx, dashboard_id, expected_version=expected)

    @router.get(
        "/{dashboard_id}/export",
        name=f"export_{one}",
        description=f"Get one of {whose} dashboards as a file.",
        response_model=DashboardDocument,
        responses=problems(DashboardNotFoundError),
    )
    async def export(dashboard_id: IdPath, scope: Reader, boards: Boards, db: Db) -> Response:
        async with db.read(scope) as tx:
            found = await boards.dashboards.get(tx, dashboard_id)
        document = view(DashboardDocument, found, format="email-sender.dashboard", schema_version=1)
        name = re.sub("[^a-z0-9]+", "-", found.name.lower()).strip("-") or "dashboard"
        return Response(
            document.model_dump_json(exclude_none=True, indent=2),
            media_type="application/json",
            headers={"Content-Disposition": f'attachment; filename="{name}.json"'},
        )

    @router.get(
        "/{dashboard_id}/versions",
        name=f"list_{one}_versions",
        description=f"List versions of one of {whose} dashboards.",
        responses=problems(DashboardNotFoundError),
    )
    async def list_versions(
        dashboard_id: IdPath, scope: Reader, boards: Boards, db: Db
    ) -> DashboardVersionsOut:
        async with db.read(scope) as tx:
            found = await boards.dashboards.list_versions(tx, dashboard_id)
        return DashboardVersionsOut(items=[view(DashboardVersionOut, each) for each in found])

    @router.get(
        "/{dashboard_id}/versions/{version}",
        name=f"get_{one}_version",
        description=f"Get what one of {whose} dashboards was at a version.",
        responses=problems(DashboardNotFoundError, DashboardVersionNotFoundError),
    )
    async def get_version(
        dashboard_id: IdPath, version: VersionPath, scope: Reader, boards: Boards, db: Db
    ) -> DashboardVersionDetailOut:
        async with db.read(scope) as tx:
            found = await boards.dashboards.get_version(tx, dashboard_id, version)
        return view(DashboardVersionDetailOut, found)

    @router.post(
        "/{dashboard_id}/versions/{version}/restore",
        name=f"restore_{one}_version",
        description=f"Save what one of {whose} dashboards was as its newest version.",
        response_model=DashboardDetailOut,
        responses={**_SAVED, **problems(DashboardNotFoundError, DashboardVersionNotFoundError)},
    )
    async def restore(
        request: Request,
        dashboard_id: IdPath,
        version: VersionPath,
        scope: Writer,
        boards: Boards,
        db: Db,
        if_match: IfMatch = None,
    ) -> Response:
        expected = expected_version(if_match, DashboardChangedError)
        async with db.transaction(scope) as tx:
            found = await boards.dashboards.restore(
                tx, dashboard_id, version, expected_version=expected
            )
            shown, headers = _shown(found)
            return reply(request, tx, shown, headers=headers)

    return router


boards_router = _routes(
    "/api/v1/dashboards",
    "dashboard",
    "the tenant's and one's own",
    "dashboard:read",
    "dashboard:write",
    None,
)
platform_boards_router = _routes(
    "/api/v1/platform/dashboards",
    "platform_dashboard",
    "the platform's",
    PLATFORM_READ,
    PLATFORM_WRITE,
    PLATFORM_DASHBOARDS,
)

templates_router = APIRouter(prefix="/api/v1/dashboard-templates", tags=["dashboard"])
TemplateReader = Annotated[Scope, requires("dashboard:read")]
KeyPath = Annotated[TemplateKey, Path(examples=["mail-delivery"])]


@templates_router.get("")
async def list_dashboard_templates(scope: TemplateReader) -> DashboardTemplatesOut:  # noqa: ARG001
    """List the dashboards that ship; to change one, make a dashboard of what is on it."""
    return DashboardTemplatesOut(items=[view(DashboardTemplateOut, one) for one in TEMPLATES])


@templates_router.get("/{key}")
async def get_dashboard_template(
    key: KeyPath,
    scope: TemplateReader,  # noqa: ARG001
) -> DashboardTemplateOut:
    """Get one of the dashboards that ship."""
    return view(DashboardTemplateOut, get_template(key))
