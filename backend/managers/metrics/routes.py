"""HTTP face of the tenants' metrics: parse, call, shape. Recording is on the data plane."""

from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Annotated, Final, NamedTuple

from fastapi import APIRouter, Depends, Query, Request, Response

from backend.core.context import Scope
from backend.core.errors import InvalidInputError
from backend.http.deps import Db, manager_of, requires
from backend.http.pagination import NamedPageQuery, Page, page_of
from backend.http.reply import problems, reply
from backend.http.schemas import Time, view
from backend.managers.metrics._analysis import find_trends, foresee, score, unit_of, zone_of
from backend.managers.metrics._listing import expose, list_metrics, list_series
from backend.managers.metrics._query import (
    MAX_LINES,
    MAX_POINTS,
    Aggregate,
    Wanted,
    query,
    read_hours,
)
from backend.managers.metrics._retention import MetricSettings
from backend.managers.metrics._seasons import HOUR
from backend.managers.metrics._windows import STEPS
from backend.managers.metrics.errors import (
    InvalidQueryError,
    RetentionOrderError,
)
from backend.managers.metrics.manager import MetricsManager
from backend.managers.metrics.schemas import (
    KeepDays,
    MetricForecastLineOut,
    MetricForecastsOut,
    MetricLineOut,
    MetricLinesOut,
    MetricOut,
    MetricScoredLineOut,
    MetricScoresOut,
    MetricSeriesOut,
    MetricSettingsOut,
    MetricSettingsPut,
    MetricTrendLineOut,
    MetricTrendsOut,
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


class _Question(NamedTuple):
    """What all ways to ask for a metric have in common."""

    name: str
    aggregate: Aggregate
    quantile: float
    label: list[str]
    by: list[str]

    def within(self, since: datetime, until: datetime, top: int) -> Wanted:
        """Ask it of a window."""
        return Wanted(
            name=self.name,
            aggregate=self.aggregate,
            quantile=self.quantile,
            since=since,
            until=until,
            labels=dict(_label(one) for one in self.label),
            by=list(dict.fromkeys(self.by)),
            top=top,
        )


def _label(text: str) -> tuple[str, str]:
    name, sign, value = text.partition("=")
    if not sign:
        raise InvalidInputError("A label is asked for as name=value")
    return name, value


def _question(
    name: MetricName,
    aggregate: Annotated[
        Aggregate, Query(examples=["sum"], description="What becomes of several observations")
    ],
    quantile: Annotated[float, Query(ge=0, le=1, description="For `quantile`")] = 0.95,
    label: Annotated[
        list[str],
        Query(max_length=16, description="`name=value`: only series that have it"),
    ] = [],  # noqa: B006 - read only
    by: Annotated[
        list[str],
        Query(max_length=16, description="A line for each set of values of these labels"),
    ] = [],  # noqa: B006
) -> _Question:
    return _Question(name, aggregate, quantile, label, by)


Question = Annotated[_Question, Depends(_question)]
Until = Annotated[Time | None, Query(description="RFC 3339; now unless given")]
TimeZone = Annotated[
    str,
    Query(
        max_length=64,
        pattern="^[A-Za-z0-9_+/-]+$",
        examples=["Europe/Berlin"],
        description="By whose clock it is Tuesday 10:00",
    ),
]
Weeks = Annotated[int, Query(ge=1, le=8, description="Of hours before, to compare with")]
_DAY: Final = timedelta(days=1)
_WEEK: Final = timedelta(days=7)
_MAX_ANALYSED: Final = 20


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
    question: Question,
    since: Annotated[Time | None, Query(description="RFC 3339; a day ago unless given")] = None,
    until: Until = None,
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
    async with db.read(scope) as tx:
        end = until or tx.now()
        wanted = question.within(since or end - _DAY, end, top)
        wanted = replace(wanted, points=points, with_week_before=with_week_before)
        asked = await query(tx, wanted)
    found = await asked.answer(metrics.turns)
    return view(MetricLinesOut, found, lines=[view(MetricLineOut, one) for one in found.lines])


@metrics_router.get("/anomalies", responses=problems(InvalidQueryError))
async def score_metric(
    scope: Reader,
    metrics: Metrics,
    db: Db,
    question: Question,
    since: Annotated[Time | None, Query(description="RFC 3339; a week ago unless given")] = None,
    until: Until = None,
    top: Annotated[int, Query(ge=1, le=_MAX_ANALYSED, description="Lines")] = 5,
    weeks: Weeks = 8,
    time_zone: TimeZone = "UTC",
) -> MetricScoresOut:
    """Score the hours of a metric: how unusual each is, and why.

    An hour is compared with the same hour of up to eight weeks before; where fewer than four of
    those were measured, with the same hour of the days before, else with all hours before. An hour
    without measurements is `not_measured`, and so is one without observations of a counter that
    would be usual: nobody can tell.
    """
    zone = zone_of(time_zone)
    async with db.read(scope) as tx:
        end = until or tx.now()
        first = since or _earlier(end, 1)
        asked = await read_hours(tx, question.within(_earlier(first, weeks), end, top))
    hours = await asked.answer(metrics.turns)
    before = weeks * _WEEK // timedelta(seconds=HOUR)
    if before >= hours.size:
        raise InvalidQueryError("There is no whole hour in the window").at("until")
    lines = await metrics.turns.run(scope.tenant_id, partial(score, hours, before, zone))
    return view(
        MetricScoresOut,
        hours,
        time_zone=time_zone,
        start_at=hours.begins(before),
        lines=[view(MetricScoredLineOut, one) for one in lines],
    )


@metrics_router.get("/trend", responses=problems(InvalidQueryError))
async def get_metric_trend(
    scope: Reader,
    metrics: Metrics,
    db: Db,
    question: Question,
    since: Annotated[Time | None, Query(description="RFC 3339; 28 days ago unless given")] = None,
    until: Until = None,
    top: Annotated[int, Query(ge=1, le=_MAX_ANALYSED, description="Lines")] = 5,
    time_zone: TimeZone = "UTC",
) -> MetricTrendsOut:
    """Get where a metric goes: by the median slope between alike hours (Theil and Sen).

    A season is no trend: hours of three weeks are compared by hour of the week, those of three days
    by hour of the day.
    """
    zone = zone_of(time_zone)
    async with db.read(scope) as tx:
        end = until or tx.now()
        asked = await read_hours(tx, question.within(since or _earlier(end, 4), end, top))
    hours = await asked.answer(metrics.turns)
    lines = await metrics.turns.run(scope.tenant_id, partial(find_trends, hours, zone))
    return view(
        MetricTrendsOut,
        hours,
        time_zone=time_zone,
        start_at=hours.begins(0),
        unit=unit_of(hours),
        hours=hours.size,
        lines=[view(MetricTrendLineOut, one) for one in lines],
    )


@metrics_router.get("/forecast", responses=problems(InvalidQueryError))
async def forecast_metric(
    scope: Reader,
    metrics: Metrics,
    db: Db,
    question: Question,
    until: Annotated[
        Time | None, Query(description="From when; RFC 3339; now unless given")
    ] = None,
    top: Annotated[int, Query(ge=1, le=5, description="Lines")] = 1,
    weeks: Weeks = 8,
    hours: Annotated[int, Query(ge=1, le=336, description="To foresee")] = 48,
    time_zone: TimeZone = "UTC",
) -> MetricForecastsOut:
    """Forecast the hours to come of a metric.

    By exponential smoothing where it is installed, no hour is missing and it came nearer to the
    newest day; else as the same hours of the last four weeks or days were, moved by the trend.
    """
    zone = zone_of(time_zone)
    async with db.read(scope) as tx:
        end = until or tx.now()
        asked = await read_hours(tx, question.within(_earlier(end, weeks), end, top))
    past = await asked.answer(metrics.turns)
    lines = await metrics.turns.run(scope.tenant_id, partial(foresee, past, hours, zone))
    return view(
        MetricForecastsOut,
        past,
        time_zone=time_zone,
        start_at=past.begins(past.size),
        lines=[view(MetricForecastLineOut, one) for one in lines],
    )


def _earlier(at: datetime, weeks: int) -> datetime:
    """So many weeks before; in the first year of all there is no before."""
    return at - weeks * _WEEK if at.year > 1 else at


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
        points_today=found.points_today,
        max_points_a_day=found.max_points_a_day,
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
