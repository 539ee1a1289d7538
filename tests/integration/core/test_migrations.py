"""Every migration goes up and down on both databases, and leads to exactly our tables."""

import secrets
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_args

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from backend.core import audit as core_audit
from backend.core.database import Base, Id, TenantOwned
from backend.core.ids import uuid7
from backend.managers.access import models as access
from backend.managers.alerting import models as alerting
from backend.managers.audit import models as audit_room
from backend.managers.compliance import models as compliance
from backend.managers.dashboard import models as dashboard
from backend.managers.email import models as email
from backend.managers.gateway import models as gateway
from backend.managers.identity import models as identity
from backend.managers.logging import models as logs
from backend.managers.metrics import models as metrics
from backend.managers.monitoring import models as monitoring
from backend.managers.orchestrator import models as orchestrator
from backend.managers.orchestrator.kinds import State
from backend.managers.secrets import models as secret_models
from backend.managers.security import models as security
from backend.managers.tenant import models as tenant
from backend.managers.tracing import models as tracing
from backend.managers.webhooks import models as webhooks
from backend.migrations import runner
from backend.migrations.row_security import pass_as_owner
from tests.support.growth import fill
from tests.support.postgres import RUNTIME

MODELS = (
    access,
    core_audit,
    audit_room,
    compliance,
    dashboard,
    email,
    gateway,
    identity,
    logs,
    metrics,
    alerting,
    webhooks,
    monitoring,
    orchestrator,
    secret_models,
    security,
    tenant,
    tracing,
)


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


def is_modelled(name: str | None, kind: str, _: object) -> bool:
    """Whether a model tells of it: an index of words is the database's own (record 0035)."""
    return kind != "table" or not str(name).startswith(("log_records_words", "log_records_numbers"))


def tables(url: str) -> set[str]:
    engine = sa.create_engine(runner.sync_url(url))
    try:
        return set(sa.inspect(engine).get_table_names())
    finally:
        engine.dispose()


@pytest.mark.slow
def test_up_matches_the_models_and_down_leaves_nothing(empty_url: str) -> None:
    for _ in range(2):
        runner.upgrade(empty_url)
        current, head = runner.current_and_head(empty_url)
        assert current == head
        engine = sa.create_engine(runner.sync_url(empty_url))
        with engine.connect() as connection:
            opts = {"compare_type": True, "include_name": is_modelled}
            context = MigrationContext.configure(connection, opts=opts)
            assert compare_metadata(context, Base.metadata) == []
        engine.dispose()
        assert set(Base.metadata.tables) <= tables(empty_url)
        runner.downgrade(empty_url, "base")
        assert tables(empty_url) == {"alembic_version"}


# What finds rows before their tenant is known, or of all tenants: everything else serves one.
ACROSS_TENANTS = {
    "ix_access_reviews_open": "a tick: which reviews of all tenants are overdue?",
    "ix_audit_checkpoints_unpublished": "a tick: what of all tenants was not handed out yet?",
    "ix_audit_exports_expires_at": "a sweep",
    "ix_audit_retentions_checked_at": "a sweep: whose trail was not looked at for longest?",
    "ix_audit_verifications_finished_at": "a sweep",
    "ix_audit_streams_next_try_at": "a tick: which streams of all tenants are due?",
    "ix_audit_records_unsequenced": "the sequencer, in the order of acting",
    "ix_data_key_rewraps_running": "a tick: which tenants' walks go on?",
    "ix_email_suppressions_expires_at": "a sweep",
    "ix_erasures_running": "a tick: which tenants' walks go on?",
    "ix_events_unsequenced": "the sequencer, in the order of telling",
    "ix_idempotency_records_expires_at": "a sweep",
    "ix_invitations_expires_at": "a sweep",
    "ix_job_attempts_ended_at": "retention, whatever the tenant",
    "ix_job_firings_decided_at": "retention, whatever the tenant",
    "ix_job_graphs_finished_at": "retention, whatever the tenant",
    "ix_job_schedules_due": "whose schedules are due",
    "ix_jobs_awaiting": "whose time to be answered has passed",
    "ix_jobs_finished_at": "a sweep",
    "ix_memberships_user_id": "a log-in: of which tenants is this person?",
    "ix_metric_rollups_window_at": "a sweep",
    "ix_metric_request_hours_hour_at": "a sweep, and folding",
    "ix_metric_tenants_swept_at": "a sweep: whose windows were not looked at for longest?",
    "ix_security_keys_delete_at": "a sweep",
    "ix_slo_outcomes_at": "a sweep",
    "ix_security_keys_rotates_at": "a tick: which keys of all tenants have come of age?",
    "ix_secret_tokens_expires_at": "a sweep",
    "ix_secret_tokens_unused": "a gauge: how many can be used?",
    "ix_secret_versions_due": "a tick: which values of all tenants come to their end?",
    "ix_signals_at": "every process, of whatever tenant it is told",
    "ix_identity_providers_id": "a log-in that comes back: from whose provider?",
    "uq_api_keys_key_hash": "a key: whose is it?",
    "uq_identity_providers_domain": "a log-in: whose domain is this?",
    "uq_invitations_mailed_hash": "a link: whose invitation is it?",
    "uq_invitations_token_hash": "a link: whose invitation is it?",
    "uq_oauth_clients_client_id": "a log-in: whose client is this?",
}


