"""Seeds: tenants, people, credentials, e-mails in every state, jobs, and the trail of all that.

Everything is made by the API itself or through a manager's door, so that no seed can say what the
platform would not. The factories take an ``httpx.Client`` that speaks as somebody, and so serve an
application in this process as well as one behind a socket.
"""

from __future__ import annotations

import asyncio
import base64
import json
import secrets
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from backend.app import Platform, compose
from backend.cli.installation import bootstrap
from backend.core.audit import sequence
from backend.core.telemetry import RequestRecord
from backend.managers.email import EmailSettings
from backend.managers.metrics import MetricsManager
from backend.managers.orchestrator import OrchestratorManager, Worker
from backend.settings import Settings
from backend.sink import SmtpSink
from tests.support.bridge import Bridge, Loop, in_process
from tests.support.invitations import accept
from tests.support.login import exchange, id_token

Json = dict[str, Any]

PASSWORD = "correct horse battery staple"

HOSTILE_HTML = (
    "<h2>Hello Ada</h2><p>Your invoice <b>2026-118</b> is attached.</p>"
    '<p style="color:#0f766e">Thank you.</p>'
    '<img src="http://tracker.invalid/pixel.png" alt="tracking pixel" width="1" height="1">'
    "<script>window.top.document.title='owned'</script>"
    '<p><a href="http://tracker.invalid/">View online</a></p>'
)
HOSTILE_SUBJECT = "Your invoice as a page"
_SUBJECTS = (
    "Invoice 2026-118",
    "Your order has shipped",
    "Reset your password",
    "Weekly report",
    "Welcome to Acme",
    "Payment reminder",
    "Ticket #4821 updated",
)
_NAMES = ("ada", "grace", "edsger", "barbara", "alan", "katherine", "donald")


# --- one thing each -------------------------------------------------------------------------


def make_tenant(
    http: httpx.Client,
    slug: str,
    name: str,
    owner_email: str | None = None,
    password: str = PASSWORD,
) -> Json:
    """A tenant, made by a platform administrator.

    Who made it owns it, unless somebody else is named, who then accepts the invitation.
    """
    body = {"slug": slug, "name": name, "owner_email": owner_email}
    made = _made(http.post("/api/v1/platform/tenants", json=body))
    if owner_email is not None:
        link = made["owner_invitation_link"]
        joined = accept(http, link, email=owner_email, password=password, name=owner_email)
        assert joined.status_code == 200, joined.text
    return made


def make_invitation(http: httpx.Client, email: str, name: str, role: str) -> Json:
    """Somebody who may become a member, with the link."""
    return _made(
        http.post("/api/v1/invitations", json={"email": email, "name": name, "role": role})
    )


def limit_tenant(http: httpx.Client, tenant_id: str, **overrides: int | None) -> Json:
    """Quotas of a tenant, beside those of its plan."""
    body = {"overrides": overrides}
    return _made(http.put(f"/api/v1/platform/tenants/{tenant_id}/quotas", json=body))


def make_member(
    http: httpx.Client, email: str, name: str, role: str, password: str = PASSWORD
) -> Json:
    """A person of the tenant, who was invited and has accepted: with an account of this password.

    They set one up if they had none.
    """
    made = make_invitation(http, email, name, role)
    joined = accept(http, made["link"], email=email, password=password, name=name)
    assert joined.status_code == 200, joined.text
    members = _made(http.get("/api/v1/members", params={"limit": 200}))["items"]
    found: Json = next(one for one in members if one["email"] == email)
    return found


def make_client(http: httpx.Client, name: str, role: str = "workflow") -> Json:
    """An API client, with its secret."""
    return _made(http.post("/api/v1/clients", json={"name": name, "role": role}))


def make_api_key(
    http: httpx.Client, name: str, role: str = "viewer", expires_at: str | None = None
) -> Json:
    """An API key, with the key."""
    body = {"name": name, "role": role, "expires_at": expires_at}
    return _made(http.post("/api/v1/api-keys", json=body))


def make_suppression(http: httpx.Client, address: str, comment: str = "") -> Json:
    """An address that is not mailed."""
    return _made(http.post("/api/v1/suppressions", json={"address": address, "comment": comment}))


