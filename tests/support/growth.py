"""Fills a migrated database with what a busy tenant leaves behind, by bulk statements.

A million messages by the API would take an hour, and what is measured or explained here is what
comes after them. Rows are as the platform would have written them: every message is settled, has
its recipient, its steps, its finished job, its audit record and its events, the newest of them two
days old; ids are UUIDv7 of those times. Contents are noise that no key opens.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import sqlalchemy as sa

from backend.core.columns import Base
from backend.core.row_security import ERRAND_SETTING, TENANT_SETTING
from backend.migrations import runner

_SPAN: Final = timedelta(days=20)
_NEWEST: Final = timedelta(days=2)
_MAX_EVENTS: Final = 100_000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_EACH: Final = 20
AUDIT: Final = (
    "audit_records",
    "audit_heads",
    "audit_tiles",
    "audit_checkpoints",
    "audit_retentions",
)
"""The tables that triggers guard from their owner."""


def address_of(number: int, messages: int) -> str:
    """The address of the message with this number, of so many that :func:`fill` makes.

    Each address has twenty of them, from the oldest to the newest.
    """
    return f"customer-{number % (messages // _EACH)}@example.test"


def fill(url: str, tenant_id: str, messages: int) -> None:
    """Store so many settled messages of one tenant, and all that belongs to them.

    The newest has the highest number. One of a hundred bounced.

    Args:
        url: Of an owner or a service that may insert; SQLite's or PostgreSQL's.
        tenant_id: Whose they are; has none yet.
        messages: How many.
    """
    engine = sa.create_engine(runner.sync_url(url))
    try:
        with engine.begin() as connection:
            if connection.dialect.name == "sqlite":
                # Indexes in no order of the rows: else most of the time goes into reading pages.
                connection.exec_driver_sql("PRAGMA cache_size = -500000")
            speech = _Speech(connection.dialect.name == "postgresql", messages)
            if speech.postgresql:
                act_as(connection, tenant_id)
            with unguarded(connection, AUDIT):
                for statement in _statements(speech, min(messages, _MAX_EVENTS)):
                    parameters = {"tenant": speech.id_parameter(tenant_id)}
                    connection.execute(sa.text(statement), parameters)
    finally:
        engine.dispose()


def pour(url: str, tenant_id: str, rows: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    """Store rows of one tenant, of any tables, by a statement each on PostgreSQL.

    Sent one by one, tens of thousands take it a minute.

    Args:
        url: As that of :func:`fill`.
        tenant_id: Whose they are.
        rows: By table. All rows of a table have the same columns.
    """
    engine = sa.create_engine(runner.sync_url(url))
    try:
        with engine.begin() as connection:
            if connection.dialect.name == "sqlite":
                for name, of_table in rows.items():
                    connection.execute(sa.insert(Base.metadata.tables[name]), of_table)
                return
            act_as(connection, tenant_id)
            for name, of_table in rows.items():
                columns = ", ".join(of_table[0])
                connection.execute(
                    sa.text(
                        f"INSERT INTO {name} ({columns}) SELECT {columns} "
                        f"FROM jsonb_populate_recordset(NULL::{name}, CAST(:rows AS jsonb))"
                    ),
                    {"rows": json.dumps(of_table, default=_as_text)},
                )
    finally:
        engine.dispose()


def _as_text(value: datetime | bytes) -> str:
    """How PostgreSQL reads it from a text."""
    return value.isoformat() if isinstance(value, datetime) else f"\\x{value.hex()}"


@contextmanager
def unguarded(connection: sa.Connection, tables: Sequence[str]) -> Iterator[None]:
    """Do without the tables' triggers for a while, as only their owner may."""
    if connection.dialect.name == "postgresql":
        for table in tables:
            connection.exec_driver_sql(f"ALTER TABLE {table} DISABLE TRIGGER USER")
        yield
        for table in tables:
            connection.exec_driver_sql(f"ALTER TABLE {table} ENABLE TRIGGER USER")
        return
    made = connection.execute(
        sa.text(
            "SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND tbl_name IN :names"
        ).bindparams(sa.bindparam("names", expanding=True)),
        {"names": list(tables)},
    ).all()
    for name, _ in made:
        connection.exec_driver_sql(f"DROP TRIGGER {name}")
    yield
    for _, sql in made:
        connection.exec_driver_sql(sql)