def test_the_tenant_stands_first_in_every_key_of_its_tables(empty_url: str) -> None:
    runner.upgrade(empty_url)
    engine = sa.create_engine(runner.sync_url(empty_url))
    found = sa.inspect(engine)
    across = set()
    for mapper in Base.registry.mappers:
        if not issubclass(mapper.class_, TenantOwned):
            continue
        table: Any = mapper.local_table
        if table.name not in tables(empty_url):  # a test's own
            continue
        key = found.get_pk_constraint(table.name)["constrained_columns"]
        assert key == [column.name for column in table.primary_key], table.name
        assert key[0] == "tenant_id", table.name
        every: list[Any] = [
            *found.get_indexes(table.name),
            *found.get_unique_constraints(table.name),
        ]
        for one in every:
            if one["column_names"][0] != "tenant_id":
                across.add(one["name"])
    engine.dispose()
    assert across == ACROSS_TENANTS.keys()


@pytest.mark.slow
def test_rows_survive_the_way_down_and_up(empty_url: str) -> None:
    """Copying a table keeps its rows, its indexes and the triggers that guard it."""
    runner.upgrade(empty_url)
    tenant_id = uuid7()
    fill(empty_url, tenant_id, 50)
    before = contents(empty_url)
    runner.downgrade(empty_url, "20261126_email_suppressions")
    runner.upgrade(empty_url)
    assert contents(empty_url) == before
    engine = sa.create_engine(runner.sync_url(empty_url))
    for change in ("UPDATE audit_records SET actor = ''", "DELETE FROM audit_records"):
        with pytest.raises(sa.exc.DBAPIError, match="append-only"), engine.begin() as connection:
            if connection.dialect.name == "postgresql":
                pass_as_owner(connection)
            connection.exec_driver_sql(change)
    engine.dispose()


def test_the_way_down_is_refused_while_a_subject_is_sealed(empty_url: str) -> None:
    """The release before could not read it, and the column is where it is."""
    runner.upgrade(empty_url)
    fill(empty_url, uuid7(), 50)
    engine = sa.create_engine(runner.sync_url(empty_url))

    def seal(value: bytes | None) -> None:
        with engine.begin() as connection:
            if connection.dialect.name == "postgresql":
                pass_as_owner(connection)
            connection.execute(sa.update(email.EmailRow).values(sealed_subject=value))

    seal(b"sealed")
    with pytest.raises(RuntimeError, match="50 rows of email_messages are sealed"):
        runner.downgrade(empty_url, "20261128_gateway_sustained")
    with engine.connect() as connection:
        if connection.dialect.name == "postgresql":
            pass_as_owner(connection)
        kept = connection.scalars(sa.select(email.EmailRow.sealed_subject)).all()
    assert kept == [b"sealed"] * 50
    seal(None)
    runner.downgrade(empty_url, "20261128_gateway_sustained")
    engine.dispose()


