"""What the doctor says of an installation in which nothing would start."""

import pytest
import sqlalchemy as sa

from backend import cli
from backend.app import compose
from backend.managers.tracing import TracingManager
from backend.migrations import runner
from backend.settings import Settings

pytestmark = pytest.mark.command

ENDPOINT = "http://127.0.0.1:9/v1/traces"


@pytest.fixture
def diagnosis(shell, capsys):
    """Runs the doctor; returns its exit code and, by name, the lines about dependencies."""

    def diagnose():
        try:
            cli.main(["doctor"])
            code = 0
        except SystemExit as ended:
            code = ended.code
        lines = capsys.readouterr().out.partition("\n}\n")[2].splitlines()
        return code, {line.split()[1]: line for line in lines}

    return diagnose


class TestTraceCollector:
    def test_one_that_is_away_is_a_warning(self, diagnosis, monkeypatch):
        monkeypatch.setenv("EMAIL_SENDER__TELEMETRY__OTLP_ENDPOINT", ENDPOINT)
        code, lines = diagnosis()
        assert code == 0
        assert lines["trace_collector"].startswith("warn")

    def test_nothing_to_export_with_fails_as_the_processes_would(self, diagnosis, monkeypatch):
        monkeypatch.setenv("EMAIL_SENDER__TELEMETRY__OTLP_ENDPOINT", ENDPOINT)
        monkeypatch.setattr("backend.managers.tracing.manager.OTLPSpanExporter", None)
        with pytest.raises(RuntimeError, match="email-sender\\[cluster\\]"):
            compose(Settings()).of(TracingManager).start()
        code, lines = diagnosis()
        assert code == 2
        assert lines["trace_collector"].startswith("FAIL")
        assert "pip install 'email-sender[cluster]'" in lines["trace_collector"]

    def test_is_no_matter_where_none_is_configured(self, diagnosis, monkeypatch):
        monkeypatch.setattr("backend.managers.tracing.manager.OTLPSpanExporter", None)
        code, lines = diagnosis()
        assert code == 0
        assert "trace_collector" not in lines


class TestSchema:
    def test_says_what_to_do(self, diagnosis, database_url):
        engine = sa.create_engine(runner.sync_url(database_url))
        if engine.dialect.name == "postgresql":
            pytest.skip("the run-time role may not change the revision; shown on SQLite")
        with engine.begin() as connection:
            connection.execute(sa.text("UPDATE alembic_version SET version_num = '0000'"))
        engine.dispose()
        code, lines = diagnosis()
        assert code == 2
        assert "email-sender migrate" in lines["schema"]
