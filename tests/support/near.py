"""pytest plugin: ``--near REVISION`` runs what has changed since, and a quarter of the rest.

For the inner loop. A room is the tests' own folder below ``tests/integration`` and what of the
backend has its name; a change of what all rooms stand on is near everything. What is quick anyway,
the tests of units and contracts, always runs. The quarter is always the same one, so that what
failed fails again.
"""

import subprocess
from collections.abc import Collection, Iterable
from pathlib import Path
from zlib import crc32

import pytest

ROOT = Path(__file__).parents[2]
ROOMS = ("backend/managers", "tests/integration")
ELSEWHERE = (
    "dashboard",
    "n8n-nodes",
    "docs",
    "deploy",
    "tests/dashboard",
    "tests/e2e",
    "tests/unit",
)
"""What no test of a room depends on."""

_SHARE = 4


def pytest_addoption(parser: pytest.Parser) -> None:
    """``--near REVISION``."""
    parser.addoption("--near", metavar="REVISION", help="a quarter of the rooms unchanged since")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out three quarters of the rooms that nobody touched."""
    revision = config.getoption("--near")
    if revision is None:
        return
    near = rooms_of(changed_since(revision))
    kept, left = [], []
    for item in items:
        path = item.path.relative_to(ROOT).as_posix()
        (kept if runs(item.nodeid, path, near) else left).append(item)
    config.hook.pytest_deselected(items=left)
    items[:] = kept


def changed_since(revision: str) -> list[str]:
    """Paths of the files that differ from the revision, and of those that nobody has added yet."""
    asked = (
        ["diff", "--name-only", "--no-renames", revision],
        ["ls-files", "--others", "--exclude-standard"],
    )
    return [
        line
        for arguments in asked
        for line in subprocess.run(
            ["git", *arguments],
            cwd=ROOT,
            check=True,
            capture_output=True,
            text=True,
        ).stdout.splitlines()
    ]


def rooms_of(paths: Iterable[str]) -> Collection[str] | None:
    """The rooms that the files are of; None: some are of none, and so of all."""
    rooms: set[str] = set()
    for path in paths:
        folder = Path(path)
        above = [str(one) for one in folder.parents]
        if any(room in above[1:] for room in ROOMS):
            rooms.add(folder.parts[2])
        elif folder.suffix != ".md" and not any(one in above for one in ELSEWHERE):
            return None
    return rooms


def runs(nodeid: str, path: str, near: Collection[str] | None) -> bool:
    """Whether the test does. Variants of a test share its lot."""
    if near is None or not path.startswith("tests/integration/"):
        return True
    return path.split("/")[2] in near or crc32(nodeid.partition("[")[0].encode()) % _SHARE == 0