def act_as(connection: sa.Connection, tenant_id: str) -> None:
    """Be let by PostgreSQL's row-level security at the tenant's rows until the transaction ends."""
    connection.execute(
        sa.select(
            sa.func.set_config(TENANT_SETTING, tenant_id, True),
            sa.func.set_config(ERRAND_SETTING, "", True),
        )
    )


class _Speech:
    """What the two databases say differently."""

    def __init__(self, postgresql: bool, messages: int) -> None:
        self.postgresql = postgresql
        self.messages = messages
        newest = (datetime.now(UTC) - _NEWEST - _EPOCH) // timedelta(milliseconds=1)
        self._step_ms = _SPAN // timedelta(milliseconds=1) // messages
        self._first_ms = newest - self._step_ms * messages

    def numbers(self, first: int) -> str:
        """A source of rows ``n.i``: numbers of messages from ``first`` on."""
        last = self.messages - 1
        if self.postgresql:
            return f"generate_series({first}, {last}) AS n(i)"
        return (
            f"(WITH RECURSIVE c(i) AS (SELECT {first} UNION ALL SELECT i + 1 FROM c "
            f"WHERE i < {last}) SELECT i FROM c) AS n"
        )

    def id_parameter(self, value: str) -> str:
        return value if self.postgresql else value.replace("-", "")

    @property
    def tenant(self) -> str:
        return "CAST(:tenant AS uuid)" if self.postgresql else ":tenant"

    def id(self, kind: int) -> str:
        """A UUIDv7 of the message's time; another one for each kind."""
        ms = f"{self._first_ms} + i * CAST({self._step_ms} AS bigint)"
        tail = f"CAST(i AS bigint) * 16 + {kind}"
        if self.postgresql:
            return (
                f"CAST(lpad(to_hex({ms}), 12, '0') || '7000' || "
                f"'8' || lpad(to_hex({tail}), 15, '0') AS uuid)"
            )
        return f"printf('%012x7000' || '8%015x', {ms}, {tail})"

    @property
    def at(self) -> str:
        ms = f"({self._first_ms} + i * CAST({self._step_ms} AS bigint))"
        return f"to_timestamp({ms} / 1000.0)" if self.postgresql else f"{ms} * 1000"

    @property
    def noise(self) -> str:
        return "decode(repeat(md5(i::text), 16), 'hex')" if self.postgresql else "randomblob(256)"

    @property
    def hash(self) -> str:
        return "decode(repeat(md5(i::text), 2), 'hex')" if self.postgresql else "randomblob(32)"

    def json(self, text: str) -> str:
        return f"CAST({text} AS jsonb)" if self.postgresql else text

    @property
    def false(self) -> str:
        return "false" if self.postgresql else "0"

    def text_of(self, expression: str) -> str:
        return f"CAST({expression} AS text)"


_ONE_ACCEPTED: Final = """'{"accepted": 1}'"""
_NOTHING: Final = "'{}'"
_EMAIL, _JOB, _SENDING, _SETTLED, _AUDIT, _QUEUED, _ACCEPTED = range(7)


