"""Composition root: the only module that knows every room.

:func:`compose` builds the managers of any process in tier order and does no I/O; :func:`create_app`
stands the two planes behind the pipeline. Both are one straight line on purpose: each step needs
what earlier ones made, and splitting them would hide the order.
"""

import contextlib
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

import sqlalchemy as sa
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from fastapi import FastAPI
from fastapi.routing import APIRoute

from backend import __version__
from backend.core.audit import audit_row
from backend.core.clock import Clock, system_clock
from backend.core.context import SystemScope
from backend.core.cursors import EventConsumer, check_cursors, read_cursors
from backend.core.database import Database, make_engine
from backend.core.events import count_dropped_unread, event_maker
from backend.core.log import access_logger
from backend.core.signals import PostgresCarrier, Signals, UnixCarrier
from backend.core.telemetry import Consumer, Telemetry
from backend.http import problem
from backend.http.event_stream import EventStreams, StreamLimits
from backend.http.event_stream import router as event_routes
from backend.http.openapi import build_document
from backend.http.pipeline import BodyLimits, Pipeline
from backend.managers.dashboard import DashboardManager
from backend.managers.dashboard.routes import router as dashboard_routes
from backend.managers.email import EVENTS as EMAIL_EVENTS
from backend.managers.email import EmailDelivery, EmailManager, verify
from backend.managers.email.routes import router as email_routes
from backend.managers.gateway import EVENTS as GATEWAY_EVENTS
from backend.managers.gateway import GatewayManager
from backend.managers.gateway.data_plane import OPENAPI as GATEWAY_OPENAPI
from backend.managers.gateway.data_plane import gateway_data_plane
from backend.managers.gateway.oauth_routes import oauth_routes
from backend.managers.gateway.routes import router as gateway_routes
from backend.managers.metrics import STEP_SECONDS, MetricsManager
from backend.managers.monitoring import EventSeries, MonitoringManager
from backend.managers.monitoring.routes import router as monitoring_routes
from backend.managers.orchestrator import EVENTS as JOB_EVENTS
from backend.managers.orchestrator import OrchestratorManager
from backend.managers.orchestrator.routes import router as job_routes
from backend.managers.security import SecurityManager, load_root_key
from backend.managers.security.routes import router as audit_routes
from backend.managers.tenant import EVENTS as TENANT_EVENTS
from backend.managers.tenant import TenantManager
from backend.managers.tenant.routes import router as tenant_routes
from backend.managers.tracing import Collector, TracingManager, can_export, otlp_exporter
from backend.settings import Settings

SERVICE: Final = "email-sender"
EVENTS: Final = {
    **TENANT_EVENTS,
    **JOB_EVENTS,
    **EMAIL_EVENTS,
    **GATEWAY_EVENTS,
}
"""Every event of the house and the permission that reading it takes."""


