"""The plugin keeps tests that must not meet in one process, and begins with the heaviest."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]

SUITE = """
import os, pytest

@pytest.mark.parametrize("n", range(4))
@pytest.mark.{marker}
def test_that_must_run_alone(n):
    print("alone:", os.getpid())

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
def test_of_one():
    print("heavy:", time.monotonic())
"""


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
    return [(kind, value) for kind, _, value in said if kind in {"alone", "any", "light", "heavy"}]


@pytest.mark.slow
def test_groups_by_marker_across_files(tmp_path: Path) -> None:
    for marker in ("browser", "drill"):
        (tmp_path / f"test_{marker}.py").write_text(SUITE.replace("{marker}", marker))
    said = run(tmp_path, 2)
    assert len(said) == 24
    found: dict[str, set[str]] = {"alone": set(), "any": set()}
    for kind, pid in said:
        found[kind].add(pid)
    assert len(found["alone"]) == 1
    assert found["any"] - found["alone"]


@pytest.mark.slow
def test_begins_with_what_takes_longest(tmp_path: Path) -> None:
    for name in "abc":
        (tmp_path / f"test_{name}.py").write_text(LONG)
    (tmp_path / "test_z.py").write_text(HEAVY)
    at: dict[str, list[float]] = {"light": [], "heavy": []}
    for kind, when in run(tmp_path, 1):
        at[kind].append(float(when))
    assert len(at["light"]) == 27
    assert max(at["heavy"]) < min(at["light"])
