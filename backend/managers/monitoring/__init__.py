"""Monitoring: health of every dependency, how it was, objectives, and series of a Prometheus.

Owns the tables ``health_samples``, ``prometheus_queries``, ``slo_objectives``, ``slo_outcomes``,
``slo_outcome_heads`` and ``slo_evidence``. Audits ``prometheus_query.created``, ``.changed`` and
``.deleted``, ``slo.created``, ``slo.changed``, ``slo.deleted`` and ``evidence.recorded``.
"""

from functools import partial

from backend.core.cursors import EventConsumer
from backend.core.room import OPERATOR, VIEWER, WORKFLOW, ReadyCheck, Room, Sweep, Tick
from backend.managers.monitoring._budget import WINDOW_DAYS
from backend.managers.monitoring._history import (
    PROBE_SECONDS,
    Health,
    HealthHistory,
    HealthPoint,
)
from backend.managers.monitoring._machine import (
    DISK_LOW,
    SKEW_SECONDS,
    check_clock,
    check_disk,
    read_free_share,
    read_skew,
)
from backend.managers.monitoring._measuring import MEASURE_SECONDS
from backend.managers.monitoring._outcomes import CURSOR
from backend.managers.monitoring._prometheus import Answer, Asker, Line, Prometheus, Window
from backend.managers.monitoring._promql import refuse_query
from backend.managers.monitoring._queries import KeptQueries, KeptQuery
from backend.managers.monitoring._slos import SLO_KINDS, SloDraft, SloStanding
from backend.managers.monitoring.errands import EVIDENCE, HISTORY, MEASURED, OUTCOMES, PLATFORM_SLOS
from backend.managers.monitoring.errors import (
    BadQueryError,
    ClockSkewError,
    DiskLowError,
    EvidenceTimeError,
    PrometheusAbsentError,
    PrometheusUnavailableError,
    QueryBusyError,
    QueryChangedError,
    QueryExistsError,
    QueryNotFoundError,
    QueryRefusedError,
    QueryTimeoutError,
    SloChangedError,
    SloExistsError,
    SloInvalidError,
    SloNotFoundError,
    TooManyQueriesError,
    TooManySlosError,
)
from backend.managers.monitoring.manager import Check, MonitoringManager
from backend.managers.monitoring.models import (
    EvidenceRow,
    HealthSampleRow,
    OutcomeHeadRow,
    OutcomeRow,
    PrometheusQueryRow,
    SloRow,
)
from backend.managers.monitoring.settings import MonitoringSettings

ROOM = Room(
    name="monitoring",
    manager=MonitoringManager,
    models=(HealthSampleRow, PrometheusQueryRow, SloRow, OutcomeRow, OutcomeHeadRow, EvidenceRow),
    errands=(HISTORY, PLATFORM_SLOS, EVIDENCE, MEASURED, OUTCOMES),
    permissions={
        "status:read": VIEWER,
        "slo:read": VIEWER,
        "slo:write": OPERATOR,
        "prometheus:read": VIEWER | WORKFLOW,
        "prometheus_query:read": VIEWER,
        "prometheus_query:write": OPERATOR,
    },
    routers=(
        "backend.managers.monitoring.routes:router",
        "backend.managers.monitoring.routes:status_router",
        "backend.managers.monitoring.routes:slo_router",
        "backend.managers.monitoring.prometheus_routes:prometheus_router",
        "backend.managers.monitoring.prometheus_routes:platform_router",
        "backend.managers.monitoring.prometheus_routes:queries_router",
    ),
    checks=(
        ReadyCheck(
            "prometheus",
            MonitoringManager.check_prometheus,
            required=lambda _: False,
            applies=lambda monitoring: monitoring.prometheus.connected,
        ),
    ),
    open_paths=frozenset({"/livez", "/readyz", "/metrics"}),
    ticks=(
        Tick("monitoring.probe", PROBE_SECONDS, MonitoringManager.probe, process="api"),
        Tick("monitoring.measure", MEASURE_SECONDS, MonitoringManager.measure),
    ),
    sweeps=(
        Sweep(HISTORY, MonitoringManager.sweep),
        Sweep(OUTCOMES, MonitoringManager.sweep_outcomes),
    ),
    consumers=(
        lambda monitoring, database: EventConsumer(
            CURSOR, partial(monitoring.outcomes.take, database), batch=1000, gather_seconds=1
        ),
    ),
    observe=MonitoringManager.observe,
    observe_work=MonitoringManager.count_event,
    serving=MonitoringManager.serving,
)

__all__ = [
    "DISK_LOW",
    "EVIDENCE",
    "HISTORY",
    "MEASURED",
    "OUTCOMES",
    "PLATFORM_SLOS",
    "ROOM",
    "SKEW_SECONDS",
    "SLO_KINDS",
    "WINDOW_DAYS",
    "Answer",
    "Asker",
    "BadQueryError",
    "Check",
    "ClockSkewError",
    "DiskLowError",
    "EvidenceTimeError",
    "Health",
    "HealthHistory",
    "HealthPoint",
    "KeptQueries",
    "KeptQuery",
    "Line",
    "MonitoringManager",
    "MonitoringSettings",
    "Prometheus",
    "PrometheusAbsentError",
    "PrometheusUnavailableError",
    "QueryBusyError",
    "QueryChangedError",
    "QueryExistsError",
    "QueryNotFoundError",
    "QueryRefusedError",
    "QueryTimeoutError",
    "SloChangedError",
    "SloDraft",
    "SloExistsError",
    "SloInvalidError",
    "SloNotFoundError",
    "SloStanding",
    "TooManyQueriesError",
    "TooManySlosError",
    "Window",
    "check_clock",
    "check_disk",
    "read_free_share",
    "read_skew",
    "refuse_query",
]
