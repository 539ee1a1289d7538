"""HTTP face of the tenants' metrics: parse, call, shape. Recording is on the data plane."""

from datetime import timedelta
from typing import Annotated, Final

from fastapi import APIRouter, Query, Request, Response

from backend.core.context import Scope
from backend.core.errors import InvalidInputError
from backend.http.deps import Db, manager_of, requires
from backend.http.pagination import NamedPageQuery, Page, page_of
from backend.http.reply import problems, reply
from backend.http.schemas import Time, view
from backend.managers.metrics._query import (
    MAX_LINES,
    MAX_POINTS,
    Aggregate,
    Wanted,
    expose,
    list_metrics,
    list_series,
    query,
)
from backend.managers.metrics._retention import MetricSettings
from backend.managers.metrics._windows import STEPS
from backend.managers.metrics.errors import (
    InvalidQueryError,
    RetentionOrderError,
)
from backend.managers.metrics.manager import MetricsManager
from backend.managers.metrics.schemas import (
    KeepDays,
    MetricLineOut,
    MetricLinesOut,
    MetricOut,
    MetricSeriesOut,
    MetricSettingsOut,
    MetricSettingsPut,
)

router = APIRouter(prefix="/api/v1", tags=["metric"])
metrics_router = APIRouter(prefix="/api/v1/metrics", tags=["metric"])
Metrics = Annotated[MetricsManager, manager_of(MetricsManager)]
Reader = Annotated[Scope, requires("metric:read")]
MetricName = Annotated[
    str,
    Query(
        max_length=128,
        pattern="^[a-zA-Z_:][a-zA-Z0-9_:]*$",
        examples=["orders_total"],
        description="The metric's name",
    ),
]
_DAY: Final = timedelta(days=1)


@metrics_router.get("")
async def list_tenant_metrics(
    scope: Reader,
    db: Db,
    page: NamedPageQuery,
    prefix: Annotated[str, Query(max_length=128, description="What names begin with")] = "",
) -> Page[MetricOut]:
    """List the tenant's metrics by name."""
    async with db.read(scope) as tx:
        found = await list_metrics(tx, limit=page.limit, after_name=page.after_name, prefix=prefix)
    return page_of(MetricOut, found, page)


@metrics_router.get("/query", responses=problems(InvalidQueryError))
async def query_metric(
    scope: Reader,
    metrics: Metrics,
    db: Db,
    name: MetricName,
    aggregate: Annotated[
        Aggregate, Query(examples=["sum"], description="What becomes of several observations")
    ],
    quantile: Annotated[float, Query(ge=0, le=1, description="For `quantile`")] = 0.95,
    since: Annotated[Time | None, Query(description="RFC 3339; a day ago unless given")] = None,
    until: Annotated[Time | None, Query(description="RFC 3339; now unless given")] = None,
    label: Annotated[
        list[str],
        Query(max_length=16, description="`name=value`: only series that have it"),
    ] = [],  # noqa: B006 - read only
    by: Annotated[
        list[str],
        Query(max_length=16, description="A line for each set of values of these labels"),
    ] = [],  # noqa: B006
    top: Annotated[int, Query(ge=1, le=MAX_LINES, description="Lines, the greatest first")] = 20,
    points: Annotated[int, Query(ge=1, le=MAX_POINTS, description="Of a line, at most")] = 500,
    *,
    with_week_before: Annotated[bool, Query(description="The week before beside it")] = False,
) -> MetricLinesOut:
    """Ask for a metric over a window of time.

    A counter can be asked for `rate` (a second), `sum` and `count` (of items); a gauge for `avg`,
    `min`, `max`, `last` and `sum`, the last two of which add series up; a histogram for `rate`,
    `count`, `sum`, `avg`, `min`, `max` and `quantile`, which is off by 2 % of its value at most.
    What was recorded in the last ten seconds may be missing.
    """
    labels = dict(_label(one) for one in label)
    async with db.read(scope) as tx:
        end = until or tx.now()
        wanted = Wanted(
            name=name,
            aggregate=aggregate,
            quantile=quantile,
            since=since or end - _DAY,
            until=end,
            labels=labels,
            by=list(dict.fromkeys(by)),
            top=top,
            points=points,
            with_week_before=with_week_before,
        )
        found = await query(tx, wanted, metrics.turns)
    return view(MetricLinesOut, found, lines=[view(MetricLineOut, one) for one in found.lines])


def _label(text: str) -> tuple[str, str]:
    name, sign, value = text.partition("=")
    if not sign:
        raise InvalidInputError("A label is asked for as name=value")
    return name, value


@metrics_router.get(
    "/exposition",
    response_class=Response,
    responses={200: {"content": {"text/plain": {}}, "description": "Prometheus text format"}},
)
async def expose_metrics(scope: Reader, db: Db) -> Response:
    """Expose the tenant's series for a Prometheus of its own.

    Counters and gauges as they stand; a histogram as a summary's `_sum` and `_count`.
    """
    async with db.read(scope) as tx:
        exposed = await expose(tx)
    return Response(exposed, media_type="text/plain; version=0.0.4; charset=utf-8")


@router.get("/metric-series")
async def list_metric_series(
    scope: Reader,
    db: Db,
    name: MetricName,
    limit: Annotated[int, Query(ge=1, le=1000, description="Series at most")] = 200,
) -> Page[MetricSeriesOut]:
    """List the series of a metric with their labels, the one heard of last first."""
    async with db.read(scope) as tx:
        found = await list_series(tx, name, limit=limit)
    return Page[MetricSeriesOut](
        items=[view(MetricSeriesOut, one) for one in found], next_cursor=None
    )


def _shown(found: MetricSettings) -> MetricSettingsOut:
    names = KeepDays.model_fields
    days = {name: found.keep_days[step] for name, step in zip(names, STEPS, strict=True)}
    return MetricSettingsOut(
        keep_days=KeepDays(**days),
        series=found.series,
        max_series=found.max_series,
        updated_at=found.updated_at,
        updated_by=found.updated_by,
    )


@router.get("/metric-settings")
async def get_metric_settings(scope: Reader, metrics: Metrics, db: Db) -> MetricSettingsOut:
    """Get how long the tenant's windows stay, and how many series it has."""
    async with db.read(scope) as tx:
        return _shown(await metrics.retention.get(tx))


@router.put(
    "/metric-settings",
    response_model=MetricSettingsOut,
    responses=problems(RetentionOrderError),
)
async def put_metric_settings(
    request: Request,
    body: MetricSettingsPut,
    scope: Annotated[Scope, requires("metric_settings:write")],
    metrics: Metrics,
    db: Db,
) -> Response:
    """Keep the tenant's windows for so many days, by their length.

    What is older goes within the hour.
    """
    days = [body.seconds_10, body.minute, body.minutes_10, body.hour]
    async with db.transaction(scope) as tx:
        made = await metrics.retention.put(tx, dict(zip(STEPS, days, strict=True)))
        return reply(request, tx, _shown(made))