def _statements(s: _Speech, events: int) -> Iterator[str]:
    everything = s.numbers(0)
    number = s.text_of("i")
    state = "CASE WHEN i % 100 = 7 THEN 'bounced' ELSE 'accepted' END"
    to = f"'customer-' || {s.text_of(f'i % {s.messages // _EACH}')} || '@example.test'"
    email = f"'email:' || {s.text_of(s.id(_EMAIL))}"
    yield (
        "INSERT INTO email_messages (tenant_id, id, message_id, state, subject, sender, "
        "business_key, size_bytes, job_id, attempts, created_by, created_at, "
        "updated_at, accepted_at, tries_from) "
        f"SELECT {s.tenant}, {s.id(_EMAIL)}, '<' || {number} || '@example.test>', {state}, "
        f"'Your order ' || {number}, 'Acme <no-reply@example.test>', "
        f"CASE WHEN i % 10 = 0 THEN 'order-' || {number} END, 256, {s.id(_JOB)}, 1, "
        f"'client:filled', {s.at}, {s.at}, {s.at}, {s.at} FROM {everything}"
    )
    yield (
        "INSERT INTO email_contents (tenant_id, email_id, sealed_content) "
        f"SELECT {s.tenant}, {s.id(_EMAIL)}, {s.noise} FROM {everything}"
    )
    yield (
        "INSERT INTO email_recipients (tenant_id, email_id, position, kind, address, address_key, "
        "display_name, state, response_code, response, updated_at) "
        f"SELECT {s.tenant}, {s.id(_EMAIL)}, 0, 'to', "
        f"{to}, {to}, '', {state}, 250, "
        f"'250 2.0.0 OK: queued', {s.at} FROM {everything}"
    )
    for kind, event in ((_SENDING, "'sending'"), (_SETTLED, state)):
        yield (
            "INSERT INTO email_events (tenant_id, id, email_id, at, event, attempt, detail) "
            f"SELECT {s.tenant}, {s.id(kind)}, {s.id(_EMAIL)}, {s.at}, {event}, 1, "
            f"'127.0.0.1:25' FROM {everything}"
        )
    arguments = '\'{"email_id": "\' || ' + s.text_of(s.id(_EMAIL)) + " || '\"}'"
    yield (
        "INSERT INTO jobs (tenant_id, id, kind, args, subject, state, waiting, priority, due_at, "
        "timeout_seconds, attempt, crashes, max_attempts, backoff_seconds, worker, "
        "cancel_requested, result, traceparent, actor, created_at, started_at, finished_at) "
        f"SELECT {s.tenant}, {s.id(_JOB)}, 'email.send', {s.json(arguments)}, {email}, "
        f"CASE WHEN i % 100 = 7 THEN 'dead' ELSE 'succeeded' END, 0, 0, {s.at}, 120, 1, 0, 8, 5, "
        f"'filled', {s.false}, {s.json(_ONE_ACCEPTED)}, '', "
        f"'client:filled', {s.at}, {s.at}, {s.at} FROM {everything}"
    )
    workflow = '{"recipients": 1, "run": {"workflow_id": "of-n8n-'
    of_run = f"'{workflow}' || " + s.text_of("i % 100")
    of_run += ' || \'", "execution_id": "\' || ' + s.text_of("i % 1000") + " || '\"}}'"
    yield (
        "INSERT INTO audit_records (tenant_id, id, at, actor, action, target, data, request_id, "
        "seq, chain_hash) "
        f"SELECT {s.tenant}, {s.id(_AUDIT)}, {s.at}, 'client:filled', 'email.submitted', {email}, "
        f"{s.json(of_run)}, '', i + 1, {s.hash} FROM {everything}"
    )
    yield (
        "INSERT INTO audit_heads (tenant_id, seq, chain_hash) "
        f"SELECT {s.tenant}, i + 1, {s.hash} FROM {s.numbers(s.messages - 1)}"
    )
    first = s.messages - events
    for kind, event, seq in ((_QUEUED, "email.queued", 1), (_ACCEPTED, "email.accepted", 2)):
        yield (
            "INSERT INTO events (tenant_id, id, at, kind, subject, actor, data, seq) "
            f"SELECT {s.tenant}, {s.id(kind)}, {s.at}, '{event}', {email}, 'client:filled', "
            f"{s.json(_NOTHING)}, (i - {first}) * 2 + {seq} "
            f"FROM {s.numbers(first)}"
        )
    yield (
        "INSERT INTO event_heads (tenant_id, seq, dropped_unread) "
        f"VALUES ({s.tenant}, {2 * events}, 0)"
    )
