"""No statement's cost grows with what is stored: each is explained on a filled database.

A tenant with twenty thousand settled messages, and all that belongs to them, is used by every
operation of the API, by a worker with its ticks and by the sweeps. Watched are the statements
that really run, with their parameters.
"""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast
from uuid import UUID

import httpx
import numpy as np
import pyotp
import pytest
import sqlalchemy as sa
from pydantic import SecretStr

from backend.api import create_app
from backend.app import compose
from backend.core.audit import sequence
from backend.core.clock import monotonic
from backend.core.context import Scope, SystemScope
from backend.core.cursors import EventConsumer, EventDispatcher, check_cursors
from backend.core.events import read_events, read_span
from backend.core.ids import PLATFORM_TENANT, uuid7, uuid7_at
from backend.managers.alerting import AlertingManager
from backend.managers.alerting._standing import NEVER
from backend.managers.alerting._telling import TELL_JOB
from backend.managers.audit import AuditManager
from backend.managers.compliance import ComplianceManager
from backend.managers.email import EmailSettings
from backend.managers.gateway import GatewayManager, GatewaySettings
from backend.managers.identity import IdentityManager, IdentitySettings
from backend.managers.logging import LoggingManager, LoggingSettings
from backend.managers.logging import manager as log_rules
from backend.managers.metrics import MetricsManager, _windows
from backend.managers.monitoring import MonitoringManager, MonitoringSettings
from backend.managers.orchestrator import Callbacks, OrchestratorManager, Worker
from backend.managers.orchestrator._attempts import KEPT
from backend.managers.orchestrator._rows import claim_of
from backend.managers.orchestrator.models import JobRow
from backend.managers.security import SecurityManager, SecuritySettings
from backend.managers.security.errands import PURGE
from backend.managers.security.models import KeyRow
from backend.managers.tenant import TenantManager
from backend.managers.tracing import TracingManager
from backend.managers.webhooks import WebhooksManager
from backend.migrations import runner
from backend.settings import DatabaseSettings, Settings, TelemetrySettings
from backend.sink import SmtpSink
from backend.worker import sweep
from tests.integration.http.test_permissions import FREE, PERMISSIONS
from tests.support.elasticsearch import fake_elasticsearch
from tests.support.errands import EVERYTHING
from tests.support.fleet import add_worker
from tests.support.growth import address_of, fill, pour
from tests.support.invitations import accept_async
from tests.support.plans import Plans, watch
from tests.support.platform import App, TenantClient
from tests.support.roles import ROLES

MESSAGES = 20_000
# What no index finds is looked for in 200 000 lines (record 0035). Here are fewer than a statement
# may look at: what is bounded passes, and what walks the table is told by its plan.
LINES = 10_000
# All that are kept, a hundred days, and a few that the sweep finds.
HOURS = 100 * 24 + 10
# Tables whose rows come with use; the others have some for each tenant or each person.
GROWING = frozenset(
    {
        "alert_incident_alerts",
        "alert_incidents",
        "alert_messages",
        "alert_notes",
        "alert_notifications",
        "alert_records",
        "audit_export_parts",
        "audit_records",
        "audit_tiles",
        "email_contents",
        "email_events",
        "email_messages",
        "email_recipients",
        "email_suppressions",
        "events",
        "idempotency_records",
        "job_attempts",
        "job_edges",
        "job_firings",
        "job_graphs",
        "jobs",
        "log_dead_letters",
        "log_records",
        "metric_chunks",
        "metric_request_hours",
        "metric_rollups",
        "secret_items",
        "secret_tokens",
        "secret_versions",
        "slo_outcomes",
        "trace_operations",
        "trace_spans",
        "traces",
        "webhook_deliveries",
    }
)
# Errands walk these from one end to the other: they hold what is open, and no more.
SPANNING = frozenset(
    {
        "ix_audit_records_unsequenced",
        "ix_events_unsequenced",
        "ix_jobs_awaiting",
        "ix_jobs_due",
        "ix_jobs_ready",
        "ix_jobs_running",
        "ix_metric_chunks_waiting",
    }
)


class House(App):
    """The application, its worker and its mail server; remembers which operations were used."""

    used: set[str]
    sink_port: int

    async def ask(self, caller: TenantClient, operation: str, **more: Any) -> httpx.Response:
        """Use an operation, named as in the table of permissions."""
        method, template = operation.split(" ")
        self.used.add(operation)
        path = template.format(**more.pop("path", {}))
        return await caller.http.request(method, path, **more)


@pytest.fixture
async def house(
    database_url: str, tmp_path: Path, prometheus_stand_in: str
) -> AsyncIterator[House]:
    sink = SmtpSink(tmp_path / "sink", port=0)
    await sink.start()
    stack = contextlib.AsyncExitStack()
    elasticsearch = await stack.enter_async_context(fake_elasticsearch())
    # Some lines are refused, and tried once more.
    refusal = (400, {"type": "document_parsing_exception", "reason": "failed to parse"})
    elasticsearch.refuse = lambda one: refusal if one["event"]["sequence"] % 50 == 0 else None
    platform = compose(
        Settings(
            data_dir=tmp_path / "data",
            database=DatabaseSettings(url=SecretStr(database_url), pool_size=5),
            telemetry=TelemetrySettings(access_log=False),
            identity=IdentitySettings(issuer="http://localhost:8400"),
            gateway=GatewaySettings(other_requests_per_second=10_000, other_burst_requests=10_000),
            logging=LoggingSettings(elasticsearch_url=elasticsearch.url),
            monitoring=MonitoringSettings(prometheus_url=prometheus_stand_in),
            security=SecuritySettings(
                keyring_seconds=0.05, settle_seconds=0, rewrap_rows_per_second=1e9
            ),
            email=EmailSettings(
                smtp_url=SecretStr(f"smtp://127.0.0.1:{sink.port}"),
                sink_directory=tmp_path / "sink",
                allow_private_relays=True,
                backoff_seconds=0.1,
                delay_notice_after_seconds=0.1,
                give_up_after_seconds=0.3,
            ),
        )
    )
    asgi = create_app(platform)
    made = House(platform, asgi)
    made.used = set()
    made.sink_port = sink.port
    async with asgi.control_plane.router.lifespan_context(asgi.control_plane):
        yield made
        await made.aclose()
    await stack.aclose()
    await sink.stop()


def owner_url_of(house: House, url: str, request: pytest.FixtureRequest) -> str:
    """Who may do without the triggers of the trail: on SQLite whoever has the file."""
    database = house.platform.database
    if database.dialect == "sqlite":
        return url
    server = request.getfixturevalue("postgres_server")
    return str(server.url("email_sender_owner", database.engine.url.database))


async def gather_statistics(house: House, request: pytest.FixtureRequest) -> None:
    """As the worker's sweep does on SQLite, and autovacuum on PostgreSQL."""
    database = house.platform.database
    await database.gather_statistics()
    if database.dialect == "postgresql":
        url = owner_url_of(house, "", request)
        owner = sa.create_engine(runner.sync_url(url), isolation_level="AUTOCOMMIT")
        with owner.connect() as connection:
            connection.exec_driver_sql("VACUUM ANALYZE")
        owner.dispose()
    else:
        # Statistics are read when a connection is opened. One that is at work meanwhile would come
        # back to a pool that nobody has any more, and nobody would close it.
        pool = cast("sa.QueuePool", database.engine.pool)
        while pool.checkedout():
            await asyncio.sleep(0)
        await database.engine.dispose()


