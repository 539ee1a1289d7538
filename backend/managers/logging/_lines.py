"""From the bytes of a batch to rows: unpacked, parted, read, redacted, and each line for itself.

A line is a JSON object with the names of the Elastic Common Schema (``@timestamp``, ``log.level``,
``message``, ``service.name``, ``trace.id`` ...), with dots or nested, or with our own short ones. A
line that cannot be kept is refused alone, with its number and a code; the others are kept.
"""

import os
import re
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec

from backend.kit.gunzip import MAGIC, GzipDamagedError, GzipTooLargeError, gunzip
from backend.managers.logging._redaction import GrownError, Redaction, Room
from backend.managers.logging.errors import LogBatchDamagedError, LogBatchTooLargeError
from backend.managers.logging.settings import LoggingSettings

LEVELS: Final[Mapping[str, int]] = {
    "trace": 1,
    "debug": 5,
    "info": 9,
    "warn": 13,
    "error": 17,
    "fatal": 21,
}
"""Levels by their least severity, as OpenTelemetry numbers them; each has four."""

_SAID: Final = {
    **LEVELS,
    "verbose": 1,
    "information": 9,
    "informational": 9,
    "notice": 10,
    "warning": 13,
    "err": 17,
    "critical": 21,
    "alert": 22,
    "emergency": 24,
    "panic": 24,
}
_BY_FOUR: Final = tuple(LEVELS)
_encode: Final = msgspec.json.encode
_MOST: Final = 24
_MAX_NAME: Final = 200
_MAX_DEPTH: Final = 16
_TIME: Final = re.compile(
    r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d([.,]\d+)?(Z|[+-]\d\d:?\d\d)", re.ASCII
)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_OLDEST: Final = datetime(2000, 1, 1, tzinfo=UTC)
_AHEAD: Final = timedelta(days=1)
_MICROSECOND: Final = timedelta(microseconds=1)
# What says the same, most likely first; the first that is there is taken.
_NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    "at": ("@timestamp", "timestamp"),
    "level": ("log.level", "level"),
    "severity": ("severity_number",),
    "message": ("message",),
    "source": ("service.name", "source"),
    "trace_id": ("trace.id", "trace_id"),
    "span_id": ("span.id", "span_id"),
    "request_id": ("http.request.id", "request_id"),
    "workflow_id": ("workflow.id", "workflow_id"),
    "execution_id": ("execution.id", "execution_id"),
}
_IDS: Final = ("trace_id", "span_id", "request_id", "workflow_id", "execution_id")


def is_level(text: str) -> bool:
    """Whether a line may name its level so."""
    return text.strip().lower() in _SAID


def level_of(severity: int) -> str:
    """The level's name."""
    return _BY_FOUR[(severity - 1) // 4]


@dataclass(frozen=True, slots=True)
class KeepRule:
    """How long some lines are kept.

    Attributes:
        days: So many, by the lines' own time.
        levels: Lines of these levels; none: of all.
        source: Lines of this source; None: of all.
    """

    days: int
    levels: tuple[str, ...] = ()
    source: str | None = None


@dataclass(frozen=True, slots=True)
class Refusal:
    """A line that is not kept: its number, from 1, and why."""

    line: int
    code: str


@dataclass(slots=True)
class Batch:
    """What was read of a request.

    Attributes:
        rows: As the table has them, without their numbers.
        refused: Lines that are not kept.
        size_bytes: What the kept lines have.
    """

    rows: list[dict[str, Any]] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)
    size_bytes: int = 0


class _RefusedError(Exception):
    """Carries the code of a line that is not kept."""


def unpack(body: bytes, limit: int) -> bytes:
    """The body, unpacked when it is gzip's, which its first bytes say (RFC 1952, 2.3.1).

    Never more than ``limit`` bytes are made, whatever is announced or hidden.

    Raises:
        LogBatchTooLargeError: It has more.
        LogBatchDamagedError: It is cut short, or no gzip after all.
    """
    if body.startswith(MAGIC):
        try:
            return gunzip(body, limit)
        except GzipTooLargeError as exc:
            raise LogBatchTooLargeError(str(exc), limit_bytes=limit) from None
        except GzipDamagedError as exc:
            raise LogBatchDamagedError(str(exc)) from None
    if len(body) > limit:
        raise LogBatchTooLargeError(f"At most {limit} bytes, unpacked", limit_bytes=limit)
    return body


