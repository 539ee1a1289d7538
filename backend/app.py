"""Composition root: builds the managers of any process and sums what their rooms declare.

:func:`compose` builds every manager in tier order and does no I/O. What a room needs around it
(ticks, sweeps, checks, job kinds, gauges) is taken from its ``ROOM``: no room's duty is written
down here. What answers HTTP stands in :mod:`backend.api`.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal, TypeVar, cast

import sqlalchemy as sa
from apscheduler.schedulers.asyncio import AsyncIOScheduler

from backend.core.audit import RecordMaker
from backend.core.clock import Clock, system_clock
from backend.core.context import Errand, SystemScope
from backend.core.cursors import EventConsumer, check_cursors, check_sequencer, read_cursors
from backend.core.database import Database, DatabaseUnavailableError, ReadTx, make_engine
from backend.core.events import OUTBOX, count_dropped_unread, event_maker
from backend.core.room import CORE_ERASURES, CORE_PURGES, House, Room, Tick
from backend.core.signal_log import SignalLog
from backend.core.signals import PostgresCarrier, Signals, UnixCarrier
from backend.kit.limiter import FailoverLimiter, GcraLimiter, RedisLimiter
from backend.kit.outbound import Outbound
from backend.kit.turns import Turns
from backend.managers.access import ACCESS, AccessManager
from backend.managers.alerting import AlertingManager
from backend.managers.audit import AuditManager
from backend.managers.compliance import ComplianceManager
from backend.managers.dashboard import DashboardManager
from backend.managers.email import EmailManager
from backend.managers.gateway import GatewayManager
from backend.managers.identity import IdentityManager
from backend.managers.logging import SETTINGS_CHANGED as LOGS_CHANGED
from backend.managers.logging import LoggingManager, find_warned
from backend.managers.metrics import MetricsManager
from backend.managers.monitoring import MonitoringManager, check_clock, check_disk, read_free_share
from backend.managers.orchestrator import Callbacks, OrchestratorManager
from backend.managers.secrets import SecretManager
from backend.managers.security import (
    KEYS_GONE,
    ROOT_CHANGED,
    SEAL_CHANGED,
    RootKeys,
    SecurityManager,
    load_root_keys,
)
from backend.managers.tenant import QUOTAS_CHANGED, TENANT_GONE, Roles, TenantManager
from backend.managers.tracing import SETTINGS_CHANGED as TRACES_CHANGED
from backend.managers.tracing import Collector, TracingManager, otlp_exporter
from backend.managers.webhooks import WebhooksManager
from backend.rooms import CORE_ERRANDS, ROOMS
from backend.settings import Settings

SERVICE: Final = "email-sender"
_LAST_DUTY_SECONDS: Final = 5.0
T = TypeVar("T")

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Platform:
    """The managers of one process and what they stand on."""

    settings: Settings
    database: Database
    outbound: Outbound
    turns: Turns
    house: House
    managers: Mapping[type, Any]
    event_consumers: list[EventConsumer] = field(default_factory=list)

    def of(self, kind: type[T]) -> T:
        """This process's instance of a manager.

        Raises:
            KeyError: The process has none: the room is switched off.
        """
        return cast("T", self.managers[kind])

    def at_work(self) -> Iterator[tuple[Room[Any], Any]]:
        """Each room that has its manager in this process, in tier order."""
        for room in self.house.rooms:
            if room.manager in self.managers:
                yield room, self.managers[room.manager]

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Signals flow while the block lasts; connections are closed at its end."""
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self.database.aclose)
            await stack.enter_async_context(self.database.signals.running())
            stack.push_async_callback(self.outbound.aclose)
            for kind in self.of(OrchestratorManager).kinds.values():
                if kind.aclose is not None:
                    stack.push_async_callback(kind.aclose)
            yield

    @asynccontextmanager
    async def serving(
        self, process: Literal["api", "worker"], scheduler: AsyncIOScheduler
    ) -> AsyncIterator[None]:
        """What the rooms do by themselves while a process of this kind serves."""
        at_work: set[asyncio.Task[Any]] = set()
        async with AsyncExitStack() as stack:
            log = SignalLog(self.database, self.house.durable_topics)
            await stack.enter_async_context(log.followed())
            for room, manager in self.at_work():
                if room.serving is not None:
                    await stack.enter_async_context(room.serving(manager, self.database))
                for tick in room.ticks:
                    if tick.process == process:
                        scheduler.add_job(
                            _tick,
                            "interval",
                            seconds=tick.seconds,
                            args=[tick, manager, self.database, at_work],
                            id=tick.name,
                        )
            scheduler.start()
            stack.push_async_callback(_stop, scheduler, at_work)
            yield


