"""Nobody is served as a role that row-level security does not bind."""

import pytest
import sqlalchemy as sa

from backend import cli
from backend.core.columns import Base
from backend.migrations import runner
from tests.support.postgres import OWNER, RUNTIME, SUPERUSER

# SQLite has no roles.
pytestmark = [
    pytest.mark.command,
    pytest.mark.postgresql,
    pytest.mark.parametrize("database_url", ["postgresql"], indirect=True),
]


@pytest.fixture
def url_of(postgres_server, database_url):
    """The database for another role."""
    return lambda role: postgres_server.url(role, str(sa.make_url(database_url).database))


@pytest.fixture
def administer(url_of):
    engine = sa.create_engine(runner.sync_url(url_of(SUPERUSER)), isolation_level="AUTOCOMMIT")

    def run(statement):
        with engine.connect() as connection:
            return connection.exec_driver_sql(statement)

    yield run
    engine.dispose()


@pytest.fixture
def refusal(shell, capsys, monkeypatch):
    """The one line with which a process does not start."""

    def start(command, url):
        monkeypatch.setenv("EMAIL_SENDER__DATABASE__URL", url)
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main([command])
        assert ended.value.code == 2
        (line,) = capsys.readouterr().err.splitlines()
        return line

    return start


@pytest.mark.parametrize("command", ["serve", "worker"])
class TestStart:
    def test_as_superuser(self, refusal, url_of, command):
        assert f"the role {SUPERUSER} is a superuser" in refusal(command, url_of(SUPERUSER))

    def test_as_owner(self, refusal, url_of, command):
        line = refusal(command, url_of(OWNER))
        assert f"the role {OWNER} owns " in line
        assert "EMAIL_SENDER__DATABASE__OWNER_URL" in line

    def test_past_row_security(self, refusal, url_of, administer, command):
        administer("CREATE ROLE passes LOGIN BYPASSRLS")
        try:
            assert "has BYPASSRLS" in refusal(command, url_of("passes"))
        finally:
            administer("DROP ROLE passes")

    def test_as_one_of_the_owners(self, refusal, url_of, administer, command):
        administer(f"CREATE ROLE belongs LOGIN IN ROLE {OWNER}")
        try:
            assert "the role belongs owns " in refusal(command, url_of("belongs"))
        finally:
            administer("DROP ROLE belongs")

    def test_on_a_table_without_a_wall(self, refusal, url_of, administer, command):
        administer("ALTER TABLE jobs NO FORCE ROW LEVEL SECURITY")
        assert "jobs has no forced row-level security" in refusal(command, url_of(RUNTIME))


def test_the_doctor_says_it_too(shell, url_of, monkeypatch, capsys):
    monkeypatch.setenv("EMAIL_SENDER__DATABASE__URL", url_of(OWNER))
    with pytest.raises(SystemExit) as ended:
        cli.main(["doctor"])
    assert ended.value.code == 2
    (line,) = [
        line for line in capsys.readouterr().out.splitlines() if line.startswith("FAIL database ")
    ]
    assert f"the role {OWNER} owns" in line


def test_every_table_but_the_leases_has_a_wall(administer):
    found = administer(
        "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
        " AND relrowsecurity AND relforcerowsecurity"
    )
    assert {row[0] for row in found} == set(Base.metadata.tables) - {"leases"} - {"things"}
