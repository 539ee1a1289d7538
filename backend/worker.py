"""The worker process: runs jobs, and the ticks that keep the platform's own house.

Any number of workers may run. Jobs are claimed, ticks are idempotent, so none of them leads.
"""

import asyncio
import logging
import signal
import threading
from contextlib import AsyncExitStack
from typing import Any
from wsgiref.simple_server import WSGIServer

from apscheduler.schedulers.asyncio import AsyncIOScheduler
from prometheus_client import start_http_server

from backend.app import TICK_DEFAULTS, Platform, create_tracing
from backend.core.audit import sequence
from backend.core.context import SystemScope
from backend.core.cursors import EventDispatcher
from backend.core.errors import UnavailableError
from backend.core.events import Retention, sweep_events
from backend.managers.orchestrator import Worker

logger = logging.getLogger(__name__)

_KEEP_ROLLUP_DAYS = 30


async def run_worker(platform: Platform) -> None:
    """Serve until SIGTERM or SIGINT, then let running jobs end and give the rest back."""
    settings = platform.settings.orchestrator
    tracing = create_tracing(platform.settings)

    def on_event(name: str, **labels: Any) -> None:
        platform.monitoring.count_event(name, **labels)
        if tracing is not None:
            tracing.observe_attempt(name, **labels)

    worker = Worker(
        platform.database,
        platform.orchestrator,
        concurrency=settings.concurrency,
        ttl_seconds=settings.ttl_seconds,
        beat_seconds=settings.beat_seconds,
        poll_seconds=settings.poll_seconds,
        grace_seconds=settings.grace_seconds,
        on_event=on_event,
    )
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, worker.stop)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(platform.running())
        if tracing is not None:
            stack.callback(tracing.close)
        _expose(platform, stack)
        dispatcher = EventDispatcher(
            platform.database,
            platform.event_consumers,
            on_failure=platform.event_series.count_failure,
        )
        await stack.enter_async_context(dispatcher.running())
        scheduler = AsyncIOScheduler(timezone="UTC", job_defaults=TICK_DEFAULTS)
        scheduler.add_job(_sequence, "interval", seconds=0.3, args=[platform])
        scheduler.add_job(_sweep, "interval", minutes=10, args=[platform])
        scheduler.start()
        stack.callback(scheduler.shutdown, wait=False)
        logger.info("worker_started", extra={"worker": worker.id})
        await worker.run()
        await _sequence(platform)
        logger.info("worker_stopped", extra={"worker": worker.id})


def _expose(platform: Platform, stack: AsyncExitStack) -> None:
    port = platform.settings.telemetry.worker_metrics_port
    if not port:
        return
    server: WSGIServer
    thread: threading.Thread
    server, thread = start_http_server(
        port, addr=platform.settings.http.host, registry=platform.monitoring.registry
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


async def _sweep(platform: Platform) -> None:
    """Forget what has expired."""
    try:
        async with platform.database.transaction(SystemScope("retention")) as tx:
            await platform.gateway.sweep_expired(tx)
            await platform.metrics.sweep(tx, keep_days=_KEEP_ROLLUP_DAYS)
        keep_days = platform.settings.orchestrator.keep_finished_days
        gone = 1
        while gone:
            async with platform.database.transaction(SystemScope("retention")) as tx:
                gone = await platform.orchestrator.sweep_finished(tx, keep_days=keep_days)
        events = platform.settings.events
        retention = Retention(events.keep_hours, events.keep_days, events.keep_rows)
        gone = 1
        while gone:
            async with platform.database.transaction(SystemScope("events")) as tx:
                gone = await sweep_events(tx, retention)
    except UnavailableError:
        logger.warning("retention_waits_for_the_database")
