"""What every test may ask for: a database of either kind, an application, its document."""

import gc
import re
import secrets
import shutil
import sys
from collections.abc import AsyncIterator, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import httpx
import hypothesis
import pytest
import pytest_asyncio
import sqlalchemy as sa

from backend.cli.document import openapi_document
from backend.core.database import Database, make_engine
from backend.core.events import event_maker
from backend.core.ids import uuid7
from backend.migrations import runner
from backend.migrations.row_security import declare_errands
from backend.rooms import HOUSE
from backend.settings import Settings
from tests.support.errands import EVERYTHING
from tests.support.trail import audit_row

pytest_plugins = [
    "tests.support.postgres",
    "tests.support.platform",
    "tests.support.prometheus",
    "tests.support.redis",
    "tests.support.statements",
]

# The same examples on every machine, and as long as it takes for each: an example that fails
# anywhere fails everywhere, and slowness is no failure. Hypothesis does so by itself only where it
# takes the environment for continuous integration.
hypothesis.settings.register_profile(
    "everywhere",
    hypothesis.settings.get_profile("default"),
    derandomize=True,
    database=None,
    deadline=None,
    print_blob=True,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.register_profile(
    "quick", hypothesis.settings.get_profile("everywhere"), max_examples=20
)
hypothesis.settings.load_profile("everywhere")

_ASKED = re.compile(r"^(.+): (\d+) asked, (\d+) wrong$", re.MULTILINE)

KINDS = ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)]


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say at the end how often it was asked who may do what: what tests print is not seen."""
    said = [
        line
        for outcome in ("passed", "failed")
        for report in terminalreporter.stats.get(outcome, ())
        for line in _ASKED.findall(report.capstdout)
    ]
    if said:
        terminalreporter.section("who may do what")
        for situation, asked, wrong in said:
            terminalreporter.write_line(f"{situation}: {asked} asked, {wrong} wrong")
        total = sum(int(asked) for _, asked, _ in said)
        terminalreporter.write_line(f"{total} questions in {len(said)} walks")


def pytest_configure() -> None:
    """Bring up httpx for tests.

    Whoever gives it no time-out gets five seconds, which a server beside a dozen others may need to
    begin. And it looks on the disk for trio at each request, which is said to be absent once.
    """
    for wait in ("connect", "read", "write", "pool"):
        setattr(httpx._config.DEFAULT_TIMEOUT_CONFIG, wait, 120.0)
    if find_spec("sniffio") is None:
        sys.modules["sniffio"] = None  # type: ignore[assignment]


def pytest_collection_finish() -> None:
    """Hide from the collector what the imports made: it is much, and lives to the end anyway."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file, copied for each test."""
    path = tmp_path_factory.mktemp("template") / "template.db"
    runner.upgrade(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def postgres_template(postgres_server: Any) -> Any:
    """A server with a migrated database ``migrated``, the template of each test's own."""
    made = postgres_server.create_database("migrated")
    runner.upgrade(made.owner_url, role=str(sa.make_url(made.url).username))
    engine = sa.create_engine(runner.sync_url(made.owner_url))
    with engine.begin() as connection:
        declare_errands(connection, [*HOUSE.errands.values(), EVERYTHING], HOUSE.along)
    engine.dispose()
    return postgres_server


@pytest.fixture(params=KINDS)
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The run-time DSN of a migrated, empty database of either kind."""
    if request.param == "sqlite":
        template: Path = request.getfixturevalue("sqlite_template")
        shutil.copy(template, tmp_path / "test.db")
        yield f"sqlite:///{tmp_path / 'test.db'}"
        return
    server = request.getfixturevalue("postgres_template")
    name = f"test_{secrets.token_hex(6)}"
    yield server.create_database(name, template="migrated").url
    server.drop_database(name)


@pytest.fixture
def owner_url(request: pytest.FixtureRequest, database_url: str) -> sa.URL:
    """The DSN of the role that owns the tables, which reads all of them."""
    url = sa.make_url(database_url)
    if url.drivername == "sqlite":
        return url
    owned = request.getfixturevalue("postgres_template").database(url.database).owner_url
    return sa.make_url(runner.sync_url(owned))


@pytest_asyncio.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """A migrated, empty database."""
    made = Database(
        make_engine(database_url, pool_size=4),
        audit_row=audit_row,
        event_row=event_maker(HOUSE.events),
        durable_topics=HOUSE.durable_topics,
    )
    yield made
    await made.aclose()


@pytest.fixture
def tenant_id() -> str:
    """A tenant id no other test uses."""
    return uuid7()


@pytest.fixture(scope="session")
def openapi(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The OpenAPI document of this release."""
    settings = Settings(data_dir=tmp_path_factory.mktemp("openapi"))
    return openapi_document(settings)
