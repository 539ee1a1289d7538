"""A test may fail once and be told of; too many of them fail the run."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.second_try import MOST

ROOT = Path(__file__).resolve().parents[3]

SUITE = """
import pathlib, pytest

@pytest.mark.parametrize("n", range({many}))
def test_that_fails_at_first(n):
    seen = pathlib.Path(__file__).with_name(f"seen-{{n}}")
    first = not seen.exists()
    seen.touch()
    assert not first, f"chance number {{n}}"

def test_that_passes():
    pass
"""
BROKEN = """
def test_that_is_broken():
    assert False, "as ever"
"""


def run(folder: Path) -> subprocess.CompletedProcess[str]:
    options = ["-p", "tests.support.second_try", "--reruns", "1", "-n", "2"]
    config = ["-c", str(ROOT / "pyproject.toml")]
    return subprocess.run(
        [sys.executable, "-m", "pytest", *config, *options, str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
def test_a_few_pass_and_are_told_with_their_reason(tmp_path: Path) -> None:
    (tmp_path / "test_few.py").write_text(SUITE.format(many=MOST))
    done = run(tmp_path)
    assert done.returncode == 0, done.stdout
    told = done.stdout.partition("passed on the second try only")[2]
    assert [f"chance number {n}" in told for n in range(MOST)] == [True] * MOST
    assert f"{MOST + 1} passed, {MOST} rerun" in done.stdout.splitlines()[-1]


@pytest.mark.slow
def test_one_too_many_fails_the_run(tmp_path: Path) -> None:
    (tmp_path / "test_many.py").write_text(SUITE.format(many=MOST + 1))
    done = run(tmp_path)
    assert done.returncode == 1, done.stdout
    assert f"{MOST + 1} tests needed a second try, and at most {MOST} may" in done.stdout


@pytest.mark.slow
def test_what_fails_twice_fails_and_passed_nothing(tmp_path: Path) -> None:
    (tmp_path / "test_broken.py").write_text(BROKEN)
    done = run(tmp_path)
    assert done.returncode == 1, done.stdout
    assert "passed on the second try only" not in done.stdout
    assert "1 failed, 1 rerun" in done.stdout.splitlines()[-1]
