"""Error budgets and how fast they burn; arithmetic without I/O.

After Google's "The Site Reliability Workbook" (2018), chapter 5, "Alerting on SLOs": an objective
of 99.9 % leaves a budget of 0.1 % of what happens in the window; a burn rate of 1 spends it exactly
by the end. A pair of windows burns when both do: the long one says that it matters, the short one
that it still goes on.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal

WINDOW_DAYS: Final = (7, 28, 30, 90)
_DAY: Final = 86_400
_LITTLE_LEFT: Final = 0.1
_FEW: Final = 1000
_BY_CHANCE: Final = 0.01
STALE_AFTER: Final = timedelta(minutes=15)
"""How old the newest count may be: two steps of five minutes, and the time to write them."""

Severity = Literal["page", "ticket"]
SloState = Literal["met", "at_risk", "missed", "not_measured"]


@dataclass(frozen=True, slots=True)
class Counted:
    """How much happened, and how much of it was good."""

    good: int
    total: int

    def __post_init__(self) -> None:
        if not 0 <= self.good <= self.total:
            raise ValueError("What is good is a part of the whole")

    def __add__(self, other: "Counted") -> "Counted":
        return Counted(self.good + other.good, self.total + other.total)

    @property
    def bad(self) -> int:
        """What was not good."""
        return self.total - self.good

    @property
    def share(self) -> float | None:
        """Good over all; None where nothing happened, which is neither good nor bad."""
        return self.good / self.total if self.total else None


NOTHING: Final = Counted(0, 0)


@dataclass(frozen=True, slots=True)
class BurnPair:
    """Two windows in seconds, and the share of a budget that the long one may not take.

    The rates of the workbook's table 5-8 (14.4, 6, 3, 1) are these shares of thirty days' budget.
    """

    severity: Severity
    short_seconds: int
    long_seconds: int
    budget_share: float

    def threshold(self, window_days: int) -> float:
        """The burn rate from which the pair burns.

        At least 1: in a window of seven days a tenth of the budget in three is less than goes on
        without an end, and nobody needs to know of it.
        """
        return max(1.0, self.budget_share * window_days * _DAY / self.long_seconds)


BURN_PAIRS: Final = (
    BurnPair("page", 300, 3600, 0.02),
    BurnPair("page", 1800, 6 * 3600, 0.05),
    BurnPair("ticket", 2 * 3600, _DAY, 0.10),
    BurnPair("ticket", 6 * 3600, 3 * _DAY, 0.10),
)
BURN_SECONDS: Final = tuple(
    sorted({one for pair in BURN_PAIRS for one in (pair.short_seconds, pair.long_seconds)})
)


@dataclass(frozen=True, slots=True)
class Budget:
    """What may go wrong in the window and what did.

    Attributes:
        allowed: Of what happened so far; not whole, for 0.1 % of 500 is a half.
        spent: What went wrong.
        left: Share of it that is left, below 0 once overspent; None: nothing happened.
    """

    allowed: float
    spent: int
    left: float | None


@dataclass(frozen=True, slots=True)
class Burn:
    """A pair of windows now; a rate is None where nothing happened.

    ``burning`` says that both rates are at the threshold, and the failures more than chance.
    """

    severity: Severity
    short_seconds: int
    long_seconds: int
    short_rate: float | None
    long_rate: float | None
    threshold: float
    burning: bool


@dataclass(frozen=True, slots=True)
class Judgement:
    """What is said of an objective, with the reason where it is not simply met.

    ``since`` is from when on it cannot be measured; None: it is measured, or never was.
    """

    state: SloState
    reason: str
    since: datetime | None = None


def budget_of(counted: Counted, objective: float) -> Budget:
    """The budget of a window.

    Args:
        counted: In the whole window.
        objective: Share that has to be good, between 0 and 1, both excluded.
    """
    # 1 - 0.999 is no thousandth in binary: unrounded, what is exactly spent would be overspent.
    allowed = counted.total * _failing(objective)
    left = 1 - counted.bad / allowed if counted.total else None
    return Budget(allowed, counted.bad, left if left is None else round(left, 9))


def burn_rate(counted: Counted, objective: float) -> float | None:
    """How many times as fast as it may the budget is spent; None where nothing happened."""
    if not counted.total:
        return None
    return round(counted.bad / counted.total / _failing(objective), 9)


def is_chance(counted: Counted, failing: float) -> bool:
    """Whether so many failures of a few are likely though only ``failing`` of all fail.

    With little traffic one failure is a burn rate of hundreds. Below a thousand events the exact
    binomial tail decides, at 1 %; above, rates speak for themselves.
    """
    if counted.total >= _FEW or not counted.bad:
        return not counted.bad
    below = math.fsum(
        math.comb(counted.total, bad) * failing**bad * (1 - failing) ** (counted.total - bad)
        for bad in range(counted.bad)
    )
    return 1 - below > _BY_CHANCE


def burns_of(
    counted: Mapping[int, Counted], objective: float, window_days: int
) -> tuple[Burn, ...]:
    """Each pair of windows.

    Args:
        counted: Of the time before now, by its length: all of :data:`BURN_SECONDS`.
        objective: As of :func:`budget_of`.
        window_days: Of the objective.
    """
    return tuple(_burn(pair, counted, objective, window_days) for pair in BURN_PAIRS)


def judge(
    counted: Counted,
    burns: tuple[Burn, ...],
    objective: float,
    *,
    measured_until: datetime | None,
    now: datetime,
) -> Judgement:
    """Say whether an objective is met.

    What cannot be measured any more keeps its figures and is said to be unknown: it is frozen, for
    old figures that stay green hide the outage in which nobody counted.

    Args:
        counted: In the whole window.
        burns: Of the same moment.
        objective: As of :func:`budget_of`.
        measured_until: Until when was looked, whether or not anything happened; None: never.
        now: The moment of asking.
    """
    if measured_until is None:
        return Judgement("not_measured", "Nothing has been measured yet.")
    if now - measured_until > STALE_AFTER:
        return Judgement(
            "not_measured",
            f"Nothing has been measured since {measured_until:%Y-%m-%d %H:%M} UTC.",
            measured_until,
        )
    left = budget_of(counted, objective).left
    if left is None:
        return Judgement("not_measured", "Nothing happened in the window.")
    if left < 0:
        wanted, share = as_percent(objective), as_percent(counted.good / counted.total)
        return Judgement("missed", f"{share} of {counted.total} were good; {wanted} is the target.")
    fast = next((one for one in burns if one.burning), None)
    if fast is not None:
        return Judgement(
            "at_risk",
            f"The budget burns {fast.long_rate:.3g} times as fast as it may, "
            f"over the last {_length(fast.long_seconds)}.",
        )
    if left < _LITTLE_LEFT:
        return Judgement("at_risk", f"{as_percent(left)} of the budget is left.")
    return Judgement("met", "")


def as_percent(share: float) -> str:
    """For people: as many digits as it takes not to round what is not whole to 100 %."""
    percent = 100 * share
    text = f"{percent:.2f}"
    if float(text) == 100 and percent < 100:
        text = f"{math.floor(percent * 10_000) / 10_000:.4f}"
    return f"{text.rstrip('0').rstrip('.')} %"


def _failing(objective: float) -> float:
    if not 0 < objective < 1:
        raise ValueError("An objective lies between 0 and 1: without a budget there is no rate")
    return round(1 - objective, 12)


def _burn(
    pair: BurnPair, counted: Mapping[int, Counted], objective: float, window_days: int
) -> Burn:
    threshold = pair.threshold(window_days)
    short, long = counted[pair.short_seconds], counted[pair.long_seconds]
    rates = burn_rate(short, objective), burn_rate(long, objective)
    return Burn(
        pair.severity,
        pair.short_seconds,
        pair.long_seconds,
        *rates,
        threshold,
        all(rate is not None and rate >= threshold for rate in rates)
        and not is_chance(long, _failing(objective)),
    )


def _length(seconds: int) -> str:
    return f"{seconds // 3600} h" if seconds >= 2 * 3600 else f"{seconds // 60} min"
