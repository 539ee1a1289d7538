"""Metrics: the platform's own series, and those that tenants record of their business.

Tables: ``metric_rollups`` has what requests came to, every ten seconds, ``metric_request_hours`` by
the hour; of the tenants' own,
``metric_series`` has names and labels, ``metric_batches`` points that wait, ``metric_chunks``
windows, ``metric_tenants`` what there is once for each and ``metric_heads`` what came of each.
Audits ``metric.recorded``, ``metric.extended`` and ``metric_settings.changed``. Reads events that
tell how something ended.
"""

from functools import partial

from backend.core.cursors import EventConsumer
from backend.core.room import ADMIN, OPERATOR, VIEWER, WORKFLOW, FleetGauge, Room, Sweep, Tick
from backend.managers.metrics._analysis import ForeseenLine, ScoredLine, foresee, score
from backend.managers.metrics._derived import CURSOR
from backend.managers.metrics._folding import FOLD_SECONDS, ROLL_SECONDS
from backend.managers.metrics._hours import FOLD_HOURS_SECONDS
from backend.managers.metrics._listing import MetricView, SeriesView, list_metrics, list_series
from backend.managers.metrics._query import (
    AGGREGATES,
    Aggregate,
    Found,
    Hours,
    Line,
    Unanswered,
    Wanted,
    query,
    query_many,
    read_hours,
)
from backend.managers.metrics._recording import DERIVED, KINDS, Item, Recorded
from backend.managers.metrics._retention import MetricSettings
from backend.managers.metrics.errands import FORGETTING, ROLLUPS, WAITING
from backend.managers.metrics.errors import (
    InvalidItemError,
    InvalidQueryError,
    KindDiffersError,
    MetricBudgetError,
    RetentionOrderError,
    TooManySeriesError,
)
from backend.managers.metrics.manager import (
    MAX_MINUTES,
    STEP_SECONDS,
    MetricsManager,
    Point,
    Series,
    Served,
)
from backend.managers.metrics.models import (
    BatchRow,
    ChunkRow,
    MetricHeadRow,
    MetricTenantRow,
    RequestHourRow,
    RollupRow,
    SeriesRow,
)
from backend.managers.metrics.settings import MetricsSettings

ROOM = Room(
    name="metrics",
    manager=MetricsManager,
    models=(
        RollupRow,
        RequestHourRow,
        MetricTenantRow,
        MetricHeadRow,
        SeriesRow,
        BatchRow,
        ChunkRow,
    ),
    permissions={
        "metric:read": VIEWER | WORKFLOW,
        "metric:write": OPERATOR | WORKFLOW,
        "metric_settings:write": ADMIN,
    },
    errands=(ROLLUPS, WAITING, FORGETTING),
    routers=(
        "backend.managers.metrics.routes:metrics_router",
        "backend.managers.metrics.routes:router",
    ),
    data_routes="backend.managers.metrics.data_plane:DATA_ROUTES",
    ticks=(
        Tick("metrics.flush", STEP_SECONDS, MetricsManager.flush, process="api"),
        Tick("metrics.fold", FOLD_SECONDS, MetricsManager.fold),
        Tick("metrics.roll_up", ROLL_SECONDS, MetricsManager.roll_up),
        Tick("metrics.hours", FOLD_HOURS_SECONDS, MetricsManager.fold_hours),
    ),
    consumers=(
        lambda metrics, database: EventConsumer(
            CURSOR, partial(metrics.derived.take, database), batch=1000, gather_seconds=1
        ),
    ),
    sweeps=(
        Sweep(ROLLUPS, MetricsManager.sweep),
        Sweep(FORGETTING, MetricsManager.sweep_series),
    ),
    gauges=(
        FleetGauge(
            "email_sender_metrics_waiting_batches",
            "Batches of tenants' metrics that are in no window yet.",
            WAITING,
            MetricsManager.count_waiting,
        ),
    ),
    observe=MetricsManager.observe,
    serving=MetricsManager.serving,
)

__all__ = [
    "AGGREGATES",
    "DERIVED",
    "FORGETTING",
    "KINDS",
    "MAX_MINUTES",
    "ROLLUPS",
    "ROOM",
    "STEP_SECONDS",
    "WAITING",
    "Aggregate",
    "ForeseenLine",
    "Found",
    "Hours",
    "InvalidItemError",
    "InvalidQueryError",
    "Item",
    "KindDiffersError",
    "Line",
    "MetricBudgetError",
    "MetricSettings",
    "MetricView",
    "MetricsManager",
    "MetricsSettings",
    "Point",
    "Recorded",
    "RetentionOrderError",
    "ScoredLine",
    "Series",
    "SeriesView",
    "Served",
    "TooManySeriesError",
    "Unanswered",
    "Wanted",
    "foresee",
    "list_metrics",
    "list_series",
    "query",
    "query_many",
    "read_hours",
    "score",
]
