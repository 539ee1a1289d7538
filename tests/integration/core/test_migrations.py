"""Every migration goes up and down on both databases, and leads to exactly our tables."""

import secrets
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from backend.core import audit
from backend.core.database import Base
from backend.managers.email import models as email
from backend.managers.gateway import models as gateway
from backend.managers.identity import models as identity
from backend.managers.metrics import models as metrics
from backend.managers.orchestrator import models as orchestrator
from backend.managers.security import models as security
from backend.managers.tenant import models as tenant
from backend.migrations import runner
from tests.support.postgres import RUNTIME

MODELS = (audit, email, gateway, identity, metrics, orchestrator, security, tenant)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The owner's DSN of a database without tables."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'empty.db'}"
        return
    server: Any = request.getfixturevalue("postgres_server")
    name = f"empty_{secrets.token_hex(4)}"
    yield server.create_database(name).owner_url
    server.drop_database(name)


def tables(url: str) -> set[str]:
    engine = sa.create_engine(runner.sync_url(url))
    try:
        return set(sa.inspect(engine).get_table_names())
    finally:
        engine.dispose()


def test_up_matches_the_models_and_down_leaves_nothing(empty_url: str) -> None:
    for _ in range(2):
        runner.upgrade(empty_url)
        current, head = runner.current_and_head(empty_url)
        assert current == head
        engine = sa.create_engine(runner.sync_url(empty_url))
        with engine.connect() as connection:
            context = MigrationContext.configure(connection, opts={"compare_type": True})
            assert compare_metadata(context, Base.metadata) == []
        engine.dispose()
        assert set(Base.metadata.tables) <= tables(empty_url)
        runner.downgrade(empty_url, "base")
        assert tables(empty_url) == {"alembic_version"}


def test_several_starters_take_turns(empty_url: str) -> None:
    """Every replica of a deployment migrates before it starts, all at once."""
    role = RUNTIME if empty_url.startswith("postgresql") else ""
    program = (
        "import sys\n"
        "from backend.migrations import runner\n"
        "sys.stdin.readline()\n"
        "runner.upgrade(sys.argv[1], role=sys.argv[2] or None)\n"
    )
    starters = [
        subprocess.Popen(
            [sys.executable, "-c", program, empty_url, role],
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(5)
    ]
    for one in starters:
        assert one.stdin is not None
        one.stdin.write("go\n")
        one.stdin.flush()
    told = [one.communicate()[1] for one in starters]
    assert [one.returncode for one in starters] == [0] * 5, told
    current, head = runner.current_and_head(empty_url)
    assert current == head


def test_each_revision_goes_down_and_up_again(empty_url: str) -> None:
    runner.upgrade(empty_url)
    runner.downgrade(empty_url, "-1")
    runner.upgrade(empty_url)
    current, head = runner.current_and_head(empty_url)
    assert current == head
