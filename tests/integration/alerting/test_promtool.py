"""Prometheus's own test of rules and our state machine agree on when alerts fire and end.

``for`` is our hold and ``keep_firing_for`` our clear-hold: both are counted from the first look at
which the condition held, or was gone, and are over at the first look that is as far from it.

One definition differs. What is not there is no result of a query: to Prometheus the condition is
gone, and its alert over. A condition of kind ``prometheus`` has it so as well, and such are
compared here, by ``no_data: resolve``. To all others what is not there was not measured, and a rule
says what that means: one that says ``keep``, as rules do where nobody decides, has its alert go on.
"""

import json
import random
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pytest

from backend.managers.alerting._standing import Seen, Standing, Timing, look
from tests.support.prometheus import MISSING

CASES: Final = 30
LOOKS: Final = 60
EVERY: Final = timedelta(minutes=1)
BEGIN: Final = datetime(2026, 12, 1, tzinfo=UTC)
SECONDS: Final = (0, 0, 30, 60, 90, 120, 180, 300)


@dataclass(frozen=True)
class Case:
    """A series as it is at each look, and a rule about it."""

    name: str
    values: Sequence[int | None]
    threshold: int
    hold: int
    keep: int

    def states(self, no_data: Any = "resolve") -> Iterator[str | None]:
        """How its alert stands after each look, in Prometheus's words; None: there is none."""
        timing = Timing(timedelta(seconds=self.hold), timedelta(seconds=self.keep), no_data)
        standing: Standing | None = None
        for number, value in enumerate(self.values):
            seen = Seen.NOTHING
            if value is not None:
                seen = Seen.HOLDS if value > self.threshold else Seen.GONE
            standing, _ = look(standing, seen, timing, BEGIN + number * EVERY)
            yield None if standing is None else "firing" if standing.fired_at else "pending"


def generated(seed: int) -> Case:
    """Values that stay on a side of the threshold for a while, and now and then are not there."""
    chance = random.Random(seed)
    values: list[int | None] = []
    while len(values) < LOOKS:
        low = chance.choice((0, 0, 5, 5, 5))
        values += [
            None if chance.random() < 0.08 else chance.randint(low, low + 4)
            for _ in range(chance.randint(1, 8))
        ]
    return Case(
        f"case{seed}",
        values[:LOOKS],
        threshold=chance.randint(3, 5),
        hold=chance.choice(SECONDS),
        keep=chance.choice(SECONDS),
    )


def asked_of_promtool(cases: Sequence[Case], states: Sequence[Sequence[str | None]]) -> Any:
    """A file of rules, and what is to be found at each look."""
    rules = {
        "groups": [
            {
                "name": "generated",
                "interval": "1m",
                "rules": [
                    {
                        "alert": one.name,
                        "expr": f"{one.name} > {one.threshold}",
                        "for": f"{one.hold}s",
                        "keep_firing_for": f"{one.keep}s",
                    }
                    for one in cases
                ],
            }
        ]
    }
    test = {
        "interval": "1m",
        "input_series": [
            {
                "series": case.name,
                "values": " ".join(
                    "stale" if value is None else str(value) for value in case.values
                ),
            }
            for case in cases
        ],
        "promql_expr_test": [
            {
                "expr": "ALERTS",
                "eval_time": f"{number}m",
                "exp_samples": [
                    {
                        "labels": f'ALERTS{{alertname="{one.name}",alertstate="{state}"}}',
                        "value": 1,
                    }
                    for one, state in zip(cases, found, strict=True)
                    if state is not None
                ],
            }
            for number, found in enumerate(zip(*states, strict=True))
        ],
    }
    tests = {"rule_files": ["rules.yml"], "evaluation_interval": "1m", "tests": [test]}
    return rules, tests


def promtool(folder: Path, cases: Sequence[Case], states: Sequence[Sequence[str | None]]) -> Any:
    program = shutil.which("promtool")
    if program is None:
        pytest.skip(MISSING)
    rules, tests = asked_of_promtool(cases, states)
    # JSON is YAML.
    (folder / "rules.yml").write_text(json.dumps(rules))
    (folder / "tests.yml").write_text(json.dumps(tests))
    return subprocess.run(
        [program, "test", "rules", "tests.yml"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


def test_thirty_generated_cases_agree_at_every_look(tmp_path: Path) -> None:
    cases = [generated(seed) for seed in range(CASES)]
    states = [list(one.states()) for one in cases]
    # They are about something: most wait, fire and end, some more than once.
    assert sum("pending" in one for one in states) > CASES / 2
    assert sum("firing" in one for one in states) > CASES / 2
    done = promtool(tmp_path, cases, states)
    assert done.returncode == 0, (done.stdout + done.stderr)[-2000:]
    assert "SUCCESS" in done.stdout


def test_what_is_not_there_is_where_they_differ(tmp_path: Path) -> None:
    case = Case("gap", [9, 9, None, None, 9, 0], threshold=5, hold=0, keep=0)
    ended, kept = list(case.states("resolve")), list(case.states("keep"))
    assert ended == ["firing", "firing", None, None, "firing", None]
    assert kept == ["firing", "firing", "firing", "firing", "firing", None]
    assert promtool(tmp_path, [case], [ended]).returncode == 0
    # And it finds a difference where there is one.
    assert promtool(tmp_path, [case], [kept]).returncode != 0
