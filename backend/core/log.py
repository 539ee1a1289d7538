"""Structured logs: one JSON object a line with the names of the Elastic Common Schema."""

import logging
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Final, TextIO

import msgspec

from backend.core.telemetry import RequestRecord

_STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_SERVER_ERROR: Final = 500


class EcsFormatter(logging.Formatter):
    """Turns a log record into one line; extra fields go below ``labels``."""

    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        """One line of JSON, without a line break inside."""
        entry: dict[str, Any] = {
            "@timestamp": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "log.level": record.levelname.lower(),
            "log.logger": record.name,
            "message": record.getMessage(),
            "service.name": self._service,
            "process.pid": record.process,
        }
        labels = {
            key: value if isinstance(value, str | int | float | bool) else str(value)
            for key, value in vars(record).items()
            if key not in _STANDARD and value is not None
        }
        if labels:
            entry["labels"] = labels
        if record.exc_info and record.exc_info[0] is not None:
            entry["error.type"] = record.exc_info[0].__name__
            entry["error.message"] = str(record.exc_info[1])
            entry["error.stack_trace"] = self.formatException(record.exc_info)
        return msgspec.json.encode(entry).decode()


def configure_logging(service: str, level: str, stream: TextIO | None = None) -> None:
    """Send every log of this process to ``stream`` (default: standard error) as ECS lines."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(EcsFormatter(service))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    # Its debug lines print tokens, its info lines every job.
    logging.getLogger("authlib").setLevel(logging.WARNING)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    logging.getLogger("apscheduler").setLevel(logging.WARNING)
    logging.getLogger("mail.log").setLevel(logging.WARNING)
    # A line a request, with its whole address: of a webhook that is its secret, and a command's
    # own words drown in them. Below it, at debug, the headers of answers.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    logging.getLogger("httpcore").setLevel(logging.WARNING)


class _AccessLine(
    msgspec.Struct,
    frozen=True,
    gc=False,
    rename={
        "timestamp": "@timestamp",
        "level": "log.level",
        "dataset": "event.dataset",
        "duration": "event.duration",
        "service": "service.name",
        "method": "http.request.method",
        "request_id": "http.request.id",
        "status": "http.response.status_code",
        "route": "http.route",
        "path": "url.path",
        "address": "client.address",
        "tenant_id": "organization.id",
        "actor": "user.id",
        "trace_id": "trace.id",
        "span_id": "span.id",
        "problem": "error.code",
    },
):
    """A finished request in ECS's names."""

    timestamp: str
    level: str
    duration: int
    service: str
    method: str
    request_id: str
    status: int
    route: str
    path: str
    address: str
    tenant_id: str
    actor: str
    trace_id: str
    span_id: str
    problem: str
    message: str = "request"
    dataset: str = "http.access"


def access_logger(
    service: str, stream: TextIO | None = None
) -> Callable[[Sequence[RequestRecord]], None]:
    """A telemetry consumer that writes one line a request, many lines a write."""
    out = stream or sys.stderr

    encode = msgspec.json.Encoder().encode_lines

    def write(records: Sequence[RequestRecord]) -> None:
        lines = [
            _AccessLine(
                datetime.fromtimestamp(r.started_ns / 1e9, UTC).isoformat(),
                "error" if r.status >= _SERVER_ERROR else "info",
                int(r.seconds * 1e9),
                service,
                r.method,
                r.request_id,
                r.status,
                r.route,
                r.path,
                r.address,
                r.tenant_id,
                r.actor,
                r.trace_id,
                r.span_id,
                r.problem,
            )
            for r in records
        ]
        out.write(encode(lines).decode())
        out.flush()

    return write
