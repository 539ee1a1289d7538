"""The plugin keeps each group that must not meet in one process, and begins with the heaviest."""

import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]

SUITE = """
import os, pytest

@pytest.mark.parametrize("n", range(4))
@pytest.mark.{marker}
def test_that_must_run_alone(n):
    print("{marker}:", os.getpid())

@pytest.mark.parametrize("n", range(8))
def test_that_may_meet_others(n):
    print("any:", os.getpid())
"""

LONG = """
import time, pytest

@pytest.mark.parametrize("n", range(9))
def test_of_many(n):
    print("light:", time.monotonic())
"""
HEAVY = """
import time, pytest

@pytest.mark.slow
@pytest.mark.parametrize("n", range(2))
def test_of_two(n):
    print("heavy:", time.monotonic())
"""
LONGEST = """
import time, pytest

@pytest.mark.timeout(1200)
def test_that_asks_for_more_time():
    print("longest:", time.monotonic())
"""
KINDS = {"browser", "n8n", "drill", "any", "light", "heavy", "longest"}


def run(folder: Path, processes: int) -> list[tuple[str, str]]:
    """What the tests of a folder printed, in pairs."""
    options = ["-p", "tests.support.serial", "-n", str(processes), "--dist", "loadscope", "-rP"]
    config = ["-c", str(ROOT / "pyproject.toml")]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *config, *options, str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    said = [line.partition(": ") for line in done.stdout.splitlines()]
    return [(kind, value) for kind, _, value in said if kind in KINDS]


@pytest.mark.slow
def test_groups_by_marker_across_files(tmp_path: Path) -> None:
    for marker in ("browser", "n8n", "drill"):
        (tmp_path / f"test_{marker}.py").write_text(SUITE.replace("{marker}", marker))
        (tmp_path / f"test_{marker}_too.py").write_text(SUITE.replace("{marker}", marker))
    said = run(tmp_path, 4)
    assert len(said) == 72
    found: defaultdict[str, set[str]] = defaultdict(set)
    for kind, pid in said:
        found[kind].add(pid)
    alone = [found[kind] for kind in ("browser", "n8n", "drill")]
    assert [len(pids) for pids in alone] == [1, 1, 1]
    busy = {pid for pids in alone for pid in pids}
    assert len(busy) == 3, "they go on beside each other"
    assert found["any"] - busy


@pytest.mark.slow
def test_begins_with_what_takes_longest(tmp_path: Path) -> None:
    for name in "abc":
        (tmp_path / f"test_{name}.py").write_text(LONG)
    (tmp_path / "test_y.py").write_text(HEAVY)
    (tmp_path / "test_z.py").write_text(LONGEST)
    at: dict[str, list[float]] = {"light": [], "heavy": [], "longest": []}
    for kind, when in run(tmp_path, 1):
        at[kind].append(float(when))
    assert [len(at[kind]) for kind in at] == [27, 2, 1]
    assert max(at["longest"]) < min(at["heavy"])
    assert max(at["heavy"]) < min(at["light"])
