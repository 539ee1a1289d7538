"""The calendar is what RFC 5545 asks for: lines, folds, escapes, and events that stay the same."""

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from backend.managers.alerting._calendar import calendar_of, calendar_range
from backend.managers.alerting._on_call import Shift

BEGIN = datetime(2026, 3, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


def read(data: bytes) -> list[tuple[str, str]]:
    """Names and values of the lines, unfolded (section 3.1) and unescaped (3.3.11)."""
    assert data.endswith(b"\r\n")
    lines = data.removesuffix(b"\r\n").split(b"\r\n")
    assert all(len(line) <= 75 for line in lines)
    for line in lines:
        # No character is cut, and no line ends otherwise.
        assert not {"\r", "\n"} & set(line.decode())
    whole = data.removesuffix(b"\r\n").replace(b"\r\n ", b"").decode().split("\r\n")
    return [(name, unescaped(value)) for name, _, value in (one.partition(":") for one in whole)]


def unescaped(value: str) -> str:
    found, characters = "", iter(value)
    for one in characters:
        if one == "\\":
            following = next(characters)
            assert following in "\\;,nN"
            found += {"n": "\n", "N": "\n"}.get(following, following)
        else:
            found += one
    return found


def event(**more: Any) -> dict[str, str]:
    shift = Shift(**{"begin": BEGIN, "end": BEGIN + HOUR, "person": "ada@example.test", **more})
    return dict(read(calendar_of("s1", "db", [shift], BEGIN))[5:])


def test_an_event_is_somebodys_time() -> None:
    found = read(calendar_of("s1", "db", [Shift(BEGIN, BEGIN + HOUR, "ada")], BEGIN - HOUR))
    assert found == [
        ("BEGIN", "VCALENDAR"), ("VERSION", "2.0"), ("PRODID", "-//Email Sender//On call//EN"),
        ("CALSCALE", "GREGORIAN"), ("NAME", "db"),
        ("BEGIN", "VEVENT"), ("UID", "s1-20260301T000000Z@on-call.email-sender"),
        ("DTSTAMP", "20260228T230000Z"), ("DTSTART", "20260301T000000Z"),
        ("DTEND", "20260301T010000Z"), ("SUMMARY", "db: ada"), ("TRANSP", "OPAQUE"),
        ("END", "VEVENT"), ("END", "VCALENDAR"),
    ]  # fmt: skip


def test_an_event_stays_itself_when_somebody_else_takes_it() -> None:
    assert event()["UID"] == event(person="bob", end=BEGIN + 2 * HOUR)["UID"]
    assert event()["UID"] != event(begin=BEGIN + HOUR / 2)["UID"]


def test_nobodys_time_is_shown_only_where_nobody_is_there_at_all() -> None:
    nobody = Shift(BEGIN, BEGIN + HOUR, None)
    alone = read(calendar_of("s1", "db", [nobody], BEGIN))
    assert ("SUMMARY", "db: nobody") in alone
    assert ("TRANSP", "TRANSPARENT") in alone
    both = read(
        calendar_of("s1", "db", [nobody, Shift(BEGIN + HOUR, BEGIN + 2 * HOUR, "a")], BEGIN)
    )
    assert [value for name, value in both if name == "SUMMARY"] == ["db: a"]


@given(name=st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=200))
def test_any_name_comes_back(name: str) -> None:
    found = dict(read(calendar_of("s1", name, [Shift(BEGIN, BEGIN + HOUR, "a;b,\\n")], BEGIN)))
    assert (found["NAME"], found["SUMMARY"]) == (name, f"{name}: a;b,\\n")


def test_the_range_moves_with_the_month() -> None:
    early, late = datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 31, 23, 59, tzinfo=UTC)
    assert calendar_range(early) == calendar_range(late)
    assert calendar_range(early)[0] == datetime(2026, 2, 1, tzinfo=UTC)
    assert calendar_range(datetime(2026, 1, 9, tzinfo=UTC))[0] == datetime(2025, 12, 1, tzinfo=UTC)
    for month in range(1, 13):
        begin, end = calendar_range(datetime(2026, month, 28, tzinfo=UTC))
        assert begin < datetime(2026, month, 1, tzinfo=UTC)
        assert end > datetime(2026, month, 28, tzinfo=UTC) + timedelta(days=28)
