"""Shifts as a calendar that other programs subscribe to: iCalendar (RFC 5545), in UTC.

The few lines are written here: no date is written but in UTC, and nothing recurs.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from backend.managers.alerting._on_call import Shift

DAYS: Final = timedelta(days=92)
_OCTETS: Final = 75
_ESCAPES: Final = str.maketrans({"\\": "\\\\", ";": "\\;", ",": "\\,", "\n": "\\n"})


def calendar_range(now: datetime) -> tuple[datetime, datetime]:
    """What a calendar shows: 92 days from the beginning of the month before.

    It moves on with the month and not with each look, so that an event that begins before it stays
    the same event.
    """
    first = now.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    begin = (first - timedelta(days=1)).replace(day=1)
    return begin, begin + DAYS


def calendar_of(
    schedule_id: str, name: str, shifts: Sequence[Shift], changed_at: datetime
) -> bytes:
    """A calendar of who is on call; an event's UID is of the schedule and of when it begins.

    Args:
        schedule_id: Whose.
        name: What it is called.
        shifts: Of a stretch of time, one at least. Where nobody is there nothing is shown, unless
            that is always: a calendar has an event at least.
        changed_at: When this became known.
    """
    some = [shift for shift in shifts if shift.person is not None] or list(shifts)
    lines = [
        "BEGIN:VCALENDAR",
        "VERSION:2.0",
        "PRODID:-//Email Sender//On call//EN",
        "CALSCALE:GREGORIAN",
        f"NAME:{_text(name)}",
    ]
    for shift in some:
        lines += [
            "BEGIN:VEVENT",
            f"UID:{schedule_id}-{_time(shift.begin)}@on-call.email-sender",
            f"DTSTAMP:{_time(changed_at)}",
            f"DTSTART:{_time(shift.begin)}",
            f"DTEND:{_time(shift.end)}",
            "SUMMARY:" + _text(f"{name}: {shift.person or 'nobody'}"),
            f"TRANSP:{'TRANSPARENT' if shift.person is None else 'OPAQUE'}",
            "END:VEVENT",
        ]
    lines.append("END:VCALENDAR")
    return b"".join(part + b"\r\n" for line in lines for part in _folded(line))


def _time(instant: datetime) -> str:
    return f"{instant.astimezone(UTC):%Y%m%dT%H%M%SZ}"


def _text(text: str) -> str:
    return text.translate(_ESCAPES)


def _folded(line: str) -> Iterator[bytes]:
    """Parts of at most 75 octets, all but the first after a space; no character is cut."""
    part = b""
    for character in line:
        octets = character.encode()
        if len(part) + len(octets) > _OCTETS:
            yield part
            part = b" "
        part += octets
    yield part