def make_logs(http: httpx.Client, lines: Iterable[Json]) -> Json:
    """Send log lines; returns what became of them."""
    text = "\n".join(json.dumps(line) for line in lines)
    return _made(http.post("/api/v1/logs", content=text))


def make_secret(http: httpx.Client, path: str, value: Json | str, **more: Any) -> Json:
    """A secret, or its next version; ``more`` are fields of the request."""
    return _made(http.post("/api/v1/secrets", json={"path": path, "value": value, **more}))


def make_email(
    http: httpx.Client, to: str | Sequence[str] = "ada@example.test", **more: Any
) -> Json:
    """A queued message; ``more`` are fields of the request."""
    recipients = [to] if isinstance(to, str) else list(to)
    body = {"subject": "Invoice 2026-118", "text": "Hello Ada\n", "to": recipients, **more}
    return _made(http.post("/api/v1/emails", json=body))


def make_emails(http: httpx.Client, count: int, to: Callable[[int], str]) -> list[Json]:
    """So many queued messages of one batch, oldest first."""
    messages = [
        {
            "subject": _SUBJECTS[number % len(_SUBJECTS)],
            "text": "Hello\n",
            "to": [to(number)],
            "business_key": f"invoice-{1000 + number}" if number % 3 == 0 else None,
        }
        for number in range(count)
    ]
    answer = http.post("/api/v1/emails/batch", json={"messages": messages})
    found: list[Json] = _made(answer)["items"]
    return found


def make_traffic(platform: Platform, tenant_id: str, *, minutes: int = 15) -> None:
    """Requests over the last minutes, two minutes of silence among them but for one request."""
    now = time.time_ns()
    for step in range(2, minutes * 6):
        if 40 <= step < 52 and step != 46:
            continue
        platform.of(MetricsManager).observe(
            [
                RequestRecord(
                    started_ns=now - step * 10_000_000_000,
                    seconds=0.02 + 0.01 * (step % 5),
                    method="POST",
                    route="/api/v1/emails",
                    path="/api/v1/emails",
                    status=503 if step % 40 < 2 else 202,
                    tenant_id=tenant_id,
                    actor="client:invoices",
                    address="127.0.0.1",
                    request_id=f"req-{step}",
                    trace_id="0" * 32,
                    span_id="0" * 16,
                    parent_id="",
                    forced=False,
                    problem="",
                )
            ]
            * (1 if step == 46 else 100 + step % 7)
        )


def make_trace(http: httpx.Client, *, service: str = "n8n", failed: bool = False) -> str:
    """Send the spans of a run by OTLP: a root and two nodes, the second below the first."""
    trace_id, now = secrets.token_hex(16), time.time_ns()
    ids = [secrets.token_hex(8) for _ in range(3)]
    spans = [
        {
            "traceId": trace_id,
            "spanId": ids[at],
            "parentSpanId": ids[at - 1] if at else "",
            "name": name,
            "kind": 1,
            "startTimeUnixNano": str(now + at * 10_000_000),
            "endTimeUnixNano": str(now + (10 - at) * 10_000_000),
            "status": {"code": 2, "message": "timed out"} if failed and at == 2 else {},
            "attributes": [{"key": "n8n.execution.id", "value": {"stringValue": "4711"}}],
        }
        for at, name in enumerate(("workflow.execute", "node.execute", "POST /orders"))
    ]
    named = {"key": "service.name", "value": {"stringValue": service}}
    body = {
        "resourceSpans": [{"resource": {"attributes": [named]}, "scopeSpans": [{"spans": spans}]}]
    }
    answer = http.post("/api/v1/otlp/v1/traces", json=body)
    assert answer.is_success, answer.text
    return trace_id


def _made(answer: httpx.Response) -> Json:
    assert answer.is_success, answer.text
    found: Json = answer.json()
    return found


# --- a whole platform -----------------------------------------------------------------------


