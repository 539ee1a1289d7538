"""The plugin keeps tests that must not meet in one process, and spreads the others."""

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


@pytest.mark.slow
def test_groups_by_marker_across_files(tmp_path: Path) -> None:
    for marker in ("browser", "drill"):
        (tmp_path / f"test_{marker}.py").write_text(SUITE.replace("{marker}", marker))
    options = ["-p", "tests.support.serial", "-n", "2", "--dist", "loadscope", "-rP"]
    config = ["-c", str(ROOT / "pyproject.toml")]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *config, *options, str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "24 passed" in done.stdout
    found: dict[str, set[str]] = {"alone": set(), "any": set()}
    for line in done.stdout.splitlines():
        kind, _, pid = line.partition(": ")
        if kind in found:
            found[kind].add(pid)
    assert len(found["alone"]) == 1
    assert found["any"] - found["alone"]