@dataclass(frozen=True, slots=True)
class Platform:
    """The managers of one process and what they stand on."""

    settings: Settings
    database: Database
    security: SecurityManager
    tenants: TenantManager
    orchestrator: OrchestratorManager
    emails: EmailManager
    delivery: EmailDelivery
    gateway: GatewayManager
    metrics: MetricsManager
    monitoring: MonitoringManager
    dashboard: DashboardManager
    collector: Collector | None
    event_series: EventSeries
    event_consumers: list[EventConsumer] = field(default_factory=list)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Signals flow while the block lasts; connections are closed at its end."""
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self.database.aclose)
            await stack.enter_async_context(self.database.signals.running())
            stack.push_async_callback(self.delivery.aclose)
            if self.collector is not None:
                stack.push_async_callback(self.collector.aclose)
            yield


def compose(settings: Settings, *, clock: Clock = system_clock) -> Platform:
    """Build every manager; no I/O but reading, or at the first start making, the root key."""
    engine = make_engine(settings.database_url, pool_size=settings.database.pool_size)
    carrier: PostgresCarrier | UnixCarrier
    if engine.dialect.name == "postgresql":
        url = sa.make_url(settings.database_url).set(drivername="postgresql")
        carrier = PostgresCarrier(url.render_as_string(hide_password=False))
    else:
        carrier = UnixCarrier(settings.data_dir / "signals")
    database = Database(
        engine,
        audit_row=audit_row,
        event_row=event_maker(EVENTS),
        clock=clock,
        signals=Signals(carrier),
    )
    metrics = MetricsManager()
    security = SecurityManager(load_root_key(settings.security, settings.data_dir / "root.key"))
    tenants = TenantManager()
    orchestrator = OrchestratorManager()
    emails = EmailManager(security, orchestrator, settings.email)
    delivery = EmailDelivery(database, emails)
    orchestrator.register(delivery.kind())
    gateway = GatewayManager(database, security, tenants, settings.gateway)
    monitoring = MonitoringManager()

    async def check_database() -> str:
        await database.ping()
        return database.dialect

    async def check_mail_server() -> str:
        milliseconds = await verify(emails.default_relay)
        return f"greeting in {milliseconds:.0f} ms"

    monitoring.add_check("database", check_database)
    monitoring.add_check("events", partial(check_cursors, database), required=False)
    monitoring.add_check("mail_server", check_mail_server, required=False)
    collector: Collector | None = None
    if settings.telemetry.otlp_endpoint:
        collector = Collector(settings.telemetry.otlp_endpoint)
        # Spans may be lost, so the collector is not required; what sends them is, because neither
        # the API nor a worker starts without it.
        monitoring.add_check("trace_collector", collector.check, required=not can_export())
    return Platform(
        settings=settings,
        database=database,
        security=security,
        tenants=tenants,
        orchestrator=orchestrator,
        emails=emails,
        delivery=delivery,
        gateway=gateway,
        metrics=metrics,
        monitoring=monitoring,
        dashboard=DashboardManager(metrics, orchestrator, emails),
        collector=collector,
        event_series=EventSeries(monitoring.registry),
    )


def create_tracing(settings: Settings) -> TracingManager | None:
    """What makes spans in this process, with a thread that exports them; None without a collector.

    Raises:
        RuntimeError: A collector is configured but the 'cluster' extra is not installed.
    """
    if not settings.telemetry.otlp_endpoint:
        return None
    return TracingManager(
        otlp_exporter(settings.telemetry.otlp_endpoint),
        service=SERVICE,
        share=settings.telemetry.trace_share,
        slow_seconds=settings.telemetry.slow_seconds,
    )


def create_app(platform: Platform) -> Pipeline:
    """The API of one process: pipeline, control plane, data plane, background writers."""
    settings, database = platform.settings, platform.database
    consumers: list[Consumer] = [
        platform.monitoring.observe,
        platform.metrics.observe,
        platform.gateway.observe,
    ]
    if settings.telemetry.access_log:
        consumers.append(access_logger(SERVICE))
    tracing = create_tracing(settings)
    if tracing is not None:
        consumers.append(tracing.observe)
    telemetry = Telemetry(consumers)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(platform.running())
            if tracing is not None:
                stack.callback(tracing.close)
            stack.push_async_callback(_flush_last, platform)
            await stack.enter_async_context(platform.gateway.running())
            await stack.enter_async_context(telemetry.running())
            scheduler = AsyncIOScheduler(timezone="UTC", job_defaults=TICK_DEFAULTS)
            scheduler.add_job(
                platform.metrics.flush, "interval", seconds=STEP_SECONDS, args=[database]
            )
            scheduler.start()
            stack.callback(scheduler.shutdown, wait=False)
            yield

    app = FastAPI(
        title="Email Sender",
        version=__version__,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        generate_unique_id_function=_name_of,
        # It would send callers to whatever their Host header says.
        redirect_slashes=False,
        strict_content_type=False,
    )
    app.state.database = database
    app.state.managers = {
        SecurityManager: platform.security,
        TenantManager: platform.tenants,
        OrchestratorManager: platform.orchestrator,
        EmailManager: platform.emails,
        GatewayManager: platform.gateway,
        MetricsManager: platform.metrics,
        MonitoringManager: platform.monitoring,
        DashboardManager: platform.dashboard,
    }

    async def count_fleet() -> tuple[Mapping[str, int], int]:
        async with database.read(SystemScope("readiness")) as tx:
            platform.event_series.update(await read_cursors(tx), await count_dropped_unread(tx))
            waiting = await platform.orchestrator.count_waiting(tx)
            return waiting, await platform.security.count_unsequenced(tx)

    limits = settings.events
    app.state.event_streams = EventStreams(
        database,
        EVENTS,
        platform.gateway.authenticate,
        StreamLimits(limits.streams, limits.streams_per_tenant, limits.stream_seconds),
    )
    app.state.expose_metrics = partial(platform.monitoring.expose_fleet, count_fleet)
    problem.install(app)
    for router in (
        monitoring_routes,
        gateway_routes,
        email_routes,
        job_routes,
        dashboard_routes,
        audit_routes,
        tenant_routes,
        event_routes,
    ):
        app.include_router(router)
    app.router.routes.extend(oauth_routes(platform.gateway))

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = build_document(
                app, version=__version__, fragments=[GATEWAY_OPENAPI]
            )
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]
    return Pipeline(
        app,
        gateway_data_plane(platform.gateway),
        gate=platform.gateway,
        telemetry=telemetry,
        limits=BodyLimits(
            settings.http.body_limit_bytes,
            (("/api/v1/emails", settings.email.max_batch_bytes),),
        ),
        trusted_proxies=settings.http.trusted_proxies,
    )


def _name_of(route: APIRoute) -> str:
    """The operation's id: the handler's name, which the document's links and clients use."""
    return route.name


TICK_DEFAULTS: Final = {"coalesce": True, "max_instances": 1, "misfire_grace_time": 30}
"""APScheduler is the clock of idempotent ticks: a late tick runs once, never twice at a time."""


async def _flush_last(platform: Platform) -> None:
    """What telemetry collected since the last tick; a database that is gone keeps its silence."""
    with contextlib.suppress(Exception):
        await platform.metrics.flush(platform.database, everything=True)