@dataclass(frozen=True)
class Person:
    """Somebody who has logged in: with what, and what the provider gave the console."""

    email: str
    name: str
    password: str
    id_token: str
    cookies: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Seeds:
    """A filled installation: its folder, and who and what is in it.

    Ada owns ``demo``, is an operator of ``globex`` and runs the platform; Vic is a viewer of
    ``demo``.
    """

    folder: Path
    console_secret: str
    demo_id: str
    globex_id: str
    people: dict[str, Person]


class Speaking:
    """An application in this process, and clients that speak to it as somebody."""

    def __init__(self, transport: httpx.BaseTransport, base_url: str, console_secret: str) -> None:
        self._transport = transport
        self._base_url = base_url
        self._console_secret = console_secret

    def anybody(self) -> httpx.Client:
        """A client without credentials."""
        return httpx.Client(transport=self._transport, base_url=self._base_url)

    def bearing(self, login: str, tenant_id: str | None = None) -> httpx.Client:
        """A client with an access token of this log-in."""
        http = self.anybody()
        token = exchange(http, login, console_secret=self._console_secret, tenant_id=tenant_id)
        http.headers["Authorization"] = f"Bearer {token}"
        return http

    def log_in(self, console_url: str, email: str, name: str, password: str) -> Person:
        """Log somebody in through the provider's page."""
        http = self.anybody()
        login = id_token(
            http,
            console_url=console_url,
            console_secret=self._console_secret,
            email=email,
            password=password,
        )
        cookies = tuple((one.name, one.value or "") for one in http.cookies.jar)
        return Person(email, name, password, login, cookies)


def seed(
    loop: Loop, settings: Settings, console_url: str, *, emails: int = 60, tenants: int = 12
) -> Seeds:
    """Fill a migrated SQLite database, and leave its application closed.

    The settings must name an SQLite file and a sink's folder. There is something in every state
    that an e-mail or its job reaches by itself, more than a page of e-mails, jobs and records, and
    one audit record at least that is not yet chained.
    """
    folder = settings.data_dir
    made = loop.run(bootstrap(compose(settings), "ada@example.test", console_url))
    secret = str(json.loads((folder / "console.json").read_text())["client_secret"])
    with _delivering(loop, settings) as bridge:
        speaking = Speaking(bridge, settings.identity.issuer, secret)
        ada = speaking.log_in(
            console_url, made["admin_email"], "First admin", made["admin_password"]
        )
        demo = speaking.bearing(ada.id_token, made["tenant_id"])
        make_member(demo, "vic@example.test", "Vic Viewer", "viewer")
        make_member(demo, "grace@example.test", "Grace Hopper", "operator")
        make_invitation(demo, "edsger@example.test", "Edsger Dijkstra", "viewer")
        for number in range(tenants):
            make_tenant(
                demo, f"customer-{number:02}", f"Customer {number:02}", "grace@example.test"
            )
        globex = make_tenant(demo, "globex", "Globex", owner_email="grace@example.test")
        # Of these it will have used two of ten, and four of five.
        limit_tenant(demo, globex["id"], members=10, emails_a_day=5)
        grace = speaking.log_in(console_url, "grace@example.test", "Grace Hopper", PASSWORD)
        vic = speaking.log_in(console_url, "vic@example.test", "Vic Viewer", PASSWORD)
        abroad = speaking.bearing(grace.id_token, globex["id"])
        make_member(abroad, ada.email, "First admin", "operator", ada.password)
        for name in ("Invoices workflow", "Order confirmations"):
            make_client(demo, name)
        make_api_key(demo, "Nightly report", expires_at="2098-12-31T23:59:59Z")
        make_api_key(demo, "Dashboard wall")
        make_suppression(demo, "Margaret@example.test", "asked on the phone")
        make_secret(demo, "billing/smtp", {"user": "mailer", "password": "seeded-7c1"})
        make_secret(demo, "billing/stripe", {"key": "seeded-7c1"}, ttl_seconds=90 * 86_400)
        make_secret(demo, "warehouse", "seeded-7c1")
        for number in range(4):
            make_email(abroad, "hank@example.test", subject=f"Globex {number}")
        make_emails(demo, emails, lambda number: f"{_NAMES[number % 7]}@example.test")
        make_email(demo, "bounce@example.test", subject="Payment reminder")
        make_email(demo, "defer@example.test", subject="Weekly report")
        make_email(demo, ["ada@example.test", "bounce@example.test"], subject="Two of you")
        make_email(demo, "margaret@example.test", subject="Not to be mailed")
        make_email(
            demo,
            subject=HOSTILE_SUBJECT,
            text="Hello Ada\n\nYour invoice 2026-118 is attached.\n",
            html=HOSTILE_HTML,
            headers={"X-Campaign": "invoices"},
            attachments=[
                {
                    "filename": "invoice-2026-118.pdf",
                    "content_type": "application/pdf",
                    "content": base64.b64encode(b"%PDF-1.7").decode(),
                }
            ],
        )
        make_email(demo, "slow@example.test", subject="Held by its mail server")
        _wait_until(lambda: _settled(demo))
        # What is being sent now stays so in the copy, with a worker that nobody will hear of again.
        copy = folder / "seeded.db"
        database = _database_file(settings)
        with sqlite3.connect(database) as source, sqlite3.connect(copy) as target:
            source.backup(target)
    copy.replace(database)
    for leftover in ("-wal", "-shm"):
        database.with_name(database.name + leftover).unlink(missing_ok=True)
    with in_process(loop, settings) as (platform, bridge):
        speaking = Speaking(bridge, settings.identity.issuer, secret)
        demo = speaking.bearing(ada.id_token, made["tenant_id"])
        make_traffic(platform, made["tenant_id"])
        cancelled = make_email(demo, subject="Sent by mistake")
        demo.post(f"/api/v1/jobs/{cancelled['job_id']}/cancel").raise_for_status()
        make_email(demo, "queue@example.test", subject="Ticket #4821 updated")
        loop.run(_sequence(platform))
        make_email(demo, "queue@example.test", subject="Your order has shipped")
    return Seeds(
        folder=folder,
        console_secret=secret,
        demo_id=made["tenant_id"],
        globex_id=globex["id"],
        people={person.email: person for person in (ada, vic, grace)},
    )


