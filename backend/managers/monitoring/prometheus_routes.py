"""HTTP face of questions to a Prometheus: a tenant's, behind its wall, and the platform's."""

from datetime import datetime, timedelta
from typing import Annotated, Final

import msgspec
from fastapi import APIRouter, Depends, Query, Request, Response

from backend.core.context import Scope
from backend.core.room import PLATFORM_READ
from backend.http.deps import Db, IdPath, manager_of, requires
from backend.http.etag import IfMatch, etag, expected_version
from backend.http.pagination import Page, PageQuery, page_of
from backend.http.reply import leads_to, problems, reply
from backend.http.schemas import Time, view
from backend.managers.monitoring._prometheus import (
    MAX_LISTED,
    MAX_SELECTORS,
    Answer,
    Asker,
    Window,
)
from backend.managers.monitoring._promql import MAX_CHARACTERS
from backend.managers.monitoring._queries import KeptQuery
from backend.managers.monitoring.errors import (
    BadQueryError,
    PrometheusAbsentError,
    PrometheusUnavailableError,
    QueryBusyError,
    QueryChangedError,
    QueryExistsError,
    QueryNotFoundError,
    QueryRefusedError,
    QueryTimeoutError,
    TooManyQueriesError,
)
from backend.managers.monitoring.manager import MonitoringManager
from backend.managers.monitoring.schemas import (
    LabelNamesOut,
    PrometheusQueryOut,
    PrometheusQueryPut,
    PrometheusRuleOut,
    SampleRangeOut,
    SamplesOut,
    ScrapeTargetOut,
    SeriesLabelsOut,
)

Monitoring = Annotated[MonitoringManager, manager_of(MonitoringManager)]
PromQL = Annotated[
    str, Query(min_length=1, max_length=MAX_CHARACTERS, examples=["up"], description="PromQL")
]
Matches = Annotated[
    list[str],
    Query(max_length=MAX_SELECTORS, description='Selectors such as `up{job="api"}`; none: all'),
]
Since = Annotated[Time | None, Query(description="RFC 3339; an hour before `until` unless given")]
Until = Annotated[Time | None, Query(description="RFC 3339; now unless given")]
LabelName = Annotated[
    str,
    Query(
        max_length=128, pattern=r"^[a-zA-Z_][a-zA-Z0-9_]*$", examples=["job"], description="A label"
    ),
]
_HOUR: Final = timedelta(hours=1)
_DAY_SECONDS: Final = 86_400
_FAILURES: Final = problems(
    QueryBusyError,
    PrometheusAbsentError,
    PrometheusUnavailableError,
    QueryTimeoutError,
)
_REFUSALS: Final = problems(
    BadQueryError,
    QueryRefusedError,
    QueryBusyError,
    PrometheusAbsentError,
    PrometheusUnavailableError,
    QueryTimeoutError,
)


def _window(db: Db, since: datetime | None, until: datetime | None) -> Window:
    end = until or db.clock()
    return Window(since or end - _HOUR, end)


def _sent(answer: Answer) -> Response:
    """A hundred thousand samples: checked by the wire type they would hold up everybody."""
    return Response(msgspec.json.encode(answer), media_type="application/json")


def _routes(root: str, noun: str, permission: str, *, whole: bool) -> APIRouter:
    """The questions, told once: the two doors differ by who may pass, and by the wall alone."""
    router = APIRouter(prefix="/prometheus", tags=["prometheus"])

    async def asker_of(scope: Annotated[Scope, requires(permission)]) -> Asker:
        return Asker(scope.tenant_id, sees_all=whole)

    Caller = Annotated[Asker, Depends(asker_of)]  # noqa: N806 - a type

    @router.get("/query", name=f"query_{noun}", response_model=SamplesOut, responses=_REFUSALS)
    async def query(
        asker: Caller,
        monitoring: Monitoring,
        db: Db,
        query: PromQL,
        at: Annotated[Time | None, Query(description="RFC 3339; now unless given")] = None,
    ) -> Response:
        """Ask what a query comes to at one moment.

        Of a tenant every selector reads the tenant's own series, whatever it says of the label.
        """
        return _sent(await monitoring.prometheus.query(asker, query, at=at or db.clock()))

    @router.get(
        "/query-range",
        name=f"query_{noun}_range",
        response_model=SampleRangeOut,
        responses=_REFUSALS,
    )
    async def query_range(
        asker: Caller,
        monitoring: Monitoring,
        db: Db,
        query: PromQL,
        since: Since = None,
        until: Until = None,
        step_seconds: Annotated[
            float | None, Query(gt=0, le=_DAY_SECONDS, description="250 points unless given")
        ] = None,
    ) -> Response:
        """Ask what a query comes to at each step of a window, from its whole first second."""
        window = _window(db, since, until)
        return _sent(
            await monitoring.prometheus.query_range(asker, query, window, step_seconds=step_seconds)
        )

    @router.get("/series", name=f"list_{noun}_series", responses=_REFUSALS)
    async def list_series(
        asker: Caller,
        monitoring: Monitoring,
        db: Db,
        match: Matches = [],  # noqa: B006 - read only
        since: Since = None,
        until: Until = None,
        limit: Annotated[int, Query(ge=1, le=MAX_LISTED, description="Series at most")] = 1000,
    ) -> Page[SeriesLabelsOut]:
        """List the series that match a selector and had a sample in the window."""
        found = await monitoring.prometheus.list_series(
            asker, match, _window(db, since, until), limit=limit
        )
        items = [SeriesLabelsOut(labels=dict(labels)) for labels in found]
        return Page[SeriesLabelsOut](items=items, next_cursor=None)

    @router.get("/labels", name=f"list_{noun}_labels", responses=_REFUSALS)
    async def list_labels(
        asker: Caller,
        monitoring: Monitoring,
        db: Db,
        match: Matches = [],  # noqa: B006
        since: Since = None,
        until: Until = None,
    ) -> LabelNamesOut:
        """List the names of labels that series have."""
        window = _window(db, since, until)
        return LabelNamesOut(items=await monitoring.prometheus.list_labels(asker, match, window))

    @router.get("/label-values", name=f"list_{noun}_label_values", responses=_REFUSALS)
    async def list_label_values(
        asker: Caller,
        monitoring: Monitoring,
        db: Db,
        name: LabelName,
        match: Matches = [],  # noqa: B006
        since: Since = None,
        until: Until = None,
    ) -> LabelNamesOut:
        """List the values of a label; of `__name__` they are the names of metrics."""
        window = _window(db, since, until)
        found = await monitoring.prometheus.list_values(asker, name, match, window)
        return LabelNamesOut(items=found)

    @router.get("/targets", name=f"list_{noun}_targets", responses=_FAILURES)
    async def list_targets(asker: Caller, monitoring: Monitoring) -> Page[ScrapeTargetOut]:
        """List what is scraped; of a tenant, what carries its label."""
        found = await monitoring.prometheus.list_targets(asker)
        items = [view(ScrapeTargetOut, target) for target in found]
        return Page[ScrapeTargetOut](items=items, next_cursor=None)

    @router.get("/rules", name=f"list_{noun}_rules", responses=_FAILURES)
    async def list_rules(asker: Caller, monitoring: Monitoring) -> Page[PrometheusRuleOut]:
        """List rules with their alerts; of a tenant, what carries its label."""
        found = await monitoring.prometheus.list_rules(asker)
        items = [view(PrometheusRuleOut, rule) for rule in found]
        return Page[PrometheusRuleOut](items=items, next_cursor=None)

    rooted = APIRouter(prefix=root, tags=["platform"] if whole else [])
    rooted.include_router(router)
    return rooted