def test_jobs_of_any_state_go_down_to_what_the_release_before_knew(empty_url: str) -> None:
    """One after the other, as many as there are of graphs, schedules, workers and answers."""
    runner.upgrade(empty_url)
    engine = sa.create_engine(runner.sync_url(empty_url))
    states = get_args(State)
    with owner_of(engine) as connection:
        tenant_id, now = uuid7(), datetime.now(UTC)
        jobs = [job_of(tenant_id, state, now) for state in states]
        connection.execute(sa.insert(orchestrator.JobRow).values(tenant_id=tenant_id), jobs)
        graph = {"tenant_id": tenant_id, "id": jobs[0]["graph_id"], "name": "n", "actor": "a"}
        graphs = [
            {**graph, "id": uuid7(), "state": state, "created_at": now, "finished_at": now}
            for state in ("running", "succeeded", "failed", "cancelled")
        ]
        connection.execute(sa.insert(orchestrator.GraphRow), graphs)
        edge = {"tenant_id": tenant_id, "parent_id": jobs[1]["id"], "child_id": jobs[0]["id"]}
        connection.execute(sa.insert(orchestrator.EdgeRow), [edge])
    known = {job["id"]: job["state"] for job in jobs}
    for revision in (
        "20261224_job_waiting",
        "20261223_job_workers",
        "20261222_job_wiring",
        "20261221_job_schedules",
        "20261220_job_graphs",
        "20261219_alerting_send_resolved",
    ):
        runner.downgrade(empty_url, revision)
        if revision == "20261223_job_workers":
            # Nobody answers what waits for an answer any more: it is tried again.
            known = {name: "ready" if one == "awaiting" else one for name, one in known.items()}
        with owner_of(engine) as connection:
            table = sa.table("jobs", sa.column("id", Id()), sa.column("state", sa.Text()))
            rows = connection.execute(sa.select(table.c.id, table.c.state))
            assert {row.id: row.state for row in rows} == known, revision
    engine.dispose()
    runner.upgrade(empty_url)
    assert tables(empty_url) >= {"jobs", "job_graphs", "job_edges", "job_schedules"}


@contextmanager
def owner_of(engine: sa.Engine) -> Iterator[sa.Connection]:
    """A transaction that may read and write the rows of all tenants."""
    with engine.begin() as connection:
        if connection.dialect.name == "postgresql":
            pass_as_owner(connection)
        yield connection


def job_of(tenant_id: str, state: str, now: datetime) -> dict[str, Any]:
    return {
        "tenant_id": tenant_id,
        "id": uuid7(),
        "graph_id": uuid7(),
        "key": state,
        "kind": "http.request",
        "args": {},
        "wiring": None,
        "state": state,
        "subject": "email:1",
        "timeout_seconds": 60.0,
        "priority": 0,
        "max_attempts": 5,
        "backoff_seconds": 1.0,
        "attempt": 1,
        "answered": 1,
        "worker": "w" if state == "running" else None,
        "actor": "user:1",
        "traceparent": "",
        "due_at": now,
        "created_at": now,
        "finished_at": now if state in {"succeeded", "dead", "cancelled", "skipped"} else None,
    }


def contents(url: str) -> dict[str, list[str]]:
    """All rows of all tables, and what guards and finds them."""
    engine = sa.create_engine(runner.sync_url(url))
    found: dict[str, list[str]] = {}
    with engine.connect() as connection:
        if connection.dialect.name == "postgresql":
            pass_as_owner(connection)
        for name, table in Base.metadata.tables.items():
            rows = connection.execute(sa.select(*table.columns)).all()
            found[name] = sorted(map(repr, rows))
            found[f"indexes of {name}"] = sorted(
                str(one["name"]) for one in sa.inspect(connection).get_indexes(name)
            )
    engine.dispose()
    return found


def test_only_what_has_a_key_is_in_an_index_of_keys(empty_url: str) -> None:
    """And the first index of SQLite's own is the primary key's, whichever way was gone."""
    runner.upgrade(empty_url)
    engine = sa.create_engine(runner.sync_url(empty_url))
    for goes_down in (False, True, False):
        if goes_down:
            runner.downgrade(empty_url, "20261228_job_subjects")
        else:
            runner.upgrade(empty_url)
        found = sa.inspect(engine)
        for table in ("jobs", "job_graphs", "email_messages"):
            partial = [
                one["name"]
                for one in found.get_indexes(table)
                if one["unique"] and f"{engine.dialect.name}_where" in one["dialect_options"]
            ]
            assert len(partial) == (not goes_down), table
            assert bool(found.get_unique_constraints(table)) == goes_down, table
            if engine.dialect.name == "sqlite":
                with engine.connect() as connection:
                    first = f"PRAGMA index_info(sqlite_autoindex_{table}_1)"
                    columns = [row[2] for row in connection.exec_driver_sql(first)]
                assert columns == ["tenant_id", "id"], table
    engine.dispose()


@pytest.mark.slow
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
        for _ in range(3)
    ]
    for one in starters:
        assert one.stdin is not None
        one.stdin.write("go\n")
        one.stdin.flush()
    told = [one.communicate()[1] for one in starters]
    assert [one.returncode for one in starters] == [0] * 3, told
    current, head = runner.current_and_head(empty_url)
    assert current == head


@pytest.mark.slow
def test_each_revision_goes_down_and_up_again(empty_url: str) -> None:
    runner.upgrade(empty_url)
    runner.downgrade(empty_url, "-1")
    runner.upgrade(empty_url)
    current, head = runner.current_and_head(empty_url)
    assert current == head