def read_lines(
    text: bytes,
    tenant_id: str,
    redaction: Redaction,
    settings: LoggingSettings,
    now: datetime,
    *,
    trace_id: str | None = None,
    may_be_structured: bool = False,
) -> Generator[None, None, Batch]:
    """The rows of an unpacked batch and what was refused of it; gives way after each line.

    Those without a trace are of ``trace_id``. A message that ``may_be_structured`` is kept as JSON
    where it is no text.

    Raises:
        LogBatchTooLargeError: It has too many lines.
    """
    batch = Batch()
    if text.count(b"\n") > settings.max_lines:
        raise LogBatchTooLargeError(
            f"At most {settings.max_lines} lines", limit_lines=settings.max_lines
        )
    make_id = _ids()
    for number, line in enumerate(text.split(b"\n"), 1):
        if not line or line.isspace():
            continue
        try:
            if len(line) > settings.max_line_bytes:
                raise _RefusedError("too_long")
            row = _row(line, redaction, now, may_be_structured=may_be_structured)
        except _RefusedError as exc:
            batch.refused.append(Refusal(number, str(exc)))
        else:
            row["tenant_id"] = tenant_id
            row["trace_id"] = row["trace_id"] or trace_id
            row["id"] = make_id(row["at"])
            batch.rows.append(row)
            batch.size_bytes += len(line)
        yield
    return batch


def _ids() -> Callable[[datetime], str]:
    """Makes UUIDv7s of lines' own times: those of one microsecond in their order.

    Of the bits below the milliseconds ten are the microseconds, 22 count, and 40 are the batch's.
    """
    drawn = int.from_bytes(os.urandom(5))
    count = 0

    def make(at: datetime) -> str:
        nonlocal count
        count += 1
        stamp, below = divmod((at - _EPOCH) // _MICROSECOND, 1000)
        rest = 1 << 63 | ((count & 0x3FFFFF) << 40 | drawn)
        made = f"{stamp:012x}7{below << 2:03x}{rest:016x}"
        return f"{made[:8]}-{made[8:12]}-{made[12:16]}-{made[16:20]}-{made[20:]}"

    return make


_decode: Final = msgspec.json.Decoder().decode


def _row(
    line: bytes, redaction: Redaction, now: datetime, *, may_be_structured: bool
) -> dict[str, Any]:
    try:
        said = _decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise _RefusedError("not_json") from None
    if not isinstance(said, dict):
        raise _RefusedError("not_an_object")
    if b"\\u0000" in line:
        raise _RefusedError("unsound_text")
    if line.count(b"{") + line.count(b"[") > _MAX_DEPTH:
        _refuse_deep(said)
    found = {name: _take(said, names) for name, names in _NAMES.items()}
    message = found["message"]
    source = found["source"]
    room = Room(len(line))
    try:
        if may_be_structured and isinstance(message, dict | list):
            # Before it is text: afterwards names do not tell any more what is secret.
            message = _encode(redaction.value(message, room)).decode()
        if not isinstance(message, str) or not message.strip():
            raise _RefusedError("no_message")
        message, fields = redaction.text(message, room), redaction.value(said, room)
    except GrownError:
        raise _RefusedError("too_long") from None
    return {
        "at": now if found["at"] is None else _time(found["at"], now),
        "received_at": now,
        "severity": _severity(found["level"], found["severity"]),
        "source": _name(source) or "",
        "message": message,
        "fields": fields,
        **{name: _name(found[name]) for name in _IDS},
    }


def _take(said: dict[str, Any], names: tuple[str, ...]) -> Any:
    """The value under the first of the names that is there, taken out of what is said."""
    for name in names:
        if name in said:
            return said.pop(name)
        outer, _, inner = name.rpartition(".")
        if not outer:
            continue
        holder: Any = said
        for step in outer.split("."):
            holder = holder.get(step) if isinstance(holder, dict) else None
        if isinstance(holder, dict) and inner in holder:
            return holder.pop(inner)
    return None


def _name(value: Any) -> str | None:
    if value is None or value == "":
        return None
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise _RefusedError("invalid_name")
    text = str(value)
    if len(text) > _MAX_NAME:
        raise _RefusedError("invalid_name")
    return text


def _time(value: Any, now: datetime) -> datetime:
    # Without a zone it may be anywhere; a number's unit would be a guess.
    if not isinstance(value, str) or not _TIME.fullmatch(value):
        raise _RefusedError("invalid_time")
    try:
        at = datetime.fromisoformat(value.replace(",", ".")).astimezone(UTC)
    except (ValueError, OverflowError):
        raise _RefusedError("invalid_time") from None
    if not _OLDEST <= at <= now + _AHEAD:
        raise _RefusedError("time_out_of_range")
    return at


def _severity(level: Any, severity: Any) -> int:
    if level is None:
        if severity is None:
            return LEVELS["info"]
        level = severity
    if isinstance(level, str) and (known := _SAID.get(level.strip().lower())) is not None:
        return known
    if isinstance(level, int) and not isinstance(level, bool) and 1 <= level <= _MOST:
        return level
    raise _RefusedError("unknown_level")


def _refuse_deep(said: Any) -> None:
    """Refuse what is nested beyond what anybody reads."""
    level = [said]
    for _ in range(_MAX_DEPTH):
        level = list(_inner(level))
        if not level:
            return
    raise _RefusedError("too_deep")


def _inner(values: list[Any]) -> Iterator[Any]:
    for one in values:
        for inner in one.values() if isinstance(one, dict) else one:
            if isinstance(inner, dict | list):
                yield inner
