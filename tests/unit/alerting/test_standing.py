"""An alert fires after its hold and not before, and is over after its clear-hold."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.managers.alerting._standing import Seen, Standing, Timing, Turn, look

NOON = datetime(2026, 12, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def looks(timing: Timing, marks: str) -> list[Turn]:
    """What becomes of an alert that is looked at once a minute: + holds, - is gone, ? unknown."""
    seen = {"+": Seen.HOLDS, "-": Seen.GONE, "?": Seen.NOTHING}
    standing: Standing | None = None
    turns = []
    for number, mark in enumerate(marks):
        standing, turn = look(standing, seen[mark], timing, NOON + number * MINUTE)
        turns.append(turn)
    return turns


def told(timing: Timing, marks: str) -> str:
    """One sign a look: b began, F fired, e ended, R resolved."""
    signs = {Turn.NONE: ".", Turn.BEGAN: "b", Turn.FIRED: "F", Turn.ENDED: "e", Turn.RESOLVED: "R"}
    return "".join(signs[turn] for turn in looks(timing, marks))


AT_ONCE = Timing()
FIVE = Timing(hold=5 * MINUTE, clear_hold=3 * MINUTE)


@pytest.mark.parametrize(
    ("timing", "marks", "turns"),
    [
        (AT_ONCE, "-++--+", ".F.R.F"),
        (FIVE, "++++++", "b....F"),
        (FIVE, "+++-++++++", "b..eb....F"),
        # It flaps: it fires on, and is over when it has been gone for long enough at a stretch.
        (FIVE, "++++++-+--+----", "b....F........R"),
        (FIVE, "++??????+", "b.......F"),
        (FIVE, "++++++?-?-??-", "b....F......R"),
        (FIVE, "?????", "....."),
        (Timing(hold=2 * MINUTE, no_data="fire"), "???-", "b.FR"),
        (Timing(hold=2 * MINUTE, no_data="resolve"), "+++?", "b.FR"),
        (Timing(hold=2 * MINUTE, no_data="resolve"), "+?", "be"),
    ],
)
def test_what_is_told(timing: Timing, marks: str, turns: str) -> None:
    assert told(timing, marks) == turns


@given(
    st.lists(st.tuples(st.sampled_from(Seen), st.integers(0, 600)), max_size=60),
    st.integers(0, 900),
    st.integers(0, 900),
)
def test_nothing_fires_early_or_ends_early(
    steps: list[tuple[Seen, int]], hold: int, clear: int
) -> None:
    """Held against the whole history, and not against the state before."""
    timing = Timing(hold=timedelta(seconds=hold), clear_hold=timedelta(seconds=clear))
    now, standing = NOON, None
    known: list[tuple[datetime, Seen]] = []
    fires = False
    for seen, seconds in steps:
        now += timedelta(seconds=seconds)
        standing, turn = look(standing, seen, timing, now)
        if seen is not Seen.NOTHING:
            known.append((now, seen))
        last = len(known) - 1
        while last > 0 and known[last - 1][1] is known[-1][1]:
            last -= 1
        alike = now - known[last][0] if known else timedelta(0)
        should_fire = bool(known) and known[-1][1] is Seen.HOLDS and alike.total_seconds() >= hold
        should_end = bool(known) and known[-1][1] is Seen.GONE and alike.total_seconds() >= clear
        if seen is Seen.NOTHING:
            assert turn is Turn.NONE
        elif not fires:
            assert (turn is Turn.FIRED) == should_fire
        else:
            assert (turn is Turn.RESOLVED) == should_end
        fires = (fires or turn is Turn.FIRED) and turn is not Turn.RESOLVED
        assert (standing is not None and standing.fired_at is not None) == fires
