"""Rules for health and exposition: is it up, is it ready, how was it, what does Prometheus read."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import generate_latest
from prometheus_client.process_collector import ProcessCollector

from backend.core.clock import monotonic, perf_counter
from backend.core.context import SystemScope
from backend.core.database import Database, ReadTx, Tx
from backend.core.errors import AppError
from backend.core.room import FleetGauge
from backend.core.telemetry import RequestRecord
from backend.managers.metrics import MetricsManager
from backend.managers.monitoring import _outcomes
from backend.managers.monitoring._events import EventSeries
from backend.managers.monitoring._history import Health, HealthBook, HealthHistory, HealthPoint
from backend.managers.monitoring._measuring import Measuring
from backend.managers.monitoring._outcomes import EventOutcomes, OutcomeBook
from backend.managers.monitoring._platform import PlatformSlos
from backend.managers.monitoring._prometheus import Prometheus
from backend.managers.monitoring._queries import KeptQueries
from backend.managers.monitoring._requests import RequestSeries
from backend.managers.monitoring._slos import Slos
from backend.managers.monitoring.errands import HISTORY
from backend.managers.monitoring.settings import MonitoringSettings

Check = Callable[[], Awaitable[str]]
"""Returns a short remark when the dependency works; raises when it does not."""

Count = Callable[[], Awaitable[Mapping[str, int]]]
"""Counts something in the database, by label value."""

_TIMEOUT_SECONDS: Final = 2.0
_FRESH_SECONDS: Final = 1.0


class MonitoringManager:
    """Runs the checks it is given, holds this process's series, and asks a Prometheus for others.

    ``prometheus`` is what is asked; without an address it refuses. ``queries`` are those that
    people keep.
    """

    def __init__(
        self, settings: MonitoringSettings | None = None, metrics: MetricsManager | None = None
    ) -> None:
        self.prometheus = Prometheus(settings or MonitoringSettings())
        self.queries = KeptQueries()
        self.outcomes = EventOutcomes()
        self.slos = Slos(self.outcomes)
        self.platform_slos = PlatformSlos(self.outcomes)
        self._book = OutcomeBook()
        self._measuring = Measuring(metrics or MetricsManager(), self.slos)
        self._checks: dict[str, tuple[Check, bool]] = {}
        self._latest: tuple[float, list[Health]] | None = None
        self._running = asyncio.Lock()
        self._counting = asyncio.Lock()
        self._counted_at: float | None = None
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._requests = RequestSeries()
        self.registry.register(self._requests)
        self._events = Counter(
            "email_sender_orchestrator_events",
            "What this worker did with jobs: job_claimed, job_finished, job_reaped ...",
            ["event", "kind", "outcome"],
            registry=self.registry,
        )
        self._attempts = Histogram(
            "email_sender_orchestrator_attempt_duration_seconds",
            "Time from claiming a job to the record of what became of the attempt.",
            ["kind", "outcome"],
            registry=self.registry,
            buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300),
        )
        # Apart, because only who has just asked the database may expose them: in a process that
        # never asks they would stand at a reassuring zero.
        self._fleet = CollectorRegistry()
        self.event_series = EventSeries(self._fleet, self.registry)
        self._history = HealthBook()
        self._refreshes: list[Callable[[], Awaitable[None]]] = []
        self._gauges: list[tuple[FleetGauge[Any], Gauge, Count]] = []

    def add_check(self, name: str, check: Check, *, required: bool = True) -> None:
        """Watch a dependency. One that is not required is shown but does not unready us."""
        self._checks[name] = (check, required)

    def add_gauge(self, gauge: FleetGauge[Any], count: Count) -> None:
        """Expose a figure of the fleet; ``count`` asks the database for it."""
        labels = [gauge.label] if gauge.label else []
        series = Gauge(gauge.name, gauge.text, labels, registry=self._fleet)
        self._gauges.append((gauge, series, count))

    def add_refresh(self, refresh: Callable[[], Awaitable[None]]) -> None:
        """Have ``refresh`` bring series of its own up to date before they are exposed."""
        self._refreshes.append(refresh)

    async def check_health(self) -> list[Health]:
        """Ask every dependency at once; answers younger than a second are reused.

        Probes come from several places at the same time; without the reuse each of them would
        open its own connection to a mail server that is already struggling.
        """
        async with self._running:
            if self._latest and monotonic() - self._latest[0] < _FRESH_SECONDS:
                return self._latest[1]
            found = list(
                await asyncio.gather(
                    *(self._ask(name, *entry) for name, entry in self._checks.items())
                )
            )
            self._latest = (monotonic(), found)
            return found

    @property
    def latest(self) -> tuple[float, Sequence[Health]] | None:
        """This process's newest look: how many seconds ago it was, and what it found.

        Asks nobody: who shows it every few seconds to many people costs no dependency a question.
        """
        return self._latest and (monotonic() - self._latest[0], self._latest[1])

    async def probe(self, database: Database) -> None:
        """Look, and keep how it was: what uptime is reckoned from."""
        found = await self.check_health()
        now = database.clock()
        self._history.note(now, found)
        self._book.note(now, found)
        await self._history.flush(database)
        await self._book.flush(database)

    async def measure(self, database: Database) -> int:
        """Look up what objectives ask of series; returns how many objectives were looked up."""
        return await self._measuring.run(database)

    async def read_history(self, tx: ReadTx, *, hours: int) -> HealthHistory:
        """How the platform was over the last ``hours``, 1 to 2160.

        Args:
            tx: Under :data:`~backend.managers.monitoring.errands.HISTORY`.
            hours: By the minute up to a day, by the hour beyond.
        """
        return await self._history.read(tx, hours=hours, checks=self._checks)

    async def read_last_health(self, database: Database) -> HealthPoint | None:
        """How the platform was in the last minute that any process looked; None: none did lately.

        What tenants may know: which parts failed, and not what they said.
        """
        async with database.read(SystemScope(HISTORY)) as tx:
            return await self._history.read_last(tx)

    async def check_prometheus(self) -> str:
        """That the Prometheus which is set answers a question."""
        return await self.prometheus.check()

    async def sweep(self, tx: Tx) -> int:
        """Forget what was kept long enough; returns how many rows."""
        return await self._history.sweep(tx)

    async def sweep_outcomes(self, tx: Tx) -> int:
        """Forget what was counted long ago; returns how many rows."""
        return await _outcomes.sweep(tx)

    @asynccontextmanager
    async def serving(self, database: Database) -> AsyncIterator[None]:
        """Write at the end what was seen since the last minute."""
        try:
            yield
        finally:
            self.prometheus.close()
            # A database that is gone keeps its silence: nobody is left to be told.
            with contextlib.suppress(Exception):
                await self._history.flush(database, everything=True)
                await self._book.flush(database, everything=True)

    async def _ask(self, name: str, check: Check, required: bool) -> Health:  # noqa: FBT001
        started = perf_counter()
        try:
            detail, ok = await asyncio.wait_for(check(), _TIMEOUT_SECONDS), True
        except TimeoutError:
            detail, ok = f"no answer within {_TIMEOUT_SECONDS:g} s", False
        except AppError as exc:
            detail, ok = exc.detail or exc.title, False
        except Exception as exc:  # noqa: BLE001 - a check may fail in any way its driver invents
            detail, ok = type(exc).__name__, False
        return Health(name, ok, required, round(1000 * (perf_counter() - started), 2), detail)

    def observe(self, records: Sequence[RequestRecord]) -> None:
        """Count finished requests and their times; a consumer of the telemetry queue."""
        self._book.observe(records)
        self._requests.observe(records)

    def count_event(
        self,
        name: str,
        *,
        kind: str = "",
        outcome: str = "",
        count: int = 1,
        seconds: float | None = None,
        **_: object,
    ) -> None:
        """Count something a worker did, and how long an attempt took; further labels are ignored.

        A label per job or tenant would give every one of them a series of its own.
        """
        self._events.labels(name, kind, outcome).inc(count)
        if name == "job_finished" and seconds is not None:
            self._attempts.labels(kind, outcome).observe(seconds)

    async def expose_fleet(self) -> bytes:
        """This process's series, and the fleet's gauges a second old at most, for Prometheus.

        Scrapers do not authenticate and no limit holds for them: however many ask, the database
        is asked once a second.

        Raises:
            AppError: The database does not answer, and a figure that is not known is not shown.
        """
        async with self._counting:
            if self._counted_at is None or monotonic() - self._counted_at >= _FRESH_SECONDS:
                self._counted_at = None
                counted = [await count() for _, _, count in self._gauges]
                for (gauge, series, _), found in zip(self._gauges, counted, strict=True):
                    for value in gauge.values:
                        each = series.labels(value) if gauge.label else series
                        each.set(found.get(value, 0))
                for refresh in self._refreshes:
                    await refresh()
                self._counted_at = monotonic()
        return generate_latest(self.registry) + generate_latest(self._fleet)