async def _stop(scheduler: AsyncIOScheduler, at_work: set[asyncio.Task[Any]]) -> None:
    """Begin no duty any more, and let those that are at work come to their end.

    The scheduler would cancel them: one that is just being given a connection loses it, and with it
    whatever the server holds for it.
    """
    scheduler.pause()
    # One that was begun in this very turn of the loop is not known to be at work yet.
    await asyncio.sleep(0)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_LAST_DUTY_SECONDS):
            while at_work:
                await asyncio.wait(set(at_work))
    scheduler.shutdown(wait=False)


async def _tick(
    tick: Tick[Any], manager: Any, database: Database, at_work: set[asyncio.Task[Any]]
) -> None:
    """Perform a duty once.

    The scheduler awaits only what it sees to be a coroutine function: of a lambda that makes a
    coroutine it would drop it. While the database is away there is nothing to do and no error of
    ours: the next turn comes by itself.
    """
    task = cast("asyncio.Task[Any]", asyncio.current_task())
    at_work.add(task)
    try:
        await tick.run(manager, database)
    except DatabaseUnavailableError:
        logger.warning("tick_waits_for_the_database", extra={"tick": tick.name})
    finally:
        at_work.discard(task)


def compose(
    settings: Settings,
    *,
    clock: Clock = system_clock,
    more: Sequence[tuple[Room[Any], Any]] = (),
) -> Platform:
    """Build every manager; no I/O but reading, or at the first start making, the root key.

    Args:
        settings: Of this process.
        clock: What time it is.
        more: Rooms above ours, each with its manager.

    Raises:
        RoomClashError: Two rooms claim the same.
    """
    house = House([*ROOMS, *(room for room, _ in more)], errands=CORE_ERRANDS)
    engine = make_engine(
        settings.database_url,
        pool_size=settings.database.pool_size,
        prepared=settings.database.prepared_statements,
    )
    carrier: PostgresCarrier | UnixCarrier
    if engine.dialect.name == "postgresql":
        url = sa.make_url(settings.database_url).set(drivername="postgresql")
        carrier = PostgresCarrier(url.render_as_string(hide_password=False))
    else:
        carrier = UnixCarrier(settings.data_dir / "signals")
    turns = Turns()
    # Before the database: what it records is sealed under keys that it does not have.
    root_keys = partial(load_root_keys, settings.security, settings.data_dir / "root.key")
    root = RootKeys(root_keys(), partial(root_keys, make=False))
    security = SecurityManager(root, settings.security, turns=turns)
    maker = RecordMaker(security.audit_keys, security.subjects.seals)
    database = Database(
        engine,
        audit_row=maker,
        event_row=event_maker(house.events),
        clock=clock,
        signals=Signals(carrier, house.vague_topics),
        durable_topics=house.durable_topics,
    )

    outbound = Outbound(settings.outbound)
    managers: dict[type, Any] = {}

    def hold(manager: T) -> T:
        managers[type(manager)] = manager
        return manager

    endpoint = settings.telemetry.otlp_endpoint
    tracing = hold(
        TracingManager(
            partial(otlp_exporter, endpoint) if endpoint else None,
            service=SERVICE,
            share=settings.telemetry.trace_share,
            slow_seconds=settings.telemetry.slow_seconds,
            collector=Collector(endpoint, outbound) if endpoint else None,
            settings=settings.tracing,
            turns=turns,
            outbound=outbound,
        )
    )
    database.signals.subscribe(TRACES_CHANGED, tracing.store.hear)
    metrics = hold(MetricsManager(settings.metrics, turns))
    logs = hold(LoggingManager(settings.logging, turns, outbound))
    database.signals.subscribe(LOGS_CHANGED, logs.forget_settings)
    tracing.store.connect(find_warned)
    hold(security)
    security.rewraps.connect(house.sealed, house.sealed_elsewhere)
    database.signals.subscribe(KEYS_GONE, security.forget)
    database.signals.subscribe(SEAL_CHANGED, security.seals.hear)
    database.signals.subscribe(ROOT_CHANGED, security.root.hear)
    tenants = hold(TenantManager(Roles(house.permissions, house.role_holders), settings.tenant))
    database.signals.subscribe(QUOTAS_CHANGED, tenants.forget_quotas)
    database.signals.subscribe(TENANT_GONE, tenants.leave)
    database.signals.subscribe(TENANT_GONE, metrics.leave)
    database.signals.subscribe(TENANT_GONE, logs.forget_settings)
    database.signals.subscribe(TENANT_GONE, tracing.leave)
    database.signals.subscribe(TENANT_GONE, security.openings.leave)
    jobs = hold(
        OrchestratorManager(
            settings=settings.orchestrator,
            quotas=tenants.quotas,
            outbound=outbound,
            callbacks=Callbacks(settings.identity.issuer, security.callback_key),
        )
    )
    audit = hold(AuditManager(maker, security, jobs, outbound, settings.audit))
    monitoring = hold(MonitoringManager(settings.monitoring, metrics))
    monitoring.registry.register(logs.index.searches)
    tracing.expose(monitoring.registry)
    emails = hold(
        EmailManager(security, jobs, settings.email, outbound, turns, quotas=tenants.quotas)
    )
    if settings.email.has_relay:
        audit.publishing.mail_by(emails.send_for_platform)
    secrets = hold(SecretManager(security, tenants, settings.secrets))
    rates = {
        one.name: one.rate(settings.of(room.name))
        for room in house.rooms
        for one in room.route_classes
        if one.rate is not None
    }
    # One for both: who fails and who asks too often are turned away by one clock.
    limiter = GcraLimiter()
    shared: FailoverLimiter | None = None
    if settings.redis.url is not None:
        redis = RedisLimiter(
            settings.redis.url.get_secret_value(),
            prefix=settings.redis.prefix,
            timeout_seconds=settings.redis.timeout_seconds,
        )
        shared = FailoverLimiter(redis, limiter, processes=settings.redis.processes)
    identity = hold(
        IdentityManager(
            database,
            security,
            tenants,
            settings.identity,
            limiter=shared or limiter,
            outbound=outbound,
            jobs=jobs,
            send_mail=emails.send_for_platform if settings.email.has_relay else None,
        )
    )
    gateway = hold(
        GatewayManager(
            database,
            security,
            tenants,
            identity,
            settings.gateway,
            limiter=limiter,
            shared=shared,
            rates=rates,
            registry=monitoring.registry,
        )
    )
    access = hold(AccessManager(audit, tenants, identity, gateway))
    secrets.tokens.connect(ACCESS, access.holders.find)
    hold(
        WebhooksManager(
            security,
            outbound,
            house.events,
            settings.webhooks,
            registry=monitoring.registry,
        )
    )
    compliance = hold(
        ComplianceManager(
            security,
            audit,
            settings.compliance,
            settle_seconds=settings.security.settle_seconds,
        )
    )
    hold(
        AlertingManager(
            metrics,
            monitoring,
            tracing,
            logs,
            security,
            tenants,
            jobs,
            emails,
            outbound,
            settings=settings.alerting,
            events=house.events,
        )
    )
    in_file = engine.dialect.name == "sqlite" and engine.url.database
    folder = Path(engine.url.database or "").parent if in_file else settings.data_dir
    hold(
        DashboardManager(
            metrics,
            jobs,
            emails,
            monitoring,
            logs=logs,
            tenants=tenants,
            ends=[
                ("An API key", "/api_keys", gateway.api_keys.find_next_end),
                ("An API client", "/clients", identity.clients.find_next_end),
            ],
            free_share=partial(read_free_share, folder),
        )
    )
    for _, manager in more:
        hold(manager)

    async def check_database() -> str:
        await database.check_writable(settings.database.min_free_bytes)
        return await database.check_wall()

    async def watch_cursors() -> None:
        async with database.read(SystemScope(OUTBOX)) as tx:
            monitoring.event_series.update(await read_cursors(tx), await count_dropped_unread(tx))

    platform = Platform(settings, database, outbound, turns, house, managers)
    at_work = list(platform.at_work())
    tenants.lifecycle.connect(
        [partial(room.standing, one) for room, one in at_work if room.standing is not None],
        {
            **{
                name: partial(purge, one)
                for room, one in at_work
                for name, purge in house.purges_of(room).items()
            },
            **{name: partial(purge, None) for name, purge in CORE_PURGES.items()},
        },
        security,
        audit.checkpoints.tree,
    )
    compliance.walks.connect(
        {
            **{
                name: partial(erase, one)
                for room, one in at_work
                for name, erase in room.erasures.items()
            },
            **{name: partial(erase, None) for name, erase in CORE_ERASURES.items()},
        },
        [partial(bar, one) for room, one in at_work for bar in room.bars],
        [partial(pause, one) for room, one in at_work for pause in room.pauses],
    )
    tenants.usage.connect(
        {kind: figures for room, _ in at_work for kind, figures in room.figures.items()},
        {name: partial(count, one) for room, one in at_work for name, count in room.stocks.items()},
    )
    endings = {kind: ending for room, _ in at_work for kind, ending in room.endings.items()}
    monitoring.outcomes.connect(endings)
    metrics.derived.connect(endings)
    monitoring.add_check("database", check_database)
    monitoring.add_check("events", partial(check_cursors, database), required=False)
    monitoring.add_check("sequencer", partial(check_sequencer, database), required=False)
    monitoring.add_check("disk", partial(check_disk, folder), required=False)
    monitoring.add_check("clock", partial(check_clock, database), required=False)
    monitoring.add_refresh(watch_cursors)
    for room, manager in platform.at_work():
        for make_kind in room.job_kinds:
            jobs.register(make_kind(manager, database))
        platform.event_consumers.extend(make(manager, database) for make in room.consumers)
        _watch(platform, room, manager)
    return platform


def _watch(platform: Platform, room: Room[Any], manager: Any) -> None:
    """Have what the room declares checked and counted."""
    monitoring = platform.of(MonitoringManager)

    async def look(errand: Errand, run: Callable[[Any, ReadTx], Awaitable[T]]) -> T:
        async with platform.database.read(SystemScope(errand)) as tx:
            return await run(manager, tx)

    for check in room.checks:
        if check.applies(manager):
            monitoring.add_check(
                check.name, partial(check.run, manager), required=check.required(manager)
            )
    for of_fleet in room.fleet_checks:
        seen = partial(look, of_fleet.errand, of_fleet.run)
        monitoring.add_check(of_fleet.name, seen, required=False)
    for gauge in room.gauges:
        monitoring.add_gauge(gauge, partial(look, gauge.errand, gauge.count))


def make_scheduler() -> AsyncIOScheduler:
    """The clock of idempotent ticks: a late tick runs once, never twice at a time."""
    defaults = {"coalesce": True, "max_instances": 1, "misfire_grace_time": 30}
    return AsyncIOScheduler(timezone="UTC", job_defaults=defaults)
