"""When silences count, in a stretch of time: what recurs is told each time that it does."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import sqlalchemy as sa

from backend.core.database import ReadTx
from backend.kit.wall_clock import Stretch
from backend.managers.alerting._silences import KeptSilence, Silences
from backend.managers.alerting.errors import SilenceRangeError
from backend.managers.alerting.models import SilenceRow

MAX_RANGE: Final = timedelta(days=42)
"""A month as calendars show it, in whole weeks."""
MAX_SILENCES: Final = 200
MAX_TIMES: Final = 2000


@dataclass(frozen=True, slots=True)
class SilenceTime:
    """A stretch in which a silence counts; as far as it was asked for."""

    silence: KeptSilence
    stretch: Stretch


@dataclass(frozen=True, slots=True)
class SilenceCalendar:
    """When silences count, by their beginning; ``complete`` is whether that is all of them."""

    times: Sequence[SilenceTime]
    complete: bool


@dataclass(frozen=True, slots=True)
class SilenceReckoning:
    """What is left to do when the database has been asked; of many windows it takes a while."""

    silences: Sequence[KeptSilence]
    within: Stretch

    async def times(self) -> SilenceCalendar:
        """When they count."""
        return await asyncio.to_thread(self._times)

    def _times(self) -> SilenceCalendar:
        some = self.silences[:MAX_SILENCES]
        found = [SilenceTime(one, part) for one in some for part in times_of(one, self.within)]
        found.sort(key=lambda one: (one.stretch.begin, one.silence.id))
        complete = len(self.silences) <= MAX_SILENCES and len(found) <= MAX_TIMES
        return SilenceCalendar(found[:MAX_TIMES], complete)


async def silences_in(tx: ReadTx, silences: Silences, within: Stretch) -> SilenceReckoning:
    """How it is worked out when a tenant's silences count in a stretch; those that end first.

    Raises:
        SilenceRangeError: The stretch is none, or longer than 42 days.
    """
    if not within.begin < within.end <= within.begin + MAX_RANGE:
        raise SilenceRangeError(f"It ends after it begins, and {MAX_RANGE.days} days at most")
    query = (
        sa.select(SilenceRow)
        .where(
            SilenceRow.tenant_id == tx.tenant_id,
            SilenceRow.ends_at > within.begin,
            SilenceRow.starts_at < within.end,
        )
        .order_by(SilenceRow.ends_at)
        .limit(MAX_SILENCES + 1)
    )
    return SilenceReckoning(await silences.read(tx, query), within)


def times_of(silence: KeptSilence, within: Stretch) -> Sequence[Stretch]:
    """When a silence counts in a stretch, in order; windows that touch are one time."""
    whole = Stretch(silence.starts_at, silence.ends_at).within(within)
    if whole is None:
        return []
    if not silence.windows:
        return [whole]
    parts = sorted(
        (part for window in silence.windows for part in window.stretches(whole)),
        key=lambda one: one.begin,
    )
    joined: list[Stretch] = []
    for part in parts:
        if joined and part.begin <= joined[-1].end:
            joined[-1] = Stretch(joined[-1].begin, max(joined[-1].end, part.end))
        else:
            joined.append(part)
    return joined
