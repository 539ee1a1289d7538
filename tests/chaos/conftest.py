"""Databases that write to the disk before they say so, as in production."""

from collections.abc import Iterator

import pytest

from scripts.drills.rig import Where
from tests.support.postgres import MISSING, PostgresServer, find_programs

KINDS = ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)]


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
