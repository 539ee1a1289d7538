"""Turns alternating runs into one figure: medians, their ratio, and how far the runs lay apart.

Two rates taken minutes apart on a shared machine compare the machine with itself. Taken in turns
(ours, reference, ours, ...) both see the same neighbours, and the median forgets a bad second.
"""

import json
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from backend.core.clock import perf_counter

MIN_ROUNDS = 3
_PICKED_UP = "picked up "


class BenchmarkError(Exception):
    """A benchmark that cannot be trusted or cannot run; the message is for the person at hand."""


@dataclass(frozen=True, slots=True)
class Result:
    """Rates of both sides in run order, in ``unit``; more is better."""

    bench: str
    case: str
    ours: Sequence[float]
    reference: Sequence[float]
    reference_name: str
    unit: str
    floor: float | None = None
    """What the ratio is to reach at least, on a quiet machine."""

    @property
    def ratio(self) -> float:
        """The median of ours over the median of the reference; above 1 where ours is better."""
        return statistics.median(self.ours) / statistics.median(self.reference)

    def as_json(self) -> str:
        """One line for programs."""
        return json.dumps(
            {
                "bench": self.bench,
                "case": self.case,
                "ours": round(statistics.median(self.ours), 1),
                "reference": round(statistics.median(self.reference), 1),
                "reference_name": self.reference_name,
                "unit": self.unit,
                "ratio": round(self.ratio, 3),
                **({} if self.floor is None else {"floor": self.floor}),
            }
        )

    def as_text(self) -> str:
        """Two lines for people, with the lowest and highest run."""
        return (
            f"{self.bench}/{self.case}: {self.ratio:.2f} times {self.reference_name}"
            f"{self._wanted}\n"
            f"    ours {_range(self.ours)}, reference {_range(self.reference)} {self.unit}"
        )

    @property
    def _wanted(self) -> str:
        if self.floor is None:
            return ""
        return f" ({'reaches' if self.ratio >= self.floor else 'BELOW'} its floor of {self.floor})"


def _range(rates: Sequence[float]) -> str:
    return f"{statistics.median(rates):,.0f} ({min(rates):,.0f} to {max(rates):,.0f})"


def alternate(
    rounds: int, ours: Callable[[], float], reference: Callable[[], float]
) -> tuple[list[float], list[float]]:
    """Run both in turns, ``rounds`` times each, and return their rates.

    Raises:
        ValueError: Fewer than three rounds: a median of two is the mean of one accident.
    """
    if rounds < MIN_ROUNDS:
        raise ValueError(f"at least {MIN_ROUNDS} rounds make a median")
    pairs = [(ours(), reference()) for _ in range(rounds)]
    return [mine for mine, _ in pairs], [theirs for _, theirs in pairs]


def say_picked_up(called_at: float) -> None:
    """Print how long a job was on its way, from its caller to its handler.

    Args:
        called_at: When its caller began to hand it in, by the clock that all processes of a
            machine share.
    """
    print(f"{_PICKED_UP}{perf_counter() - called_at:.6f}", flush=True)


def read_picked_up(log: Path) -> list[float]:
    """The seconds that a worker's handlers have said so far."""
    lines = log.read_text(encoding="utf-8").splitlines()
    return [float(line.removeprefix(_PICKED_UP)) for line in lines if line.startswith(_PICKED_UP)]
