"""Rules for health and exposition: is it up, is it ready, what does Prometheus read."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import generate_latest
from prometheus_client.process_collector import ProcessCollector

from backend.core.clock import monotonic, perf_counter
from backend.core.errors import AppError
from backend.core.telemetry import RequestRecord

Check = Callable[[], Awaitable[str]]
"""Returns a short remark when the dependency works; raises when it does not."""

_TIMEOUT_SECONDS: Final = 2.0
_FRESH_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class Health:
    """What one dependency answered and how long it took, in milliseconds."""

    name: str
    ok: bool
    required: bool
    milliseconds: float
    detail: str


class MonitoringManager:
    """Runs the checks it is given and holds this process's Prometheus registry."""

    def __init__(self) -> None:
        self._checks: dict[str, tuple[Check, bool]] = {}
        self._latest: tuple[float, list[Health]] | None = None
        self._running = asyncio.Lock()
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._requests = Histogram(
            "http_request_duration_seconds",
            "Time to serve a request, by route template.",
            ["method", "endpoint", "status"],
            registry=self.registry,
            buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
        )
        self._events = Counter(
            "email_sender_orchestrator_events",
            "What the job engine did: claimed, done, retrying, dead, reaped.",
            ["event", "kind"],
            registry=self.registry,
        )
        self._waiting = Gauge(
            "email_sender_orchestrator_jobs",
            "Jobs that are not finished, by state.",
            ["state"],
            registry=self.registry,
        )
        self._unsequenced = Gauge(
            "email_sender_security_audit_unsequenced_records",
            "Committed audit records that wait for their place in the chain.",
            registry=self.registry,
        )

    def add_check(self, name: str, check: Check, *, required: bool = True) -> None:
        """Watch a dependency. One that is not required is shown but does not unready us."""
        self._checks[name] = (check, required)

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
        """Add finished requests to the histogram; a consumer of the telemetry queue."""
        for record in records:
            self._requests.labels(record.method, record.route, str(record.status)).observe(
                record.seconds
            )

    def count_event(self, name: str, *, kind: str = "", count: int = 1, **_: object) -> None:
        """Count something the job engine did; labels of no use to a counter are left out."""
        self._events.labels(name, kind).inc(count)

    def expose(self, waiting: Mapping[str, int], unsequenced: int) -> bytes:
        """This process's series in the Prometheus text format."""
        for state in ("ready", "running"):
            self._waiting.labels(state).set(waiting.get(state, 0))
        self._unsequenced.set(unsequenced)
        return generate_latest(self.registry)
