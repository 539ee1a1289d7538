"""Databases that write to the disk before they say so, as in production."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.drills.rig import Where
from tests.support.asking import ASK_ALL
from tests.support.postgres import MISSING, PostgresServer, find_programs

KINDS = ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)]

_HERE = Path(__file__).parent
_TURNS = {
    "test_jobs": "postgresql",
    "test_kill_consumer": "sqlite",
    "test_kill_deliverers": "postgresql",
    "test_kill_rewrap": "sqlite",
    "test_kill_tellers": "postgresql",
    "test_kill_worker": "sqlite",
    "test_outage": "sqlite",
    "test_refusals": "postgresql",
    "test_rollups": "sqlite",
    "test_shares": "postgresql",
}
"""Where a drill is held in each run: one takes a minute or two, and most of what it strikes is the
same on both. Those that are not here say little in so short a time. ``scripts/drill`` holds all of
each on both."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the drills whose turn it is not."""
    if ASK_ALL:
        return
    left = [item for item in items if _is_elsewhere(item)]
    if left:
        config.hook.pytest_deselected(items=left)
        items[:] = [item for item in items if item not in left]


def _is_elsewhere(item: pytest.Item) -> bool:
    if item.path.parent != _HERE or not isinstance(item, pytest.Function):
        return False
    held = getattr(item, "callspec", None)
    where = held.params.get("durable") if held is not None else None
    return where is not None and where != _TURNS.get(item.path.stem)


@pytest.fixture(scope="module", params=KINDS)
def durable(request: pytest.FixtureRequest) -> Iterator[Where]:
    """SQLite as it is configured, or a PostgreSQL of its own with fsync on."""
    if request.param == "sqlite":
        yield Where("sqlite")
        return
    if find_programs() is None:
        pytest.skip(MISSING)
    with PostgresServer(fsync=True) as server:
        yield Where("postgresql", server)
