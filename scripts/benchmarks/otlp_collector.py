"""The reference of ``otlp``: an OpenTelemetry Collector that writes spans into a file."""

import contextlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from scripts.benchmarks.measure import BenchmarkError
from scripts.benchmarks.processes import wait_until
from scripts.installation import HOST, accepts, free_ports, spawn, stop

MISSING: Final = (
    "there is no OpenTelemetry Collector: scripts/bench builds it with Go, or set "
    "EMAIL_SENDER_COLLECTOR to one that has otlp, memory_limiter, batch and file"
)
PATH: Final = "/v1/traces"
_SPAN: Final = b'"spanId":'
_MEMORY_MIB: Final = 1024


@dataclass
class Collector:
    """One that runs.

    Attributes:
        port: Where it takes spans, at :data:`PATH`.
        file: What it writes, a line a batch.
    """

    port: int
    file: Path
    _read_bytes: int = 0
    _written: int = 0

    def settle(self, sent: int) -> None:
        """Wait until as many spans are in the file as it was ever sent.

        Raises:
            BenchmarkError: They do not come, or more do.
        """
        wait_until(lambda: self._count() >= sent, f"the collector's writing of {sent} spans")
        if self._written != sent:
            raise BenchmarkError(f"the collector wrote {self._written} spans of {sent}")

    def _count(self) -> int:
        with self.file.open("rb") as file:
            file.seek(self._read_bytes)
            for line in file:
                # What is being written is read the next time.
                if line.endswith(b"\n"):
                    self._read_bytes += len(line)
                    self._written += line.count(_SPAN)
        return self._written


def find_collector() -> Path | None:
    """The program; None when there is none."""
    said = os.environ.get("EMAIL_SENDER_COLLECTOR")
    return Path(said) if said and Path(said).is_file() else None


@contextlib.contextmanager
def collecting(program: Path, folder: Path) -> Iterator[Collector]:
    """A collector with the settings it comes with, its files in ``folder``, while the block lasts.

    Raises:
        BenchmarkError: It does not start; says what it said.
    """
    port, metrics = free_ports(2)
    made = Collector(port, folder / "collector-spans.jsonl")
    config = folder / "collector.json"
    config.write_text(json.dumps(_config(made, metrics)))
    log = folder / "collector.log"
    # Nothing of the environment: variables may set a collector's telemetry and its processors.
    process = spawn(str(program), ["--config", str(config)], {}, log, by=())

    def listens() -> bool:
        if process.poll() is not None:
            said = log.read_text(errors="replace").strip()[-300:]
            raise BenchmarkError(f"the collector does not start: {said}")
        return accepts(port)

    try:
        wait_until(listens, "the collector's listening")
        yield made
    finally:
        stop(process)


def _config(made: Collector, metrics_port: int) -> object:
    prometheus = {"host": HOST, "port": metrics_port}
    return {
        "receivers": {"otlp": {"protocols": {"http": {"endpoint": f"{HOST}:{made.port}"}}}},
        "processors": {
            "memory_limiter": {"check_interval": "1s", "limit_mib": _MEMORY_MIB},
            "batch": {},
        },
        "exporters": {"file": {"path": str(made.file)}},
        "service": {
            # Where it has them by default is the same for every collector of a machine.
            "telemetry": {
                "metrics": {"readers": [{"pull": {"exporter": {"prometheus": prometheus}}}]}
            },
            "pipelines": {
                "traces": {
                    "receivers": ["otlp"],
                    "processors": ["memory_limiter", "batch"],
                    "exporters": ["file"],
                }
            },
        },
    }