@contextmanager
def _delivering(loop: Loop, settings: Settings) -> Iterator[Bridge]:
    """The application with a worker and a mail server that holds what goes to ``slow``."""
    sink_directory = settings.email.sink_directory
    assert sink_directory is not None
    sink = SmtpSink(sink_directory, port=0, slow_seconds=600)
    loop.run(sink.start())
    relay = f"smtp://127.0.0.1:{sink.port}"
    sending = settings.model_copy(
        update={
            "email": EmailSettings.model_validate(
                {
                    **settings.email.model_dump(exclude={"smtp_url"}),
                    "smtp_url": relay,
                    "backoff_seconds": 3600,
                }
            )
        }
    )
    try:
        with in_process(loop, sending) as (platform, bridge):
            worker = Worker(
                platform.database,
                platform.of(OrchestratorManager),
                poll_seconds=0.05,
                grace_seconds=0,
            )
            task = loop.start(worker.run())
            try:
                yield bridge
            finally:
                loop.run(_stop(worker, task, sink))
    finally:
        loop.run(sink.stop())


async def _stop(worker: Worker, task: asyncio.Task[None], sink: SmtpSink) -> None:
    worker.stop()
    await sink.stop()
    await task


async def _sequence(platform: Platform) -> None:
    while await sequence(platform.database):
        pass


def _settled(http: httpx.Client) -> bool:
    """Whether each state has its e-mails, and nothing is on its way but what is held."""
    items = http.get("/api/v1/emails", params={"limit": 200}).raise_for_status().json()["items"]
    states = [item["state"] for item in items]
    known = {"accepted", "bounced", "deferred", "partial", "sending", "suppressed"}
    return set(states) == known and states.count("sending") == 1


def _wait_until(done: Callable[[], bool]) -> None:
    for _ in range(600):
        if done():
            return
        time.sleep(0.05)  # the worker's progress: there is no clock to pass
    raise AssertionError("the seeds did not settle")


def _database_file(settings: Settings) -> Path:
    return Path(settings.database_url.removeprefix("sqlite:///"))