prometheus_router = _routes("/api/v1", "prometheus", "prometheus:read", whole=False)
platform_router = _routes("/api/v1/platform", "platform_prometheus", PLATFORM_READ, whole=True)


# --- what is kept ---------------------------------------------------------------------------

queries_router = APIRouter(prefix="/api/v1/prometheus-queries", tags=["prometheus"])
QueryReader = Annotated[Scope, requires("prometheus_query:read")]
QueryWriter = Annotated[Scope, requires("prometheus_query:write")]
_QUERY_ID: Final = {"query_id": "$response.body#/id"}


def _kept(response: Response, found: KeptQuery) -> PrometheusQueryOut:
    response.headers["ETag"] = etag(found.version)
    return view(PrometheusQueryOut, found)


@queries_router.get("")
async def list_prometheus_queries(
    scope: QueryReader, monitoring: Monitoring, db: Db, page: PageQuery
) -> Page[PrometheusQueryOut]:
    """List the queries that the tenant keeps, newest first."""
    async with db.read(scope) as tx:
        found = await monitoring.queries.list(tx, limit=page.limit, before_id=page.before_id)
    return page_of(PrometheusQueryOut, found, page)


@queries_router.post(
    "",
    status_code=201,
    response_model=PrometheusQueryOut,
    responses={
        201: leads_to(
            get_prometheus_query=_QUERY_ID,
            put_prometheus_query=_QUERY_ID,
            delete_prometheus_query=_QUERY_ID,
        ),
        **problems(QueryExistsError, TooManyQueriesError),
    },
)
async def create_prometheus_query(
    request: Request, body: PrometheusQueryPut, scope: QueryWriter, monitoring: Monitoring, db: Db
) -> Response:
    """Keep a query under a name, for all who may see the tenant's."""
    async with db.transaction(scope) as tx:
        made = await monitoring.queries.create(tx, name=body.name, query=body.query)
        headers = {"ETag": etag(made.version)}
        return reply(request, tx, view(PrometheusQueryOut, made), status=201, headers=headers)


@queries_router.get("/{query_id}", responses=problems(QueryNotFoundError))
async def get_prometheus_query(
    response: Response, query_id: IdPath, scope: QueryReader, monitoring: Monitoring, db: Db
) -> PrometheusQueryOut:
    """Get one kept query. The ETag goes into If-Match when changing it."""
    async with db.read(scope) as tx:
        found = await monitoring.queries.get(tx, query_id)
    return _kept(response, found)


@queries_router.put(
    "/{query_id}", responses=problems(QueryNotFoundError, QueryChangedError, QueryExistsError)
)
async def put_prometheus_query(
    response: Response,
    query_id: IdPath,
    body: PrometheusQueryPut,
    scope: QueryWriter,
    monitoring: Monitoring,
    db: Db,
    if_match: IfMatch = None,
) -> PrometheusQueryOut:
    """Keep another query in its place, or under another name."""
    async with db.transaction(scope) as tx:
        changed = await monitoring.queries.replace(
            tx,
            query_id,
            name=body.name,
            query=body.query,
            expected_version=expected_version(if_match, QueryChangedError),
        )
    return _kept(response, changed)


@queries_router.delete(
    "/{query_id}", status_code=204, responses=problems(QueryNotFoundError, QueryChangedError)
)
async def delete_prometheus_query(
    query_id: IdPath,
    scope: QueryWriter,
    monitoring: Monitoring,
    db: Db,
    if_match: IfMatch = None,
) -> None:
    """Keep it no more."""
    expected = expected_version(if_match, QueryChangedError)
    async with db.transaction(scope) as tx:
        await monitoring.queries.remove(tx, query_id, expected_version=expected)
