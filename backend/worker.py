"""The worker process: runs jobs, and the ticks that keep the platform's own house.

Any number of workers may run. Jobs are claimed, ticks are idempotent, so none of them leads.
"""

import asyncio
import logging
import signal
import threading
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from functools import partial
from typing import Any, Final
from wsgiref.simple_server import WSGIServer

from prometheus_client import start_http_server
from sqlalchemy.exc import SQLAlchemyError

from backend import __version__
from backend.app import Platform, make_scheduler
from backend.core.audit import sequence
from backend.core.context import Errand, SystemScope
from backend.core.cursors import EventDispatcher
from backend.core.database import Tx
from backend.core.errors import UnavailableError
from backend.core.events import OUTBOX, Retention, sweep_events
from backend.core.signal_log import SIGNALS, sweep_signals
from backend.managers.monitoring import MonitoringManager
from backend.managers.orchestrator import OrchestratorManager, Worker

logger = logging.getLogger(__name__)

_SWEEP_SECONDS: Final = 600.0


async def run_worker(platform: Platform) -> None:
    """Serve until SIGTERM or SIGINT, then let running jobs end and give the rest back."""
    settings = platform.settings.orchestrator
    worker = Worker(
        platform.database,
        platform.of(OrchestratorManager),
        concurrency=settings.concurrency,
        tenant_share=settings.tenant_share,
        ttl_seconds=settings.ttl_seconds,
        beat_seconds=settings.beat_seconds,
        poll_seconds=settings.poll_seconds,
        grace_seconds=settings.grace_seconds,
        version=__version__,
        on_event=observer_of(platform),
    )
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, worker.stop)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(platform.running())
        _expose(platform, stack)
        dispatcher = EventDispatcher(
            platform.database,
            platform.event_consumers,
            on_failure=platform.of(MonitoringManager).event_series.count_failure,
        )
        await stack.enter_async_context(dispatcher.running())
        scheduler = make_scheduler()
        scheduler.add_job(_sequence, "interval", seconds=0.3, args=[platform])
        scheduler.add_job(sweep, "interval", seconds=_SWEEP_SECONDS, args=[platform, worker.id])
        await stack.enter_async_context(platform.serving("worker", scheduler))
        logger.info("worker_started", extra={"worker": worker.id})
        await worker.run()
        await _sequence(platform)
        logger.info("worker_stopped", extra={"worker": worker.id})


def observer_of(platform: Platform) -> Callable[..., None]:
    """What tells every room that wants to know what a worker does."""
    observers = [
        (room.observe_work, manager)
        for room, manager in platform.at_work()
        if room.observe_work is not None
    ]

    def observe_all(name: str, **labels: Any) -> None:
        for observe, manager in observers:
            observe(manager, name, **labels)

    return observe_all


def _expose(platform: Platform, stack: AsyncExitStack) -> None:
    port = platform.settings.telemetry.worker_metrics_port
    if not port:
        return
    server: WSGIServer
    thread: threading.Thread
    server, thread = start_http_server(
        port,
        addr=platform.settings.http.host,
        registry=platform.of(MonitoringManager).registry,
    )

    def close() -> None:
        server.shutdown()
        server.server_close()
        thread.join(timeout=5)

    stack.callback(close)


async def _sequence(platform: Platform) -> None:
    try:
        while await sequence(platform.database):
            pass
    except UnavailableError:
        logger.warning("sequencer_waits_for_the_database")


async def sweep(platform: Platform, holder: str) -> None:
    """Forget what has expired, the outbox's too, and gather statistics of what is left.

    Who fails keeps nobody else's.
    """
    kept = platform.settings.events
    retention = Retention(kept.keep_hours, kept.keep_days, kept.keep_rows)
    try:
        # Deleting is safe in several processes, and the same work in each of them.
        async with platform.database.transaction(SystemScope(OUTBOX)) as tx:
            if not await tx.take_lease("core.retention", holder, 0.9 * _SWEEP_SECONDS):
                return
    except UnavailableError:
        logger.warning("retention_waits_for_the_database")
        return
    duties: list[tuple[str, Errand, Callable[[Tx], Awaitable[int]]]] = [
        ("core", OUTBOX, partial(sweep_events, retention=retention)),
        ("core", SIGNALS, sweep_signals),
        *(
            (room.name, sweep.errand, partial(sweep.run, manager))
            for room, manager in platform.at_work()
            for sweep in room.sweeps
        ),
    ]
    for room, errand, run in duties:
        try:
            gone = 1
            while gone:
                async with platform.database.transaction(SystemScope(errand)) as tx:
                    gone = await run(tx)
        except UnavailableError:
            logger.warning("retention_waits_for_the_database", extra={"room": room})
        except Exception:
            logger.exception("retention_failed", extra={"room": room})
    try:
        await platform.database.gather_statistics()
    except SQLAlchemyError:
        logger.warning("statistics_wait_for_the_database")