@pytest.mark.slow
@pytest.mark.timeout(1200)
async def test_no_statement_reads_more_than_it_needs(
    house: House, database_url: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Of all the lines there are PostgreSQL rightly reads the table: patterns are made of some.
    monkeypatch.setattr(log_rules, "LOOKED_AT", 50)
    ada, eve = await house.caller(), await house.caller()
    owner_url = owner_url_of(house, database_url, request)
    fill(owner_url, ada.tenant.id, MESSAGES)
    fill(owner_url, eve.tenant.id, MESSAGES // 20)
    crowd(owner_url, ada.tenant.id)
    plans = Plans(GROWING, SPANNING, frozenset({ada.tenant.id, eve.tenant.id}))
    # SQLite has none until the tick; PostgreSQL's own autovacuum sees to it within a minute.
    for statistics in [False, True] if house.platform.database.dialect == "sqlite" else [True]:
        if statistics:
            await gather_statistics(house, request)
            plans.statements.clear()
        with watch(house.platform.database.engine.sync_engine, plans):
            await use_everything(house, ada)
            await work(house, ada)
            # Now something is deferred, which is to be tried again.
            await house.ask(ada, "POST /api/v1/email-settings/relay/resume")
            await tick(house, ada)
    streams = {"GET /api/v1/events", "GET /api/v1/platform/events"}  # below: read_span, a cursor
    assert house.used == (PERMISSIONS.keys() | FREE) - streams
    sys.stdout.write(f"{len(plans.statements)} statements explained\n")
    assert len(plans.statements) > 100
    assert not plans.findings, str(plans)


def crowd(owner_url: str, tenant_id: str) -> None:
    """Rows of which :func:`tests.support.growth.fill` makes none: they are of no message."""
    now, numbers, fewer = datetime.now(UTC), range(MESSAGES), range(MESSAGES // 4)
    hours = range(HOURS)
    head = {"tenant_id": tenant_id, "seq": LINES, "refused": 0, "day": 0, "day_bytes": 0}
    pour(
        owner_url,
        tenant_id,
        {
            # A line's place among the words is in a tenant's part of them, which comes with this.
            "log_heads": [head],
            "alert_incident_alerts": [member(tenant_id, number, now) for number in numbers],
            "alert_incidents": [incident(tenant_id, number, now) for number in numbers],
            "alert_messages": [alert_message(tenant_id, number, now) for number in numbers],
            "alert_notes": [alert_note(tenant_id, number, now) for number in numbers],
            "alert_notifications": [notification(tenant_id, number, now) for number in numbers],
            "alert_records": [alert(tenant_id, number, now) for number in numbers],
            "audit_export_parts": [part(tenant_id, number) for number in numbers],
            "audit_tiles": [tile(tenant_id, number) for number in numbers],
            "email_suppressions": [suppression(tenant_id, number, now) for number in numbers],
            "idempotency_records": [answer(tenant_id, number, now) for number in fewer],
            "job_attempts": [attempt(tenant_id, number, now) for number in numbers],
            "job_edges": [edge(tenant_id, number, now) for number in numbers],
            "job_firings": [firing(tenant_id, number, now) for number in numbers],
            "job_graphs": [graph(tenant_id, number, now) for number in numbers],
            "jobs": [task(tenant_id, number, now) for number in numbers],
            "log_exports": [export(tenant_id, now)],
            "log_dead_letters": [letter(tenant_id, number, now) for number in numbers],
            "log_records": [line(tenant_id, number, now) for number in range(LINES)],
            "metric_chunks": [chunk(tenant_id, number, now) for number in numbers],
            "metric_request_hours": [request_hour(tenant_id, number, now) for number in hours],
            "metric_rollups": [rollup(tenant_id, number, now) for number in fewer],
            "secret_items": [secret(tenant_id, number, now) for number in numbers],
            "secret_tokens": [secret_token(tenant_id, number, now) for number in numbers],
            "secret_versions": [secret_version(tenant_id, number, now) for number in numbers],
            "slo_outcomes": [outcome(tenant_id, number, now) for number in numbers],
            "traces": [trace(tenant_id, number, now) for number in numbers],
            "trace_spans": [span(tenant_id, number) for number in numbers],
            "trace_operations": [trace_operation(tenant_id, number, now) for number in fewer],
            "webhook_deliveries": [delivery(tenant_id, number, now) for number in numbers],
        },
    )


def tile(tenant_id: str, number: int) -> dict[str, Any]:
    """Of a level that no tree has yet."""
    return {"tenant_id": tenant_id, "level": 9, "number": number, "hashes": bytes(32 * 32)}


def outcome(tenant_id: str, number: int, now: datetime) -> dict[str, Any]:
    """Of twenty objectives, one each five minutes and then each hour."""
    step = 300 if number % 2 else 3600
    at = int(now.timestamp()) - (1 + number // 40) * step
    return {
        "tenant_id": tenant_id,
        "step_seconds": step,
        "counted": f"objective-{number // 2 % 20}",
        "at": datetime.fromtimestamp(at - at % step, UTC),
        "good": 9,
        "total": 10,
    }


def suppression(tenant_id: str, number: int, now: datetime) -> dict[str, Any]:
    address = f"gone-{number}@example.test"
    return {
        "tenant_id": tenant_id,
        "id": uuid7(),
        "address": address,
        "address_key": address,
        "reason": "import",
        "comment": "",
        "created_at": now,
        "created_by": "test",
        "expires_at": now + timedelta(days=9) if number % 2 else None,
    }


def secret(tenant_id: str, number: int, now: datetime) -> dict[str, Any]:
    return {
        "tenant_id": tenant_id,
        "id": str(UUID(int=number)),
        "environment": "default",
        "path": f"folder-{number % 100}/secret-{number}",
        "description": "",
        "labels": {},
        "newest": 1,
        "max_versions": 10,
        "cas_required": False,
        "ttl_seconds": None,
        "remind_seconds": 0,
        "revision": uuid7(),
        "created_by": "test",
        "created_at": now,
        "updated_at": now,
    }


def secret_version(tenant_id: str, number: int, now: datetime) -> dict[str, Any]:
    ends = now + timedelta(days=9) if number % 2 else None
    return {
        "tenant_id": tenant_id,
        "id": uuid7(),
        "secret_id": str(UUID(int=number)),
        "version": 1,
        "sealed": b"noise",
        "size_bytes": 5,
        "created_by": "test",
        "created_at": now,
        "expires_at": ends,
        "deleted_at": None,
        "destroyed_at": None,
        "due_at": ends,
    }


def secret_token(tenant_id: str, number: int, now: datetime) -> dict[str, Any]:
    return {
        "tenant_id": tenant_id,
        "id": uuid7(),
        "digest": number.to_bytes(32),
        "secret_id": str(UUID(int=number)),
        "version": None,
        "workflow_id": "w1",
        "execution_id": str(number),
        "issuer_role": "owner",
        "created_by": "test",
        "created_at": now,
        "expires_at": now + timedelta(hours=1),
        "used_at": now,
        "used_version": 1,
    }


def part(tenant_id: str, number: int) -> dict[str, Any]:
    """Of ten files that nobody has any more."""
    return {
        "tenant_id": tenant_id,
        "export_id": f"0199c0de-0000-7000-8000-{number % 10:012}",
        "position": number // 10,
        "content": b"packed",
    }


def answer(tenant_id: str, number: int, now: datetime) -> dict[str, Any]:
    return {
        "tenant_id": tenant_id,
        "client": "client:filled",
        "key": f"key-{number}",
        "fingerprint": b"",
        "status": 202,
        "headers": {},
        "sealed_by": tenant_id,
        "sealed_body": b"",
        "created_at": now,
        "expires_at": now + timedelta(hours=1),
    }


def line(tenant_id: str, number: int, now: datetime) -> dict[str, Any]:
    """One a minute, of which the sweep finds a few."""
    at = now - timedelta(hours=1, minutes=2 * number)
    return {
        "tenant_id": tenant_id,
        "id": id_at(number, at),
        "seq": LINES - number,
        "at": at,
        "received_at": at,
        "severity": 17 if number % 50 == 0 else 9,
        "source": f"source-{number % 100}",
        "message": f"order {number} of customer {number % 500}",
        "fields": {"number": number},
        "trace_id": f"{number + 1:032x}",
        "span_id": None,
        "request_id": f"request-{number}",
        "workflow_id": None,
        "execution_id": str(number),
    }


def export(tenant_id: str, now: datetime) -> dict[str, Any]:
    """Of half of the lines it is known what became of them."""
    counts = dict.fromkeys(("started_seq", "exported", "forgotten", "lost", "fence", "failures"), 0)
    lacking = dict.fromkeys(
        ("held_until", "last_error", "delivered_at", "refused_seq", "refused_since")
    )
    return {
        "tenant_id": tenant_id,
        **counts,
        **lacking,
        "seq": LINES // 2,
        "sent_seq": LINES // 2 + 10,
        "dead": MESSAGES,
        "retrying": False,
        "next_try_at": now,
    }


def letter(tenant_id: str, number: int, now: datetime) -> dict[str, Any]:
    """One an hour, of which the sweep finds most."""
    at = now - timedelta(hours=number)
    return {
        "tenant_id": tenant_id,
        "id": id_at(number, at),
        "seq": -number,
        "document_id": f"document-{number}",
        "stream": "logs-email_sender-shared",
        "status": 400,
        "kind": "document_parsing_exception",
        "reason": "failed to parse",
        "at": at,
        "retrying": False,
    }


def chunk(tenant_id: str, number: int, now: datetime) -> dict[str, Any]:
    """Of a hundred series, twenty of which are :func:`use_metrics`'s; the others' are too old."""
    step, series = _windows.STEPS[number % 4], number // 4 % 100 + 1
    span = _windows.span_of(step)
    years = 2 * 365 * 86_400 if series > 20 else 0
    start = int(now.timestamp()) - years - span * (number // 400 + 1)
    windows = np.zeros(1, _windows.WINDOW)
    windows["second"] = start - start % span
    (packed,) = _windows.pack(_windows.Windows(windows, _windows.NOTHING.buckets), step)
    return {
        "tenant_id": tenant_id,
        "step_seconds": step,
        "series_id": series,
        "start_seconds": packed.start,
        "windows": packed.windows,
        "buckets": packed.buckets,
        "waiting": False,
    }


def rollup(tenant_id: str, number: int, now: datetime) -> dict[str, Any]:
    return {
        "window_at": now - timedelta(days=1, seconds=10 * number),
        "tenant_id": tenant_id,
        "process": "filled",
        "requests": 1,
        "errors": 0,
        "refusals": 0,
        "seconds_sum": 0.1,
        "buckets": [0] * 53,
    }


def request_hour(tenant_id: str, number: int, now: datetime) -> dict[str, Any]:
    hour = now.replace(minute=0, second=0, microsecond=0)
    row = rollup(tenant_id, number, now)
    del row["window_at"], row["process"]
    return {**row, "hour_at": hour - timedelta(hours=1 + number)}


def alert(tenant_id: str, number: int, now: datetime) -> dict[str, Any]:
    """One in a hundred is not over; the oldest are as old as the sweep asks for."""
    at = now - timedelta(minutes=number * 450 * 1440 // MESSAGES)
    is_open = number < MESSAGES // 100
    return {
        "tenant_id": tenant_id,
        "id": id_at(number, at),
        "rule_id": id_at(number % 50, now - timedelta(days=500)),
        "source": "rule",
        "fingerprint": f"{number:032x}",
        "name": f"Rule {number % 50}",
        "severity": ("warning", "info", "critical")[number % 3],
        "labels": {"team": f"t{number % 7}"},
        "summary": "",
        "runbook_url": "",
        "value": 1.0,
        "since": at,
        "expires_at": NEVER,
        "fired_at": at if number % 2 or not is_open else None,
        "clear_since": None,
        "ended_at": None if is_open else at + timedelta(minutes=5),
        "ended_by": None if is_open else "system:alerting",
        "acknowledged_at": None,
        "acknowledged_by": None,
        "snoozed_until": None,
        "silenced_at": None,
        "assignee": None,
    }


def member(tenant_id: str, number: int, now: datetime) -> dict[str, Any]:
    """Ten alerts an incident."""
    at = now - timedelta(minutes=number * 450 * 1440 // MESSAGES)
    of = now - timedelta(minutes=number // 10 * 450 * 1440 // MESSAGES)
    return {
        "tenant_id": tenant_id,
        "alert_id": id_at(number, at),
        "incident_id": id_at(number // 10, of),
    }


def incident(tenant_id: str, number: int, now: datetime) -> dict[str, Any]:
    """One in a hundred is not over; the oldest are as old as the sweep asks for."""
    at = now - timedelta(minutes=number * 450 * 1440 // MESSAGES)
    is_open = number < MESSAGES // 100
    return {
        "tenant_id": tenant_id,
        "id": id_at(number, at),
        "title": f"Incident {number}",
        "severity": "warning",
        "lead": None,
        "summary": "",
        "cause": "",
        "follow_up": "",
        "key": f"0{number}",
        "started_at": at,
        "joins_until": at,
        "alerts": 10,
        "firing": 0,
        "ended_at": None if is_open else at,
        "ended_by": None if is_open else "system:alerting",
        "revision": 1,
        "created_by": "system:alerting",
    }


def alert_message(tenant_id: str, number: int, now: datetime) -> dict[str, Any]:
    """To one of ten channels; the oldest are as old as the sweep asks for."""
    at = now - timedelta(minutes=number * 100 * 1440 // MESSAGES)
    return {
        "tenant_id": tenant_id,
        "id": id_at(number, at),
        "channel_id": id_at(number % 10, now - timedelta(days=500)),
        "group_key": f"0[('team', 't{number % 7}')]",
        "kind": "fired",
        "content": {"group": {}, "alerts": []},
        "made_at": at,
        "sent_at": at,
        "error": None,
    }


def delivery(tenant_id: str, number: int, now: datetime) -> dict[str, Any]:
    """To one of three programs; the oldest are as old as the sweep asks for, few were refused."""
    at = now - timedelta(seconds=number * 8 * 86_400 // MESSAGES)
    return {
        "tenant_id": tenant_id,
        "webhook_id": id_at(number % 3, now - timedelta(days=500)),
        "id": id_at(number, at),
        "seq": number,
        "event_id": id_at(number, at),
        "kind": "alert.fired",
        "subject": "alert:a",
        "at": at,
        "outcome": "failed" if number % 100 == 0 else "delivered",
        "attempt": 1,
        "status": 500 if number % 100 == 0 else 204,
        "milliseconds": 3,
        "error": "It answered 500" if number % 100 == 0 else None,
    }


def graph(tenant_id: str, number: int, now: datetime) -> dict[str, Any]:
    """Over forty days, of which ten are more than is kept; few failed, and none of them runs."""
    at = now - timedelta(seconds=(number + 1) * 40 * 86_400 // MESSAGES)
    failed = number % 500 == 0
    counts = {"succeeded": 3 - failed, "failed": int(failed), "cancelled": 0, "skipped": 0}
    return {
        "tenant_id": tenant_id,
        "id": id_at(number, at),
        "name": "Nightly",
        "state": "failed" if failed else "succeeded",
        "paused": False,
        "total": 3,
        **counts,
        "dedup_key": None,
        "actor": "system:schedules",
        "created_at": at,
        "finished_at": at,
    }


def edge(tenant_id: str, number: int, now: datetime) -> dict[str, Any]:
    """Each of those graphs' jobs waits for the one before."""
    parent, child = (task(tenant_id, one, now)["id"] for one in (number, (number + 1) % MESSAGES))
    return {"tenant_id": tenant_id, "parent_id": parent, "child_id": child}


def task(tenant_id: str, number: int, now: datetime) -> dict[str, Any]:
    """A job of one of those graphs."""
    of = graph(tenant_id, number, now)
    return {
        "tenant_id": tenant_id,
        "id": id_at(number, of["created_at"] - timedelta(days=1)),
        "graph_id": of["id"],
        "key": "only",
        "runs_on": "success",
        "delay_seconds": 0,
        "kind": "http.request",
        "args": {},
        "state": "succeeded",
        "waiting": 0,
        "priority": 0,
        "due_at": of["created_at"],
        "timeout_seconds": 60,
        "attempt": 1,
        "crashes": 0,
        "forgiven": 0,
        "max_attempts": 1,
        "backoff_seconds": 1,
        "cancel_requested": False,
        "traceparent": "",
        "actor": "system:schedules",
        "created_at": of["created_at"],
        "finished_at": of["finished_at"],
    }


def attempt(tenant_id: str, number: int, now: datetime) -> dict[str, Any]:
    """The second at each job, over forty days."""
    at = now - timedelta(seconds=(number + 1) * 40 * 86_400 // MESSAGES)
    return {
        "tenant_id": tenant_id,
        "job_id": task(tenant_id, number, now)["id"],
        "attempt": 2,
        "outcome": "failed",
        "worker": "host:1:a1b2c3",
        "started_at": at,
        "ended_at": at,
        "error": "It answered 503",
    }


def firing(tenant_id: str, number: int, now: datetime) -> dict[str, Any]:
    """Of one of ten schedules, over forty days."""
    at = now - timedelta(seconds=(number + 1) * 40 * 86_400 // MESSAGES)
    return {
        "tenant_id": tenant_id,
        "schedule_id": id_at(number % 10, now - timedelta(days=500)),
        "due_at": at,
        "outcome": "ran",
        "why": None,
        "graph_id": id_at(number, at),
        "decided_at": at,
        "times": 1,
        "until": None,
    }


def notification(tenant_id: str, number: int, now: datetime) -> dict[str, Any]:
    message = alert_message(tenant_id, number, now)
    return {
        "tenant_id": tenant_id,
        "id": message["id"],
        "alert_id": alert(tenant_id, number, now)["id"],
        "step": 0,
        "channel_id": message["channel_id"],
        "kind": "fired",
        "group_key": message["group_key"],
        "group_labels": {},
        "due_at": NEVER,
        "state": "sent",
        "held_by": None,
        "message_id": message["id"],
    }


def alert_note(tenant_id: str, number: int, now: datetime) -> dict[str, Any]:
    record = alert(tenant_id, number, now)
    return {
        "tenant_id": tenant_id,
        "alert_id": record["id"],
        "id": record["id"],
        "at": record["since"],
        "kind": "fired",
        "actor": "system:alerting",
        "text": "",
        "value": None,
    }


def trace(tenant_id: str, number: int, now: datetime) -> dict[str, Any]:
    """Old enough that the sweep finds all of them."""
    at = now - timedelta(days=40, seconds=number)
    return {
        "tenant_id": tenant_id,
        "id": id_at(number, at),
        "trace_id": f"{number + 1:032x}",
        "service": "n8n",
        "name": "workflow.execute",
        "started_ns": int(at.timestamp() * 1e9),
        "duration_ns": 1000,
        "spans": 1,
        "errors": 0,
        "size_bytes": 512,
        "kept_for": "share",
        "workflow_id": f"w{number % 100}",
        "execution_id": str(number),
        "request_id": "",
        "created_at": at,
    }


def id_at(number: int, at: datetime) -> str:
    return str(UUID(int=UUID(uuid7_at(at)).int | 2 << 62 | number))


def span(tenant_id: str, number: int) -> dict[str, Any]:
    at = datetime.now(UTC) - timedelta(days=40, seconds=number)
    return {
        "tenant_id": tenant_id,
        "trace": id_at(number, at),
        "span_id": f"{number + 1:016x}",
        "parent_id": "",
        "service": f"service-{number % 100}",
        "name": f"operation-{number % 500}",
        "kind": 1,
        "started_ns": int(at.timestamp() * 1e9),
        "duration_ns": 1000,
        "status": 0,
        "message": "",
        "request_id": f"request-{number}",
        "attributes": {"number": number},
        "resource": {},
        "events": [],
        "links": [],
        "size_bytes": 512,
    }


def trace_operation(tenant_id: str, number: int, now: datetime) -> dict[str, Any]:
    return {
        "tenant_id": tenant_id,
        "window_at": now - timedelta(days=1, seconds=60 * number),
        "id": uuid7(),
        "service": "n8n",
        "name": "node.execute",
        "spans": 1,
        "errors": 0,
        "seconds_sum": 0.1,
        "buckets": [0] * 53,
    }


async def keep_traces(house: House, ada: TenantClient) -> None:
    """Two exports of one trace, and each way to look at it."""
    trace_id = "4bf92f3577b34da6a3ce929d0e0e4736"
    for span_id in ("00f067aa0ba902b7", "00f067aa0ba902b8"):
        sent = {
            "traceId": trace_id,
            "spanId": span_id,
            "name": "node.execute",
            "startTimeUnixNano": str(int(datetime.now(UTC).timestamp() * 1e9)),
            "status": {"code": 2},
        }
        body = {"resourceSpans": [{"scopeSpans": [{"spans": [sent]}]}]}
        done = await house.ask(ada, "POST /api/v1/otlp/v1/traces", json=body)
        assert done.status_code == 200, done.text
        store = house.platform.of(TracingManager).store
        await store.flush(house.platform.database, everything=True)
    one = {"trace_id": trace_id}
    tree = await house.ask(ada, "GET /api/v1/traces/{trace_id}", path=one)
    assert len(tree.json()["spans"]) == 2, tree.text
    of = "GET /api/v1/traces/{trace_id}/comparison"
    done = await house.ask(ada, of, path=one, params={"other": trace_id})
    assert done.status_code == 200, done.text
    await house.ask(ada, "GET /api/v1/trace-operations")
    await house.ask(ada, "PUT /api/v1/trace-settings", json={"keep_days": 30})
    await house.ask(ada, "GET /api/v1/trace-settings")


async def use_everything(house: House, ada: TenantClient) -> None:
    """Every operation, every filter of a list and its second page."""
    admin = await platform_admin(house, ada)
    newest, oldest = address_of(MESSAGES - 1, MESSAGES), address_of(0, MESSAGES)
    # Of the twenty days before yesterday that have messages: one of the first, one in the middle.
    early, late = ((datetime.now(UTC) - timedelta(days=days)).isoformat() for days in (20, 10))
    for operation, filters in LISTS.items():
        caller = admin if "/platform/" in operation else ada
        for wanted in filters:
            query = {
                name: value.format(newest=newest, oldest=oldest, early=early, late=late)
                for name, value in wanted.items()
            }
            page = (await house.ask(caller, operation, params={"limit": 10, **query})).json()
            if page.get("next_cursor"):
                query["cursor"] = page["next_cursor"]
                again = await house.ask(caller, operation, params={"limit": 10, **query})
                assert again.status_code == 200, again.text
    email = {"to": ["ada@example.test"], "subject": "Hello", "text": "There"}
    await house.ask(ada, "PUT /api/v1/email-templates/{name}", path={"name": "welcome"}, json=TEXT)
    await house.ask(ada, "GET /api/v1/email-templates/{name}", path={"name": "welcome"})
    preview = {"subject": "Hello {{ name }}", "text": "Dear {{ name }}"}
    await house.ask(ada, "POST /api/v1/email-templates/preview", json=preview)
    await house.ask(ada, "DELETE /api/v1/email-templates/{name}", path={"name": "welcome"})
    made = (await house.ask(ada, "POST /api/v1/emails", json=email)).json()
    for key in ("order-1", "order-10"):
        await house.ask(ada, "POST /api/v1/emails", json={**email, "business_key": key})
    keyed = {"Idempotency-Key": '"once"'}
    for _ in range(2):
        await house.ask(ada, "POST /api/v1/emails", json=email, headers=keyed)
    mixed = [
        {**email, "to": [f"{who}@example.test", f"other-{who}@example.test"]}
        for who in ("ada", "bounce", "defer", "gone-1", "grace", "alan")
    ]
    batch = await house.ask(ada, "POST /api/v1/emails/batch", json={"messages": mixed})
    assert batch.status_code == 202, batch.text
    await house.ask(ada, "GET /api/v1/emails/{email_id}", path={"email_id": made["id"]})
    await house.ask(ada, "GET /api/v1/emails/{email_id}/content", path={"email_id": made["id"]})
    await use_relays(house, ada, email)
    await use_keys(house, ada)
    await use_metrics(house, ada)
    for operation in sorted(one for one in PERMISSIONS if "/prometheus/" in one):
        # There is none here: what is looked at is what the way to it costs.
        await house.ask(ada, operation, params={"query": "up", "match": "up", "name": "job"})
    job = {"job_id": batch.json()["items"][-1]["job_id"]}
    for operation in ("GET {}", "POST {}/cancel", "POST {}/retry"):
        done = await house.ask(ada, operation.format("/api/v1/jobs/{job_id}"), path=job)
        assert done.status_code == 200, done.text
    await house.ask(ada, "POST /api/v1/jobs/{job_id}/cancel", path=job)
    yesterday = (datetime.now(UTC) - timedelta(days=1)).isoformat()
    # None of the filled ones, which nobody can send.
    parts = (
        {"kind": "nothing.such"},
        {"kind": "nothing.such", "created_before": yesterday},
        {"created_after": yesterday},
        {"state": "cancelled"},
    )
    done = [await house.ask(ada, "POST /api/v1/jobs/retry", json=part) for part in parts]
    assert [one.status_code for one in done] == [200] * len(parts)
    assert done[-1].json()["retried"] == 1, done[-1].text
    await use_jobs(house, ada)
    await use_graphs(house, ada)
    await use_callbacks(house, ada)
    await use_schedules(house, ada)
    await use_data_keys(house, ada)
    await house.ask(ada, "GET /api/v1/email-settings")
    await house.ask(ada, "POST /api/v1/email-settings/test", json={"to": "grace@example.test"})
    # The sweep finds all contents to forget, and the oldest tenth of the messages.
    settings = {
        "from_address": "a@example.test",
        "suppress_hard_bounces": True,
        "keep_content_days": 1,
        "keep_days": 20,
    }
    saved = await house.ask(ada, "PUT /api/v1/email-settings", json=settings)
    assert saved.status_code == 200, saved.text
    body = {"address": "Margaret@example.test"}
    made = (await house.ask(ada, "POST /api/v1/suppressions", json=body)).json()
    one = {"suppression_id": made["id"]}
    await house.ask(ada, "GET /api/v1/suppressions/{suppression_id}", path=one)
    await house.ask(ada, "DELETE /api/v1/suppressions/{suppression_id}", path=one)
    await house.ask(
        ada,
        "POST /api/v1/suppressions/import",
        content="address,comment,expires_at\nmargaret@example.test,,\n",
        headers={"Content-Type": "text/csv"},
    )
    await house.ask(ada, "GET /api/v1/suppressions/export")
    await house.ask(ada, "GET /api/v1/overview")
    await house.ask(ada, "GET /api/v1/overview/workers")
    for hours in (24, 2160):
        await house.ask(ada, "GET /api/v1/status", params={"hours": hours})
        await house.ask(admin, "GET /api/v1/platform/status", params={"hours": hours})
    await house.ask(ada, "POST /api/v1/audit/verify")
    await house.ask(ada, "PUT /api/v1/audit-retention", json={"keep_days": 400})
    await house.ask(ada, "GET /api/v1/audit-retention")
    await house.ask(ada, "GET /api/v1/me")
    await keep_objectives(house, ada, admin)
    await ask_prometheus(house, ada, admin)
    await keep_dashboards(house, ada, admin)
    await keep_logs(house, ada)
    await keep_traces(house, ada)
    await keep_exports(house, ada)
    await keep_proofs(house)
    await keep_roles(house, ada)
    await keep_people(house, ada)
    await keep_providers(house, ada, admin)
    await keep_limits(house, ada, admin)
    await keep_secrets(house, ada)
    await forget_people(house, ada, admin)
    await keep_the_platform(house, ada, admin)


async def forget_people(house: House, ada: TenantClient, admin: TenantClient) -> None:
    """The requests, and a whole round of the walks."""
    gone_from = (PLATFORM_TENANT, ada.tenant.id)
    for caller, of in ((ada, "/api/v1/subjects"), (admin, "/api/v1/platform/subjects")):
        body = {"address": address_of(7, MESSAGES), "user_id": str(UUID(int=7))}
        gone = await house.ask(caller, f"POST {of}/erase", json=body)
        assert gone.status_code == 202, gone.text
        assert (await house.ask(caller, f"GET {of}/erasures")).json()["items"]
        one = {"erasure_id": gone.json()["id"]}
        walks, deadline = house.platform.of(ComplianceManager).walks, monotonic() + 600
        told = (await house.ask(caller, f"GET {of}/erasures/{{erasure_id}}", path=one)).json()
        while told["round"] < 2:
            assert monotonic() < deadline, told
            await walks.step(house.platform.database, gone_from[caller is ada])
            told = (await house.ask(caller, f"GET {of}/erasures/{{erasure_id}}", path=one)).json()


async def keep_logs(house: House, ada: TenantClient) -> None:
    """Lines come, are looked for in every way, and are kept no longer."""
    line = b'{"message": "payment failed", "service.name": "shop", "trace.id": "t1"}'
    made = (await house.ask(ada, "POST /api/v1/logs", content=line)).json()
    record = {
        "body": {"stringValue": "payment failed"},
        "traceId": "0af7651916cd43dd8448eb211c80319c",
    }
    body = {"resourceLogs": [{"scopeLogs": [{"logRecords": [record]}]}]}
    done = await house.ask(ada, "POST /api/v1/otlp/v1/logs", json=body)
    assert done.status_code == 200, done.text
    after = {"after": (datetime.now(UTC) - timedelta(hours=12)).isoformat()}
    for query in (
        {},
        {"level": "warn"},
        {"words": "payment"},
        {"words": "customer 77", **after},
        {"trace_id": "t1"},
        {"source": "source-7", **after},
        {"execution_id": "7", "level": "error"},
        {"request_id": "nothing"},
    ):
        await house.ask(ada, "GET /api/v1/logs", params=query)
        await house.ask(ada, "GET /api/v1/logs/patterns", params=query)
        await house.ask(ada, "GET /api/v1/logs/summary", params=query)
        await house.ask(ada, "GET /api/v1/logs/tail", params=query)
    one = {"record_id": made["first_id"]}
    await house.ask(ada, "GET /api/v1/logs/{record_id}", path=one)
    await house.ask(ada, "GET /api/v1/logs/{record_id}/context", path=one)
    await house.ask(ada, "PUT /api/v1/log-settings", json={"keep_days": 9})
    await house.ask(ada, "GET /api/v1/log-settings")
    await house.ask(ada, "GET /api/v1/log-export")
    page = (await house.ask(ada, "GET /api/v1/log-export/dead-letters")).json()
    onward = {"cursor": page["next_cursor"]}
    await house.ask(ada, "GET /api/v1/log-export/dead-letters", params=onward)
    ids = [one["id"] for one in page["items"]]
    for act in ("retry", "forget"):
        for body in ({}, {"ids": ids}):
            await house.ask(ada, f"POST /api/v1/log-export/dead-letters/{act}", json=body)


async def keep_exports(house: House, ada: TenantClient) -> None:
    of = "/api/v1/audit-exports"
    for body in (
        {"format": "csv", "action": "client.*"},
        {"format": "ecs", "actor": "user:nobody"},
    ):
        await house.ask(ada, f"POST {of}", json=body)
    made = await house.ask(ada, f"POST {of}", json={"format": "cef", "actor": "user:nobody"})
    assert made.json()["state"] == "ready", made.text
    one = {"export_id": made.json()["id"]}
    await house.ask(ada, f"GET {of}/{{export_id}}", path=one)
    await house.ask(ada, f"GET {of}/{{export_id}}/file", path=one)
    gone = await house.ask(ada, f"DELETE {of}/{{export_id}}", path=one)
    assert gone.status_code == 204, gone.text
    stream = {"kind": "webhook", "target": "https://192.0.2.1/audit", "from_beginning": True}
    saved = await house.ask(ada, "PUT /api/v1/audit-stream", json=stream)
    assert saved.status_code == 200, saved.text
    await sequence(house.platform.database)
    streams = house.platform.of(AuditManager).streams
    # Nobody listens there: it is read, tried and put off.
    assert await streams.push_due(house.platform.database) == 1
    await streams.settle()
    told = (await house.ask(ada, "GET /api/v1/audit-stream")).json()
    assert told["failures"] == 1, told
    await house.ask(ada, "DELETE /api/v1/audit-stream")


async def keep_proofs(house: House) -> None:
    """Of a tenant whose records the platform has written: those of the others are made up."""
    bob = await house.caller()
    await bob.http.post("/api/v1/api-keys", json={"name": "k", "role": "viewer"})
    database = house.platform.database
    await sequence(database)
    checkpoints = house.platform.of(AuditManager).checkpoints
    await checkpoints.grow(database)
    signed = await house.ask(bob, "POST /api/v1/audit/checkpoints")
    assert signed.status_code == 201, signed.text
    await house.ask(bob, "GET /api/v1/audit/checkpoints")
    await house.ask(bob, "GET /api/v1/audit/key")
    record = {"record_id": signed.json()["last_record_id"]}
    proof = await house.ask(bob, "GET /api/v1/audit/records/{record_id}/proof", path=record)
    assert proof.status_code == 200, proof.text
    since = {"old_size": 1}
    grown = await house.ask(bob, "GET /api/v1/audit/consistency", params=since)
    assert grown.status_code == 200, grown.text
    begun = await house.ask(bob, "POST /api/v1/audit/verifications", json={"full": True})
    one = {"verification_id": begun.json()["id"]}
    await house.ask(bob, "GET /api/v1/audit/verifications")
    await house.ask(bob, "GET /api/v1/audit/verifications/{verification_id}", path=one)


async def keep_roles(house: House, ada: TenantClient) -> None:
    await house.ask(ada, "GET /api/v1/roles")
    role, of = {"name": "billing"}, "/api/v1/roles/{name}"
    permissions = {"permissions": ["email:read"]}
    done = await house.ask(ada, f"PUT {of}", path=role, json=permissions)
    assert done.status_code == 200, done.text
    client = {"name": "own role", "role": "billing"}
    made = (await ada.http.post("/api/v1/api-keys", json=client)).json()
    by_key = house.client(Authorization=f"Bearer {made['key']}")
    assert (await by_key.get("/api/v1/emails", params={"limit": 1})).status_code == 200
    await ada.http.delete(f"/api/v1/api-keys/{made['id']}")
    await house.ask(ada, f"GET {of}", path=role)
    await keep_access(house, ada)
    done = await house.ask(ada, f"DELETE {of}", path=role)
    assert done.status_code == 204, done.text


async def use_data_keys(house: House, ada: TenantClient) -> None:
    """A rotation, and the whole walk that puts everything under the next version."""
    for operation in ("GET /api/v1/data-keys", "POST /api/v1/data-keys/rotate"):
        done = await house.ask(ada, operation)
        assert done.status_code < 300, done.text
    walk = (await house.ask(ada, "POST /api/v1/rewraps")).json()
    one = {"rewrap_id": walk["id"]}
    for operation in ("POST {}/pause", "POST {}/resume", "GET {}"):
        done = await house.ask(ada, operation.format("/api/v1/rewraps/{rewrap_id}"), path=one)
        assert done.status_code == 200, done.text
    security, database = house.platform.of(SecurityManager), house.platform.database
    deadline = monotonic() + 600
    while (await house.ask(ada, "GET /api/v1/rewraps")).json()["items"][0]["state"] == "running":
        assert monotonic() < deadline
        for _ in range(20):
            await security.rewraps.step(database, ada.tenant.id)
    walk = (await house.ask(ada, "POST /api/v1/rewraps")).json()
    one = {"rewrap_id": walk["id"]}
    done = await house.ask(ada, "POST /api/v1/rewraps/{rewrap_id}/cancel", path=one)
    assert done.status_code == 200, done.text
    await house.ask(ada, "GET /api/v1/data-keys/retirement-key")


async def use_relays(house: House, ada: TenantClient, email: dict[str, Any]) -> None:
    relay, one = "/api/v1/email-relays/{name}", {"name": "news"}
    body = {"smtp": {"host": "127.0.0.1", "port": house.sink_port, "tls": "none"}}
    for name in ("news", "gone"):
        saved = await house.ask(ada, f"PUT {relay}", path={"name": name}, json=body)
        assert saved.status_code == 200, saved.text
    await house.ask(ada, f"GET {relay}", path=one)
    assert (await house.ask(ada, f"POST {relay}/test", path=one)).json()["works"]
    made = await house.ask(ada, "POST /api/v1/emails", json={**email, "relay": "news"})
    job = {"job_id": made.json()["job_id"]}
    for act in ("cancel", "retry"):
        done = await house.ask(ada, f"POST /api/v1/jobs/{{job_id}}/{act}", path=job)
        assert done.status_code == 200, done.text
    await house.ask(ada, f"POST {relay}/resume", path=one)
    gone = [await house.ask(ada, f"DELETE {relay}", path={"name": n}) for n in ("news", "gone")]
    assert [answer.status_code for answer in gone] == [409, 204]


async def use_keys(house: House, ada: TenantClient) -> None:
    key, plain = "/api/v1/keys/{name}", {"plaintext": "YXR0YWNr"}
    message = {"message": "YXR0YWNr"}
    for name, kind in (("data", "aes256-gcm"), ("hooks", "ed25519"), ("macs", "hmac-sha256")):
        body = {"name": name, "type": kind, "exportable": True}
        made = await house.ask(ada, "POST /api/v1/keys", json=body)
        assert made.status_code == 201, made.text

    async def use(operation: str, name: str, body: dict[str, Any]) -> dict[str, Any]:
        path = {"name": name}
        done = await house.ask(ada, f"POST {key}/{operation}", path=path, json=body)
        assert done.status_code == 200, done.text
        many = {"items": [body, body]}
        done_many = await house.ask(ada, f"POST {key}/{operation}/batch", path=path, json=many)
        assert done_many.json()["failed"] == 0, done_many.text
        answer: dict[str, Any] = done.json()
        return answer

    sealed = {"ciphertext": (await use("encrypt", "data", plain))["ciphertext"]}
    await house.ask(ada, f"POST {key}/rotate", path={"name": "data"})
    for operation, body in (("decrypt", sealed), ("rewrap", sealed), ("data-key", {})):
        await use(operation, "data", body)
    await house.platform.of(SecurityManager).openings.flush(house.platform.database)
    known = await house.ask(ada, f"GET {key}/openings", path={"name": "data"})
    assert len(known.json()["items"]) == 1, known.text
    await use("hmac", "macs", message)
    signed = await use("sign", "hooks", message)
    await use("verify", "hooks", {**message, "signature": signed["signature"]})
    await house.ask(ada, "POST /api/v1/random", json={})
    one = {"name": "data"}
    for operation in (f"GET {key}", f"GET {key}/versions"):
        await house.ask(ada, operation, path=one)
    for operation, body in ((f"PUT {key}", {"exportable": True}), (f"POST {key}/export", {})):
        await house.ask(ada, operation, path=one, json=body)
    await house.ask(ada, f"DELETE {key}", path=one)
    back = await house.ask(ada, f"POST {key}/restore", path=one)
    assert back.status_code == 200, back.text
    for name in ("data", "hooks", "macs"):
        await house.ask(ada, f"DELETE {key}", path={"name": name})
    async with house.platform.database.transaction(SystemScope(PURGE)) as tx:
        for row in await tx.scalars(sa.select(KeyRow)):
            row.delete_at = tx.now()
    await house.platform.of(SecurityManager).rotate_due(house.platform.database)
    await house.platform.of(SecurityManager).rotate_data_keys_due(house.platform.database)


async def keep_access(house: House, ada: TenantClient) -> None:
    what = {"permission": "email:read"}
    await house.ask(ada, "GET /api/v1/access/who-can", params=what)
    for subject in ("user:grace@example.test", f"user:{uuid7()}", f"api_key:{uuid7()}"):
        of = {"subject": subject}
        assert (await house.ask(ada, "GET /api/v1/access/what-can", params=of)).status_code == 404
    assert (await house.ask(ada, "POST /api/v1/access/check", json=what)).json()["allowed"]
    role = {"role": "billing", "permissions": ["email:send"]}
    done = await house.ask(ada, "POST /api/v1/access/preview", json=role)
    assert done.status_code == 200, done.text
    body = {"name": "Q1", "due_at": "2099-12-31T23:59:59Z"}
    made = (await house.ask(ada, "POST /api/v1/access-reviews", json=body)).json()
    which, of_it = {"review_id": made["id"]}, "/api/v1/access-reviews/{review_id}"
    keep = {"decisions": [], "keep_rest": True}
    for operation, more in (
        (f"GET {of_it}", {}),
        (f"POST {of_it}/decisions", {"json": keep}),
        (f"POST {of_it}/close", {}),
        (f"GET {of_it}/evidence", {}),
    ):
        done = await house.ask(ada, operation, path=which, **more)
        assert done.status_code == 200, done.text


async def keep_people(house: House, ada: TenantClient) -> None:
    guest = {"email": f"{uuid7()}@example.test", "name": "Grace", "role": "viewer"}
    made = (await house.ask(ada, "POST /api/v1/invitations", json=guest)).json()
    invitation = {"invitation_id": made["id"]}
    again = "POST /api/v1/invitations/{invitation_id}/resend"
    link = (await house.ask(ada, again, path=invitation)).json()["link"]
    joined = await accept_async(
        house.client(), link, email=guest["email"], name="Grace", password="correct horse battery"
    )
    assert joined.status_code == 200, joined.text
    other = await house.ask(
        ada, "POST /api/v1/invitations", json={**guest, "email": "late@example.test"}
    )
    await house.ask(
        ada,
        "DELETE /api/v1/invitations/{invitation_id}",
        path={"invitation_id": other.json()["id"]},
    )
    members = (await house.ask(ada, "GET /api/v1/members", params={"limit": 200})).json()["items"]
    person = {"user_id": next(one["id"] for one in members if one["email"] == guest["email"])}
    role = {"role": "operator"}
    await house.ask(ada, "PUT /api/v1/members/{user_id}", path=person, json=role)
    await keep_second_factors(house, ada, person["user_id"])
    for act in ("disable", "enable"):
        await house.ask(ada, f"POST /api/v1/members/{{user_id}}/{act}", path=person)
    await keep_an_account(house, ada, person["user_id"])
    admin = await speaking(house, ada, "admin", platform=True)
    await house.ask(admin, "GET /api/v1/platform/users/{user_id}", path=person)
    for act in ("disable", "enable"):
        await house.ask(admin, f"POST /api/v1/platform/users/{{user_id}}/{act}", path=person)
    await house.ask(ada, "DELETE /api/v1/members/{user_id}", path=person)
    client = {"name": "flow", "role": "workflow"}
    made = (await house.ask(ada, "POST /api/v1/clients", json=client)).json()
    which = {"client_row_id": made["id"]}
    await house.ask(ada, "PUT /api/v1/clients/{client_row_id}", path=which, json=client)
    await house.ask(ada, "POST /api/v1/clients/{client_row_id}/rotate", path=which)
    await house.ask(ada, "DELETE /api/v1/clients/{client_row_id}", path=which)
    made = (await house.ask(ada, "POST /api/v1/api-keys", json=client)).json()
    by_key = house.client(Authorization=f"Bearer {made['key']}")
    answer = await by_key.get("/api/v1/emails", params={"limit": 1})
    assert answer.status_code in {200, 403}, answer.text
    await house.platform.of(GatewayManager).api_keys.uses.flush(everything=True)
    which = {"key_id": made["id"]}
    await house.ask(ada, "PUT /api/v1/api-keys/{key_id}", path=which, json=client)
    await house.ask(ada, "DELETE /api/v1/api-keys/{key_id}", path=which)
    credential = ada.http.headers["Authorization"].removeprefix("Bearer ")
    await house.ask(ada, "POST /oauth/introspect", data={"token": credential})


async def keep_second_factors(house: House, ada: TenantClient, user_id: str) -> None:
    """What a person does with theirs, until the platform takes it away."""
    http = house.client(Authorization=f"Bearer user:{user_id}")
    grace = TenantClient(ada.tenant, "", "", http)
    secret = (await house.ask(grace, "POST /api/v1/me/totp")).json()["secret"]
    code = {"code": pyotp.TOTP(secret).now()}
    done = await house.ask(grace, "POST /api/v1/me/totp/confirm", json=code)
    assert done.status_code == 200, done.text
    for operation in ("GET {}", "POST {}/recovery-codes", "DELETE {}"):
        done = await house.ask(grace, operation.format("/api/v1/me/totp"))
        assert done.is_success, done.text
    policy = {"require_second_factor": False}
    await house.ask(ada, "PUT /api/v1/login-policy", json=policy)
    await house.ask(ada, "GET /api/v1/login-policy")


async def keep_providers(house: House, ada: TenantClient, admin: TenantClient) -> None:
    """A provider from its making to its end, and somebody who looks whose domain it is."""
    body = {"name": "Acme", "issuer": "https://login.acme.invalid", "client_id": "c"}
    domain = {"domain": "acme.invalid", "client_secret": "s"}
    made = await house.ask(ada, "POST /api/v1/identity-providers", json=body | domain)
    one = {"provider_id": made.json()["id"]}
    await house.ask(ada, "GET /api/v1/identity-providers/{provider_id}", path=one)
    put = await house.ask(
        ada, "PUT /api/v1/identity-providers/{provider_id}", path=one, json=body | domain
    )
    assert put.status_code == 200, put.text
    for act in ("check", "prove-domain"):
        done = await house.ask(
            ada, f"POST /api/v1/identity-providers/{{provider_id}}/{act}", path=one
        )
        assert done.json()["problem"], done.text
    done = await house.ask(
        admin, "POST /api/v1/platform/identity-providers/{provider_id}/confirm-domain", path=one
    )
    assert done.status_code == 200, done.text
    found = await house.platform.of(IdentityManager).external_log_ins.provider_of("a@acme.invalid")
    assert found is not None
    await house.ask(ada, "DELETE /api/v1/identity-providers/{provider_id}", path=one)


async def keep_an_account(house: House, ada: TenantClient, user_id: str) -> None:
    """What a person does with their own."""
    who = await speaking(house, ada, "person", user_id=user_id)
    await house.ask(who, "GET /api/v1/me/profile")
    await house.ask(who, "PUT /api/v1/me/profile", json={"name": "Grace Hopper"})
    passwords = {"old_password": "correct horse battery", "new_password": "correct horse battery"}
    changed = await house.ask(who, "PUT /api/v1/me/password", json=passwords)
    assert changed.status_code == 204, changed.text
    await house.ask(who, "GET /api/v1/me/sessions")
    other = {"session_id": str(uuid7())}
    await house.ask(who, "DELETE /api/v1/me/sessions/{session_id}", path=other)
    await house.ask(who, "DELETE /api/v1/me/sessions")
    signed = await house.ask(who, "GET /api/v1/me/sign-ins")
    assert signed.status_code == 200, signed.text


async def platform_admin(house: House, ada: TenantClient) -> TenantClient:
    """Somebody who may do what the platform's administrators do."""
    return await speaking(house, ada, "admin", platform=True)


async def speaking(
    house: House, ada: TenantClient, name: str, *, platform: bool = False, user_id: str = ""
) -> TenantClient:
    """Whoever sends ``name`` as their credential: with the platform's rights too, or a person."""
    gateway = house.platform.of(GatewayManager)
    principal = await gateway.authenticate(
        ada.http.headers["Authorization"].removeprefix("Bearer ")
    )
    http = house.client(Authorization=f"Bearer {name}")
    known = gateway.cached_principal
    more = ROLES.of_platform if platform else frozenset()

    def cached(credential: str) -> Any:
        if credential.startswith("user:"):
            return type(principal)(
                subject=credential,
                kind="user",
                tenant_id=principal.tenant_id,
                permissions=frozenset(),
                logged_in_at=datetime.now(UTC).timestamp(),
            )
        if credential != name:
            return known(credential)
        return type(principal)(
            subject=f"user:{user_id}" if user_id else principal.subject,
            kind="user" if user_id else principal.kind,
            tenant_id=principal.tenant_id,
            permissions=principal.permissions | more,
            role="owner",
            platform_role="administrator" if platform else "",
        )

    gateway.cached_principal = cached  # type: ignore[method-assign]
    return TenantClient(ada.tenant, ada.client_id, ada.client_secret, http)


async def keep_limits(house: House, ada: TenantClient, admin: TenantClient) -> None:
    for path, caller in (("limits", ada), ("platform/limits", admin)):
        of = f"/api/v1/{path}"
        rate = {"requests": {"burst": 900, "refill": 900, "seconds": 60}}
        made = await house.ask(caller, f"POST {of}", json={"kind": "caller", **rate})
        assert made.status_code == 201, made.text
        which = {"limit_id": made.json()["id"]}
        await house.ask(caller, f"GET {of.removesuffix('s')}-usage")
        await house.ask(caller, f"GET {of}/{{limit_id}}", path=which)
        await house.ask(caller, f"PUT {of}/{{limit_id}}", path=which, json=rate)
        gone = await house.ask(caller, f"DELETE {of}/{{limit_id}}", path=which)
        assert gone.status_code == 204, gone.text


async def keep_secrets(house: House, ada: TenantClient) -> None:
    of, folder = "/api/v1/secrets", {"folder": "folder-7", "role": "operator", "access": "read"}
    opened = (await house.ask(ada, f"POST {of}/grants", json=folder)).json()
    # Some of which the lists then leave out.
    await house.ask(ada, f"GET {of}", params={"limit": 10, "folder": "folder-7"})
    await house.ask(ada, f"GET {of}/environments")
    await house.ask(ada, f"GET {of}/grants")
    await house.ask(ada, f"DELETE {of}/grants/{{grant_id}}", path={"grant_id": opened["id"]})
    await house.ask(ada, f"POST {of}", json={"path": "plans/host", "value": "h"})
    body = {"path": "plans/dsn", "value": {"url": "${secret:plans/host}"}, "ttl_seconds": 3600}
    await house.ask(ada, f"POST {of}", json=body)
    made = (await house.ask(ada, f"POST {of}", json=body)).json()
    which = {"secret_id": made["secret_id"]}
    one = {**which, "version": "1"}
    done = [
        await house.ask(ada, f"GET {of}/by-path/value", params={"path": "plans/dsn", "version": 1}),
        await house.ask(ada, f"GET {of}/{{secret_id}}", path=which),
        await house.ask(ada, f"PUT {of}/{{secret_id}}", path=which, json={"max_versions": 5}),
        await house.ask(ada, f"GET {of}/{{secret_id}}/versions", path=which),
        await house.ask(
            ada, f"POST {of}/{{secret_id}}/patch", path=which, json={"value": {"k": "v"}}
        ),
        await house.ask(
            ada,
            f"GET {of}/{{secret_id}}/difference",
            path=which,
            params={"from_version": 1, "to_version": 2},
        ),
        await house.ask(ada, f"DELETE {of}/{{secret_id}}/versions/{{version}}", path=one),
        await house.ask(ada, f"POST {of}/{{secret_id}}/versions/{{version}}/undelete", path=one),
        await house.ask(ada, f"POST {of}/{{secret_id}}/versions/{{version}}/destroy", path=one),
    ]
    assert [answer.status_code for answer in done] == [200, 200, 200, 200, 201, 200, 200, 200, 200]
    execution = {"workflow_id": "w1", "execution_id": "1"}
    asked = {"path": "plans/dsn", **execution}
    token = (await house.ask(ada, f"POST {of}/tokens", json=asked)).json()
    given = {"token": token["token"], **execution}
    assert (await house.ask(ada, f"POST {of}/tokens/redeem", json=given)).status_code == 200
    for query in ({}, which):
        await house.ask(ada, f"GET {of}/tokens", params={"limit": 10, **query})
    await house.ask(ada, f"DELETE {of}/tokens/{{token_id}}", path={"token_id": token["id"]})
    gone = await house.ask(ada, f"DELETE {of}/{{secret_id}}", path=which)
    assert gone.status_code == 204, gone.text


async def use_metrics(house: House, ada: TenantClient) -> None:
    items = [
        {"name": "orders_total", "kind": "counter", "value": 1, "labels": {"shop": str(number)}}
        for number in range(20)
    ]
    made = await house.ask(ada, "POST /api/v1/metrics", json={"items": items})
    assert made.status_code == 200, made.text
    metrics = house.platform.of(MetricsManager)
    for _ in range(2):
        await metrics.fold(house.platform.database)
        await metrics.roll_up(house.platform.database)
    wanted = {"name": "orders_total", "aggregate": "sum", "by": "shop", "with_week_before": True}
    for operation, query in (
        ("GET /api/v1/metrics", {"prefix": "orders"}),
        ("GET /api/v1/metrics/query", wanted),
        ("GET /api/v1/metrics/anomalies", {"name": "orders_total", "aggregate": "sum"}),
        ("GET /api/v1/metrics/trend", {"name": "orders_total", "aggregate": "sum"}),
        ("GET /api/v1/metrics/forecast", {"name": "orders_total", "aggregate": "sum"}),
        ("GET /api/v1/metrics/exposition", {}),
        ("GET /api/v1/metric-series", {"name": "orders_total"}),
        ("GET /api/v1/metric-settings", {}),
    ):
        found = await house.ask(ada, operation, params=query)
        assert found.status_code == 200, found.text
    days = {"seconds_10": 2, "minute": 14, "minutes_10": 90, "hour": 400}
    kept = await house.ask(ada, "PUT /api/v1/metric-settings", json=days)
    assert kept.status_code == 200, kept.text


async def ask_prometheus(house: House, ada: TenantClient, admin: TenantClient) -> None:
    for who, root in ((ada, "/api/v1/prometheus"), (admin, "/api/v1/platform/prometheus")):
        asked: list[tuple[str, dict[str, str]]] = [
            ("query", {"query": "up"}),
            ("query-range", {"query": "up"}),
            ("series", {"match": "up"}),
            ("labels", {}),
            ("label-values", {"name": "job"}),
            ("targets", {}),
            ("rules", {}),
        ]
        for name, params in asked:
            answer = await house.ask(who, f"GET {root}/{name}", params=params)
            assert answer.is_success, answer.text


async def keep_objectives(house: House, ada: TenantClient, admin: TenantClient) -> None:
    of_metric = {"metric": "orders_total", "good_metric": "orders_total"}
    wanted: list[dict[str, Any]] = [
        {"kind": "availability"},
        {"kind": "latency", "within_ms": 100},
        {"kind": "success", "of": "emails"},
        {"kind": "success", "of": "metric", **of_metric},
        {"kind": "freshness", "metric": "orders_total", "within_seconds": 600},
    ]
    which: dict[str, str] = {}
    others: list[str] = []
    body: dict[str, Any] = {"objective": 0.99, "window_days": 90}
    for more in wanted:
        named = {**body, **more, "name": uuid7()}
        made = await house.ask(ada, "POST /api/v1/slos", json=named)
        assert made.status_code == 201, made.text
        others.extend(which.values())
        which = {"slo_id": made.json()["id"]}
    assert await house.platform.of(MonitoringManager).measure(house.platform.database) >= 4
    changed = {**body, **wanted[-1], "name": uuid7(), "within_seconds": 900}
    acts: list[tuple[str, int, dict[str, Any]]] = [
        ("GET /api/v1/slos", 200, {}),
        ("GET /api/v1/slos/{slo_id}", 200, {"path": which}),
        ("PUT /api/v1/slos/{slo_id}", 200, {"path": which, "json": changed}),
        ("DELETE /api/v1/slos/{slo_id}", 204, {"path": which}),
    ]
    for operation, code, more in acts:
        done = await house.ask(ada, operation, **more)
        assert done.status_code == code, done.text
    await use_alerts(house, ada, others[0])
    await use_silences(house, ada)
    await use_channels(house, ada)
    await use_webhooks(house, ada)
    await use_incidents(house, ada)
    await use_alertmanager(house, ada)
    kept = {"name": "Up", "query": "up"}
    made = await house.ask(ada, "POST /api/v1/prometheus-queries", json=kept)
    assert made.status_code == 201, made.text
    which = {"query_id": made.json()["id"]}
    acts = [
        ("GET /api/v1/prometheus-queries", 200, {}),
        ("GET /api/v1/prometheus-queries/{query_id}", 200, {"path": which}),
        ("PUT /api/v1/prometheus-queries/{query_id}", 200, {"path": which, "json": kept}),
        ("DELETE /api/v1/prometheus-queries/{query_id}", 204, {"path": which}),
    ]
    for operation, code, more in acts:
        done = await house.ask(ada, operation, **more)
        assert done.status_code == code, done.text
    found = {"kind": "failover", "value": 9, "at": "2026-11-20T09:30:00Z", "source": "a drill"}
    of_platform: list[tuple[str, dict[str, Any]]] = [
        ("POST /api/v1/platform/evidence", {"json": found}),
        ("GET /api/v1/platform/evidence", {"params": {"kind": "failover"}}),
        ("GET /api/v1/platform/overview", {}),
        ("GET /api/v1/platform/slos", {}),
        ("GET /api/v1/platform/slos/{name}", {"path": {"name": "uptime"}}),
    ]
    for operation, more in of_platform:
        done = await house.ask(admin, operation, **more)
        assert done.is_success, done.text


async def keep_dashboards(house: House, ada: TenantClient, admin: TenantClient) -> None:
    body: dict[str, Any] = {"panels": [{"title": "Words", "text": {"markdown": "x"}}]}
    file = {**body, "name": "Any", "format": "email-sender.dashboard", "schema_version": 1}
    for who, root in ((ada, "/api/v1/dashboards"), (admin, "/api/v1/platform/dashboards")):
        made = await house.ask(who, f"POST {root}", json={**body, "name": uuid7()})
        assert made.status_code == 201, made.text
        taken = {"name": uuid7(), "document": file}
        assert (await house.ask(who, f"POST {root}/import", json=taken)).status_code == 201
        which = {"dashboard_id": made.json()["id"]}
        one, first = f"{root}/{{dashboard_id}}", {**which, "version": 1}
        for operation, path, more in (
            (f"GET {root}", {}, {}),
            (f"GET {one}", which, {}),
            (f"PUT {one}", which, {"json": {**body, "name": uuid7()}}),
            (f"GET {one}/export", which, {}),
            (f"GET {one}/versions", which, {}),
            (f"GET {one}/versions/{{version}}", first, {}),
            (f"POST {one}/versions/{{version}}/restore", first, {}),
            (f"DELETE {one}", which, {}),
        ):
            done = await house.ask(who, operation, path=path, **more)
            assert done.is_success, done.text
    await house.ask(ada, "GET /api/v1/dashboard-templates")
    await house.ask(ada, "GET /api/v1/dashboard-templates/{key}", path={"key": "usage"})


async def keep_the_platform(house: House, ada: TenantClient, admin: TenantClient) -> None:
    slug = {"slug": "initech", "name": "Initech", "owner_email": "grace@example.test"}
    await house.ask(admin, "POST /api/v1/platform/tenants", json=slug)
    leaving = (await house.caller()).tenant
    which, other = {"tenant_id": ada.tenant.id}, {"tenant_id": leaving.id}
    tenant = "/api/v1/platform/tenants/{tenant_id}"
    for act in ("", "/quotas", "/usage"):
        await house.ask(admin, f"GET {tenant}{act}", path=which)
    for operation in ("GET /api/v1/quotas", "GET /api/v1/usage"):
        await house.ask(ada, operation)
    plan, named = "/api/v1/platform/plans/{name}", {"name": "small"}
    await house.ask(admin, f"PUT {plan}", path=named, json={"quotas": {"members": 1000}})
    await house.ask(admin, f"GET {plan}", path=named)
    # High ones, so that all that counts is counted, and nothing refused.
    limits = dict.fromkeys(("emails_a_day", "jobs_waiting", "jobs_running"), 10**6)
    quotas = {"plan": "small", "overrides": {**limits, "storage_bytes": 10**12}}
    await house.ask(admin, f"PUT {tenant}/quotas", path=which, json=quotas)
    await house.ask(admin, f"PUT {tenant}", path=other, json={"name": "Initrode"})
    await house.ask(admin, f"POST {tenant}/suspend", path=other, json={"reason": "unpaid"})
    for act in ("seal", "unseal"):
        body = {"reason": "published"} if act == "seal" else None
        done = await house.ask(admin, f"POST {tenant}/{act}", path=other, json=body)
        assert done.status_code == 200, done.text
    await house.ask(admin, f"GET {tenant}/seal", path=other)
    await house.ask(admin, f"POST {tenant}/resume", path=other)
    await house.ask(admin, f"DELETE {tenant}", path=other, params={"slug": leaving.slug})
    await house.ask(admin, f"POST {tenant}/restore", path=other)
    await house.ask(admin, f"DELETE {plan}", path={"name": "none"})
    owner = {"email": "owner@example.test"}
    await house.ask(admin, f"POST {tenant}/invite-owner", path=which, json=owner)
    await house.ask(admin, "GET /api/v1/platform/signing-keys")
    await house.ask(admin, "POST /api/v1/platform/signing-keys/rotate")
    async with house.platform.database.transaction(SystemScope(EVERYTHING)) as tx:
        grace = await house.platform.of(TenantManager).create_user(
            tx, email=f"{uuid7()}@example.test", name="Grace", password_hash=None
        )
    person = {"user_id": grace.id}
    reset = await house.ask(admin, "DELETE /api/v1/platform/users/{user_id}/totp", path=person)
    assert reset.status_code == 204, reset.text
    await house.ask(admin, "GET /api/v1/platform/roles")
    nobody, role = {"user_id": uuid7()}, {"platform_role": "auditor"}
    put = "PUT /api/v1/platform/users/{user_id}/role"
    assert (await house.ask(admin, put, path=nobody, json=role)).status_code == 404
    program = {"name": "audits", "role": "auditor"}
    made = (await house.ask(admin, "POST /api/v1/platform/clients", json=program)).json()
    which, of = {"client_row_id": made["id"]}, "/api/v1/platform/clients/{client_row_id}"
    for operation in (f"POST {of}/rotate", f"DELETE {of}"):
        done = await house.ask(admin, operation, path=which)
        assert done.is_success, done.text
    made = (await house.ask(admin, "POST /api/v1/platform/api-keys", json=program)).json()
    which = {"key_id": made["id"]}
    await house.ask(admin, "DELETE /api/v1/platform/api-keys/{key_id}", path=which)
    await house.ask(admin, "POST /api/v1/platform/audit/verify")
    await house.ask(admin, "PUT /api/v1/platform/audit-retention", json={"keep_days": 400})
    await house.ask(admin, "GET /api/v1/platform/audit-retention")
    of = "/api/v1/platform/audit-exports"
    made = (await house.ask(admin, f"POST {of}", json={"format": "csv"})).json()
    for operation in (f"GET {of}/{{export_id}}", f"GET {of}/{{export_id}}/file"):
        await house.ask(admin, operation, path={"export_id": made["id"]})
    await house.ask(admin, f"DELETE {of}/{{export_id}}", path={"export_id": made["id"]})
    stream = {"kind": "webhook", "target": "https://siem.example.com/platform"}
    for operation, body in (("PUT", stream), ("GET", None), ("DELETE", None)):
        await house.ask(admin, f"{operation} /api/v1/platform/audit-stream", json=body)
    await use_workers(house, admin)


async def use_workers(house: House, admin: TenantClient) -> None:
    at = "/api/v1/platform/workers"
    which = {"worker_id": await add_worker(house.platform.database)}
    assert (await house.ask(admin, f"GET {at}")).json()["items"]
    for act in ("drain", "resume"):
        done = await house.ask(admin, f"POST {at}/{{worker_id}}/{act}", path=which)
        assert done.status_code == 200, done.text


async def use_alerts(house: House, ada: TenantClient, slo_id: str) -> None:
    """Rules of each kind, which the clock then looks at, and an alert from first to last."""
    conditions: list[dict[str, Any]] = [
        {
            "kind": "metric",
            "metric": "orders_total",
            "aggregate": "rate",
            "compare": "<",
            "threshold": 1,
        },
        {"kind": "log", "compare": ">=", "threshold": 1, "words": "order", "level": "error"},
        {"kind": "slo", "slo_id": slo_id},
        {"kind": "heartbeat", "name": "backup", "within_seconds": 60},
        {
            "kind": "event",
            "kinds": ["job.dead"],
            "subject": "job:1",
            "compare": ">",
            "threshold": 0,
        },
        {
            "kind": "audit",
            "actions": ["access.denied", "key.refused"],
            "actor": "system",
            "target": "key:1",
            "compare": ">",
            "threshold": 0,
        },
        {
            "kind": "forecast",
            "metric": "orders_total",
            "aggregate": "rate",
            "compare": "<",
            "threshold": 1,
        },
        {"kind": "anomaly", "metric": "orders_total", "aggregate": "rate"},
        {
            "kind": "trace",
            "service": "email-sender",
            "operation": "GET /api/v1/alerts",
            "measure": "rate",
            "compare": ">",
            "threshold": 1,
        },
        {"kind": "health", "component": "disk"},
        {"kind": "log_pattern"},
    ]
    which: dict[str, str] = {}
    for condition in conditions:
        rule = {"name": uuid7(), "condition": condition, "severity": "info"}
        made = await house.ask(ada, "POST /api/v1/alert-rules", json=rule)
        assert made.status_code == 201, made.text
        which = {"rule_id": made.json()["id"]}
    # Of two times the second finds it there.
    adopted = await house.ask(ada, "POST /api/v1/alert-catalogue/{name}", path={"name": "storage"})
    assert adopted.status_code in {201, 200}, adopted.text
    named = {"name": "Import stands still", "severity": "warning"}
    raised = [await house.ask(ada, "POST /api/v1/alerts", json=named) for _ in range(2)]
    assert [one.status_code for one in raised] == [201, 200]
    alert_id = {"path": {"alert_id": raised[0].json()["id"]}}
    of_one = "/api/v1/alerts/{alert_id}"
    changed = {"name": uuid7(), "condition": conditions[0], "severity": "info"}
    seldom = {**conditions[1], "words": "customer 77"}
    tried = [{**changed, "name": uuid7(), "condition": one} for one in (conditions[0], seldom)]
    acts: list[tuple[str, int, dict[str, Any]]] = [
        *(("POST /api/v1/alert-rules/test", 200, {"json": {**one, "days": 1}}) for one in tried),
        ("GET /api/v1/alert-catalogue", 200, {}),
        ("POST /api/v1/heartbeats", 204, {"json": {"name": "backup"}}),
        ("GET /api/v1/alert-rules/{rule_id}", 200, {"path": which}),
        ("PUT /api/v1/alert-rules/{rule_id}", 200, {"path": which, "json": changed}),
        ("DELETE /api/v1/alert-rules/{rule_id}", 204, {"path": which}),
        ("GET /api/v1/alerts", 200, {"params": which}),
        (f"GET {of_one}", 200, alert_id),
        (f"POST {of_one}/acknowledge", 200, {**alert_id, "json": {}}),
        (f"POST {of_one}/assign", 200, {**alert_id, "json": {"assignee": "ada"}}),
        (f"POST {of_one}/snooze", 200, {**alert_id, "json": {"seconds": 60}}),
        (f"POST {of_one}/comments", 204, {**alert_id, "json": {"text": "Seen"}}),
        (f"POST {of_one}/resolve", 200, {**alert_id, "json": {}}),
    ]
    for operation, code, more in acts:
        done = await house.ask(ada, operation, **more)
        assert done.status_code == code, done.text


async def use_channels(house: House, ada: TenantClient) -> None:
    """A channel, a policy that leads to it, routes that lead there, and an alert that goes it."""
    channel = {"name": uuid7(), "kind": "webhook", "url": "https://hooks.example.com/alerts"}
    made = await house.ask(ada, "POST /api/v1/alert-channels", json=channel)
    assert made.status_code == 201, made.text
    by = {"path": {"channel_id": made.json()["id"]}}
    policy = {"name": uuid7(), "steps": [{"channels": [made.json()["id"]]}], "repeats": 2}
    made = await house.ask(ada, "POST /api/v1/alert-policies", json=policy)
    assert made.status_code == 201, made.text
    which = {"path": {"policy_id": made.json()["id"]}}
    tree = {"policy": made.json()["id"], "group_by": ["team"], "group_wait_seconds": 0}
    quiet = {"source": 'severity="critical"', "target": 'severity="info"'}
    gathered = {"matchers": 'team="t3"', "by": ["team"], "within_seconds": 60}
    routing = {"tree": tree, "inhibitions": [quiet], "incidents": [gathered]}
    acts: list[tuple[str, int, dict[str, Any]]] = [
        ("GET /api/v1/alert-channels/{channel_id}", 200, by),
        ("PUT /api/v1/alert-channels/{channel_id}", 200, {**by, "json": channel}),
        ("DELETE /api/v1/alert-channels/{channel_id}", 409, by),
        ("GET /api/v1/alert-policies/{policy_id}", 200, which),
        ("PUT /api/v1/alert-policies/{policy_id}", 200, {**which, "json": policy}),
        ("PUT /api/v1/alert-routing", 200, {"json": routing}),
        ("GET /api/v1/alert-routing", 200, {}),
        ("POST /api/v1/alert-routing/test", 200, {"json": {"labels": {"team": "t3"}}}),
        ("DELETE /api/v1/alert-policies/{policy_id}", 409, which),
    ]
    for operation, code, more in acts:
        done = await house.ask(ada, operation, **more)
        assert done.status_code == code, done.text
    # There is nobody: what is looked at is what the way to it costs.
    await house.ask(ada, "POST /api/v1/alert-channels/{channel_id}/test", **by)
    named = {"name": uuid7(), "severity": "warning", "labels": {"team": "t3"}}
    raised = await house.ask(ada, "POST /api/v1/alerts", json=named)
    one = {"alert_id": raised.json()["id"]}
    await sequence(house.platform.database)
    alerting = house.platform.of(AlertingManager)
    async with house.platform.database.read(Scope("test", ada.tenant.id)) as view:
        _, newest = await read_span(view)
        events = await read_events(view, after=newest - 50, limit=50)
    await alerting.telling.take(house.platform.database, ada.tenant.id, events)
    done = await house.ask(ada, "GET /api/v1/alerts/{alert_id}/notifications", path=one)
    assert done.status_code == 200, done.text


async def use_webhooks(house: House, ada: TenantClient) -> None:
    """A webhook that is told, without anybody there, of an alert."""
    said = {
        "name": uuid7(),
        "url": "https://hooks.example.com/events",
        "kinds": ["alert.fired", "member.added"],
    }
    made = await house.ask(ada, "POST /api/v1/webhooks", json=said)
    assert made.status_code == 201, made.text
    one = {"path": {"webhook_id": made.json()["id"]}}
    named = {"name": uuid7(), "severity": "warning"}
    await house.ask(ada, "POST /api/v1/alerts", json=named)
    await sequence(house.platform.database)
    delivering = house.platform.of(WebhooksManager).delivering
    assert await delivering.deliver_due(house.platform.database) == 1
    await delivering.settle()
    deliveries = "GET /api/v1/webhooks/{webhook_id}/deliveries"
    listed = (await house.ask(ada, deliveries, **one)).json()["items"]
    which = {"path": {**one["path"], "delivery_id": listed[0]["id"]}}
    since = (datetime.now(UTC) - timedelta(hours=1)).isoformat()
    acts: list[tuple[str, int, dict[str, Any]]] = [
        ("GET /api/v1/webhooks", 200, {}),
        ("GET /api/v1/webhooks/{webhook_id}", 200, one),
        (deliveries, 200, {**one, "params": {"failed": "true"}}),
        (f"{deliveries}/{{delivery_id}}", 200, which),
        ("POST /api/v1/webhooks/{webhook_id}/test", 200, one),
        ("POST /api/v1/webhooks/{webhook_id}/rotate", 200, one),
        ("POST /api/v1/webhooks/{webhook_id}/replay", 200, {**one, "json": {"since": since}}),
        ("PUT /api/v1/webhooks/{webhook_id}", 200, {**one, "json": said}),
        ("DELETE /api/v1/webhooks/{webhook_id}", 204, one),
    ]
    for operation, code, more in acts:
        done = await house.ask(ada, operation, **more)
        assert done.status_code == code, done.text


REQUEST = {
    "kind": "http.request",
    "args": {"url": "https://hooks.example.com/"},
    "max_attempts": 1,
}
GRAPH = {
    "name": "Nightly",
    "tasks": [
        {"name": "first", **REQUEST},
        {"name": "then", **REQUEST, "depends_on": ["first"]},
        {"name": "else", **REQUEST, "depends_on": ["first"], "runs_on": "failure"},
    ],
}


async def use_jobs(house: House, ada: TenantClient) -> None:
    """One that is handed in, twice, cancelled with others, and begun again with something else."""
    asked = {**REQUEST, "delay_seconds": 600}
    made = await house.ask(ada, "POST /api/v1/jobs", json={**asked, "dedup_key": uuid7()})
    assert made.status_code == 201, made.text
    plain = await house.ask(ada, "POST /api/v1/jobs", json=asked)
    one = {"path": {"job_id": made.json()["id"]}}
    args = {"args": {"url": "https://hooks.example.com/other"}}
    since = {"created_after": plain.json()["created_at"]}
    acts: list[tuple[str, dict[str, Any]]] = [
        ("GET /api/v1/job-kinds", {}),
        ("GET /api/v1/jobs/totals", {}),
        ("GET /api/v1/jobs/{job_id}/args", one),
        ("GET /api/v1/jobs/{job_id}/attempts", one),
        ("GET /api/v1/jobs/{job_id}/payload", one),
        ("POST /api/v1/jobs/cancel", {"json": {"kind": "nothing.such"}}),
        ("POST /api/v1/jobs/cancel", {"json": {"state": "running", **since}}),
        ("POST /api/v1/jobs/cancel", {"json": {"state": "blocked", **since}}),
        ("POST /api/v1/jobs/cancel", {"json": {"kind": REQUEST["kind"]}}),
        ("POST /api/v1/jobs/{job_id}/retry", {**one, "json": args}),
        ("POST /api/v1/jobs/{job_id}/retry", {"path": {"job_id": plain.json()["id"]}}),
    ]
    for operation, more in acts:
        done = await house.ask(ada, operation, **more)
        assert done.status_code == 200, done.text


async def use_graphs(house: House, ada: TenantClient) -> None:
    """Jobs that wait for each other, held up, gone on with, stopped and begun again."""
    made = await house.ask(ada, "POST /api/v1/job-graphs", json=GRAPH)
    assert made.status_code == 201, made.text
    one = {"path": {"graph_id": made.json()["id"]}}
    of = "/api/v1/job-graphs/{graph_id}"
    acts: list[tuple[str, dict[str, Any]]] = [
        (f"POST {of}/pause", one),
        (f"POST {of}/resume", one),
        (f"GET {of}", one),
        (f"GET {of}/tasks", one),
        (f"GET {of}/tasks", {**one, "params": {"state": "blocked"}}),
        (f"GET {of}/outline", one),
        (f"POST {of}/cancel", one),
        (f"POST {of}/retry", {**one, "json": {}}),
    ]
    for operation, more in acts:
        done = await house.ask(ada, operation, **more)
        assert done.status_code == 200, done.text


async def use_callbacks(house: House, ada: TenantClient) -> None:
    """A job that hands in another when it is answered, and one that nobody answers."""
    task = {**REQUEST, "grows": "more"}
    tasks = [{"name": name, **task} for name in ("answered", "late")]
    tasks.append({"name": "then", **REQUEST, "depends_on": ["answered", "late"]})
    made = await house.ask(ada, "POST /api/v1/job-graphs", json={"name": "Asks", "tasks": tasks})
    assert made.status_code == 201, made.text
    database = house.platform.database
    async with database.transaction(Scope("test", ada.tenant.id)) as tx:
        ready = await tx.scalars(
            sa.select(JobRow)
            .with_hint(JobRow, "INDEXED BY ix_jobs_graph", "sqlite")
            .where(JobRow.graph_id == made.json()["id"], JobRow.state == "ready")
            .order_by(JobRow.id)
        )
        answered, _ = (claim_of(row) for row in ready)
        # More than are kept, of the one that is not answered.
        for row, made_so_far in zip(ready, (1, KEPT + 1), strict=True):
            row.state, row.attempt = "awaiting", made_so_far
        claim = replace(answered, attempt=1)
        ready[0].due_at = tx.now() + timedelta(hours=1)
    callbacks = Callbacks("", house.platform.of(SecurityManager).callback_key)
    address = callbacks.address(claim, datetime.now(UTC) + timedelta(hours=1))
    for _ in range(2):
        done = await house.client().post(address, json={"more": [{"name": "more", **REQUEST}]})
        assert done.status_code == 204, done.text


async def use_schedules(house: House, ada: TenantClient) -> None:
    """One that is due each hour, and is run at once."""
    timing = {"type": "cron", "expression": "0 * * * *", "zone": "Europe/Paris"}
    said = {"name": uuid7(), "timing": timing, "graph": GRAPH}
    made = await house.ask(ada, "POST /api/v1/job-schedules", json=said)
    assert made.status_code == 201, made.text
    one = {"path": {"schedule_id": made.json()["id"]}}
    of = "/api/v1/job-schedules/{schedule_id}"
    until = datetime.now(UTC)
    stretch = {
        "since": (until - timedelta(hours=2)).isoformat(),
        "until": until.isoformat(),
    }
    acts: list[tuple[str, int, dict[str, Any]]] = [
        ("POST /api/v1/job-schedules/preview", 200, {"json": {"timing": timing}}),
        (f"GET {of}", 200, one),
        (f"PUT {of}", 200, {**one, "json": said, "headers": {"If-Match": "*"}}),
        (f"POST {of}/pause", 200, one),
        (f"POST {of}/resume", 200, one),
        (f"POST {of}/run", 200, one),
        (f"POST {of}/backfill", 200, {**one, "json": stretch}),
        (f"GET {of}/firings", 200, one),
        (f"DELETE {of}", 204, {**one, "headers": {"If-Match": "*"}}),
    ]
    for operation, code, more in acts:
        done = await house.ask(ada, operation, **more)
        assert done.status_code == code, done.text


async def use_incidents(house: House, ada: TenantClient) -> None:
    """An incident from first to last, and a look back."""
    named = {"name": uuid7(), "severity": "critical", "labels": {"team": "t3"}}
    made = await house.ask(ada, "POST /api/v1/alerts", json=named)
    some = {"alert_ids": [made.json()["id"]]}
    said = {"title": "We lose mail", "severity": "critical"}
    made = await house.ask(ada, "POST /api/v1/incidents", json={**said, **some})
    assert made.status_code == 201, made.text
    one = {"path": {"incident_id": made.json()["id"]}}
    acts: list[tuple[str, int, dict[str, Any]]] = [
        ("GET /api/v1/incidents", 200, {"params": {"state": "open"}}),
        ("GET /api/v1/incidents/{incident_id}", 200, one),
        ("PUT /api/v1/incidents/{incident_id}", 200, {**one, "json": said}),
        ("POST /api/v1/incidents/{incident_id}/alerts", 200, {**one, "json": some}),
        ("POST /api/v1/incidents/{incident_id}/acknowledge", 200, one),
        ("POST /api/v1/incidents/{incident_id}/comments", 204, {**one, "json": {"text": "x"}}),
        ("POST /api/v1/incidents/{incident_id}/resolve", 200, {**one, "json": {}}),
        ("GET /api/v1/alerts-firing", 200, {}),
        ("POST /api/v1/alerts/acknowledge", 200, {"json": {"severity": "critical"}}),
        ("GET /api/v1/alert-history", 200, {"params": {"days": 90}}),
    ]
    for operation, code, more in acts:
        done = await house.ask(ada, operation, **more)
        assert done.status_code == code, done.text


async def use_silences(house: House, ada: TenantClient) -> None:
    """A silence from first to last, and a schedule whose people take turns."""
    silence = {
        "matchers": 'team="t3"',
        "ends_at": (datetime.now(UTC) + timedelta(days=1)).isoformat(),
        "reason": "The database moves",
        "kind": "maintenance",
    }
    made = await house.ask(ada, "POST /api/v1/silences", json=silence)
    assert made.status_code == 201, made.text
    one = {"path": {"silence_id": made.json()["id"]}}
    people = ["ada@example.com", "bob@example.com"]
    layer = {"people": people, "start": "2026-01-05T09:00", "zone": "Europe/Paris"}
    schedule = {"name": uuid7(), "layers": [layer]}
    made = await house.ask(ada, "POST /api/v1/on-call-schedules", json=schedule)
    assert made.status_code == 201, made.text
    which = {"schedule_id": made.json()["id"]}
    schedules = "/api/v1/on-call-schedules/{schedule_id}"
    stretch = {"from": "2026-11-01T00:00:00Z", "until": "2026-12-01T00:00:00Z"}
    override = {
        "person": "eve@example.com",
        "begins_at": (datetime.now(UTC) + timedelta(hours=1)).isoformat(),
        "ends_at": (datetime.now(UTC) + timedelta(hours=2)).isoformat(),
        "reason": "A dentist",
    }
    made = await house.ask(ada, f"POST {schedules}/overrides", path=which, json=override)
    assert made.status_code == 201, made.text
    acts: list[tuple[str, int, dict[str, Any]]] = [
        ("GET /api/v1/silences/{silence_id}", 200, one),
        ("PUT /api/v1/silences/{silence_id}", 200, {**one, "json": silence}),
        ("GET /api/v1/silence-calendar", 200, {"params": stretch}),
        ("POST /api/v1/silences/{silence_id}/expire", 200, one),
        ("GET /api/v1/on-call", 200, {}),
        (f"GET {schedules}", 200, {"path": which}),
        (f"PUT {schedules}", 200, {"path": which, "json": schedule}),
        (f"GET {schedules}/shifts", 200, {"path": which, "params": stretch}),
        (f"GET {schedules}/calendar.ics", 200, {"path": which}),
        (f"GET {schedules}/overrides", 200, {"path": which}),
        (
            f"DELETE {schedules}/overrides/{{override_id}}",
            204,
            {"path": {**which, "override_id": made.json()["id"]}},
        ),
        (f"DELETE {schedules}", 204, {"path": which}),
    ]
    for operation, code, more in acts:
        done = await house.ask(ada, operation, **more)
        assert done.status_code == code, done.text


async def use_alertmanager(house: House, ada: TenantClient) -> None:
    """Alerts and silences as others' tools have them, and rules of a file."""
    api = "/alertmanager/api/v2"
    alert = {"labels": {"alertname": "DiskFull", "team": "t3"}}
    silence = {
        "matchers": [{"name": "team", "value": "t3", "isRegex": False}],
        "startsAt": datetime.now(UTC).isoformat(),
        "endsAt": (datetime.now(UTC) + timedelta(hours=1)).isoformat(),
        "createdBy": "ada",
        "comment": "It moves",
    }
    made = await house.ask(ada, f"POST {api}/silences", json=silence)
    assert made.status_code == 200, made.text
    one = {"path": {"silence_id": made.json()["silenceID"]}}
    over = alert | {"endsAt": "2026-01-01T00:00:00Z"}
    rules = [{"alert": "DiskFull", "expr": "disk_free == 0"}]
    asked = {"filter": 'team="t3"'}
    acts: list[tuple[str, int, dict[str, Any]]] = [
        (f"POST {api}/alerts", 200, {"json": [alert]}),
        (f"GET {api}/alerts", 200, {"params": asked}),
        (f"GET {api}/alerts/groups", 200, {"params": asked}),
        (f"POST {api}/alerts", 200, {"json": [over]}),
        (f"GET {api}/receivers", 200, {}),
        (f"GET {api}/status", 200, {}),
        (f"GET {api}/silences", 200, {"params": asked}),
        (f"GET {api}/silence/{{silence_id}}", 200, one),
        (f"DELETE {api}/silence/{{silence_id}}", 200, one),
        (
            "POST /api/v1/alerts/grafana",
            200,
            {"json": {"alerts": [alert | {"status": "firing"}, alert | {"status": "resolved"}]}},
        ),
        ("POST /api/v1/alert-rules/import", 200, {"json": {"groups": [{"rules": rules}]}}),
    ]
    for operation, code, more in acts:
        done = await house.ask(ada, operation, **more)
        assert done.status_code == code, done.text


async def work(house: House, ada: TenantClient) -> None:
    """Deliver, bounce, defer and give up, while events are numbered and consumed."""
    seen: list[int] = []

    async def take(_: str, events: Any) -> None:
        seen.extend(event.seq for event in events)

    # The crowd's events are a week old, and no matter of this.
    consumer = EventConsumer("test", take, start="now")
    dispatcher = EventDispatcher(house.platform.database, [consumer])
    worker = Worker(
        house.platform.database, house.platform.of(OrchestratorManager), poll_seconds=0.05
    )
    running = asyncio.create_task(worker.run())
    deadline = monotonic() + 600
    async with dispatcher.running():
        while True:
            await sequence(house.platform.database)
            query: dict[str, Any] = {"limit": 50}
            answer = (await ada.http.get("/api/v1/jobs", params=query)).json()
            # Whoever asks too fast is told nothing of jobs.
            jobs = answer.get("items", [{"state": "running"}])
            # The channel leads to nobody: who is told of an alert is tried again for hours.
            waits = [job for job in jobs if job.get("kind") != TELL_JOB]
            open_jobs = [job for job in waits if job["state"] in {"ready", "running"}]
            if not open_jobs and seen:
                break
            assert monotonic() < deadline, open_jobs
            await asyncio.sleep(0.02)
    worker.stop()
    with contextlib.suppress(asyncio.CancelledError):
        await running


async def tick(house: House, ada: TenantClient) -> None:
    """What happens by the clock: ticks, sweeps, checks, gauges."""
    platform = house.platform
    for room, manager in platform.at_work():
        for one in room.ticks:
            await one.run(manager, platform.database)
    await platform.of(LoggingManager).export.settle()
    await sweep(platform, "test")
    await check_cursors(platform.database)
    async with platform.database.read(Scope("test", ada.tenant.id)) as view:
        await read_span(view)
    http = house.client()
    for path in ("/metrics", "/readyz"):
        assert (await http.get(path)).status_code in {200, 503}


TEXT = {"subject": "Hello", "text": "There"}
NOBODY = "nobody@example.test"
NO_TENANT = "0199c0de-0000-7000-8000-00000000000f"
# Lists and their filters, some of which find nothing: what is not there is looked for longest.
LISTS: dict[str, list[dict[str, str]]] = {
    "GET /api/v1/alert-channels": [{}],
    "GET /api/v1/alert-policies": [{}],
    "GET /api/v1/alert-rules": [{}],
    "GET /api/v1/on-call-schedules": [{}],
    "GET /api/v1/silences": [
        {},
        {"state": "active"},
        {"state": "scheduled"},
        {"state": "expired"},
        {"matchers": 'team="t3"'},
    ],
    "GET /api/v1/alerts": [
        {},
        {"state": "over"},
        {"state": "firing"},
        {"state": "waiting"},
        {"severity": "critical"},
        {"severity": "critical", "state": "firing"},
        {"matchers": 'team="t3"'},
    ],
    "GET /api/v1/identity-providers": [{}],
    "GET /api/v1/data-keys/retirements": [{}],
    "GET /api/v1/emails": [
        {},
        {"state": "bounced"},
        {"state": "partial"},
        {"state": "queued"},
        {"recipient": "{newest}"},
        {"recipient": "{oldest}"},
        {"recipient": NOBODY},
        {"recipient": "{oldest}", "state": "bounced"},
        {"recipient": "{newest}", "state": "queued"},
        {"business_key": "order-1"},
        {"business_key": "nothing"},
        {"business_key": "order-1", "recipient": "{oldest}"},
        {"created_before": "{early}"},
        {"created_after": "{early}", "created_before": "{late}"},
        {"created_before": "{early}", "state": "bounced"},
        {"created_before": "{early}", "state": "queued"},
        {"created_after": "{late}", "recipient": "{oldest}"},
        {"created_before": "{early}", "recipient": "customer-*"},
    ],
    "GET /api/v1/traces": [
        {},
        {"service": "service-7"},
        {"operation": "operation-7"},
        {"service": "service-7", "operation": "operation-7"},
        {"workflow_id": "w7"},
        {"execution_id": "7"},
        {"request_id": "request-7"},
        {"attribute": "number=7", "created_after": "{late}"},
        {"created_before": "{early}", "workflow_id": "w7"},
        {"failed": "true", "created_after": "{late}"},
    ],
    "GET /api/v1/jobs": [
        {},
        {"state": "dead"},
        {"state": "blocked"},
        {"kind": "email.send"},
        {"kind": "nothing.such"},
        {"kind": "nothing.such", "state": "succeeded"},
        {"created_before": "{early}"},
        {"created_after": "{early}", "created_before": "{late}", "state": "dead"},
        {"created_before": "{early}", "kind": "email.send"},
        {"created_before": "{early}", "kind": "nothing.such", "state": "succeeded"},
        {"subject": "email:none-such"},
        {"subject": "email:none-such", "kind": "email.send", "created_before": "{early}"},
        {"graph_id": "0192f7a4-3c1e-7a40-9d0e-5b7c2f4e8a11"},
        {"graph_id": "0192f7a4-3c1e-7a40-9d0e-5b7c2f4e8a11", "state": "dead", "kind": "none.such"},
    ],
    "GET /api/v1/job-graphs": [{}, {"state": "failed"}, {"state": "running"}],
    "GET /api/v1/job-schedules": [{}],
    "GET /api/v1/audit": [
        {},
        {"action": "email.submitted"},
        {"action": "client.created"},
        {"action": "client.*"},
        {"action": "nothing.such"},
        {"actor": "user:nobody"},
        {"actor": "user:*"},
        {"target": "email:nothing"},
        {"target": "client:*"},
        {"action": "email.submitted", "actor": "user:nobody"},
        {"action": "email.*", "target": "client:*"},
        {"request_id": "nothing"},
        {"request_id": "*"},
        {"request_id": "req-*"},
        {"workflow": "nothing"},
        {"execution": "nothing"},
        {"execution": "4*"},
        {"execution": "4711", "workflow": "of-n8n-7"},
        {"workflow": "of-n8n-7", "action": "email.submitted"},
        {"created_after": "{early}", "execution": "4711", "actor": "user:*"},
        {"created_before": "{early}"},
        {"created_after": "{early}", "created_before": "{late}"},
        {"created_before": "{early}", "action": "email.submitted"},
        {"created_after": "{early}", "created_before": "{late}", "actor": "user:nobody"},
        {"created_before": "{early}", "target": "client:*", "action": "email.*"},
        {"created_after": "{early}", "q": "nothing"},
        {"created_after": "{early}", "q": "submitted", "action": "email.*"},
        {"created_after": "{early}", "q": "submitted", "actor": "user:nobody"},
    ],
    "GET /api/v1/audit/facets": [
        {},
        {"created_after": "{early}"},
        {"created_after": "{early}", "created_before": "{late}"},
        {"created_after": "{early}", "action": "email.*"},
        {"created_after": "{early}", "actor": "user:nobody"},
        {"created_after": "{early}", "execution": "4711"},
        {"created_after": "{early}", "workflow": "of-n8n-7", "action": "email.*"},
        {"created_after": "{early}", "action": "email.submitted", "target": "email:*"},
    ],
    "GET /api/v1/audit-exports": [{}],
    "GET /api/v1/suppressions": [
        {},
        {"reason": "manual"},
        {"address": "gone-7@example.test"},
        {"address": "gone-77*"},
        {"address": "nobody*"},
        {"address": "gone-*", "reason": "manual"},
    ],
    "GET /api/v1/email-templates": [{}],
    "GET /api/v1/email-relays": [{}],
    "GET /api/v1/keys": [{}],
    "GET /api/v1/clients": [{}],
    "GET /api/v1/api-keys": [{}],
    "GET /api/v1/limits": [{}],
    "GET /api/v1/secrets": [
        {},
        {"folder": "folder-77"},
        {"path": "folder-77/secret-77"},
        {"path": "folder-7*"},
        {"environment": "nowhere"},
    ],
    "GET /api/v1/secrets/tokens": [{}],
    "GET /api/v1/access-reviews": [{}],
    "GET /api/v1/members": [{}],
    "GET /api/v1/platform/limits": [{}, {"tenant_id": NO_TENANT}],
    "GET /api/v1/invitations": [{}],
    "GET /api/v1/platform/users": [{}, {"q": "nobody@"}],
    "GET /api/v1/platform/tenants": [{}],
    "GET /api/v1/platform/clients": [{}],
    "GET /api/v1/platform/api-keys": [{}],
    "GET /api/v1/platform/plans": [{}],
    "GET /api/v1/platform/tenant-certificates": [{}],
    "GET /api/v1/platform/audit": [{}, {"action": "nothing.such"}],
    "GET /api/v1/platform/audit/facets": [{}],
    "GET /api/v1/platform/audit-exports": [{}],
}
