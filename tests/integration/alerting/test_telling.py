"""People are told of alerts: once for each step and channel, and nobody who need not be."""

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from backend.core.context import Scope, SystemScope
from backend.core.cursors import EventDispatcher
from backend.core.events import read_events
from backend.managers.alerting import AlertingManager, AlertingSettings, Raised
from backend.managers.alerting._picturing import Picture
from backend.managers.alerting._telling import TELL_JOB
from backend.managers.alerting.models import AlertRow, NotificationRow
from backend.managers.email import EmailManager
from backend.managers.metrics import Item, MetricsManager
from backend.managers.orchestrator import Job, OrchestratorManager, Worker
from backend.managers.tenant import PLATFORM, TenantManager
from backend.settings import Settings
from tests.support import syslog
from tests.support.hooks import HookServer
from tests.support.platform import App, TenantClient


class Receiver(HookServer):
    """A program that answers as it is told to, and remembers what it was sent."""

    def __init__(self) -> None:
        super().__init__()
        self.got: list[tuple[Mapping[str, str], bytes]] = []
        self.answers: list[int] = []

    @property
    def messages(self) -> Sequence[Any]:
        return [json.loads(body) for _, body in self.got]

    @property
    def keys(self) -> Sequence[str]:
        return [headers["idempotency-key"] for headers, _ in self.got]

    async def take(self, _path: str, headers: Mapping[str, str], body: bytes) -> int:
        self.got.append((headers, body))
        return self.answers.pop(0) if self.answers else 204


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with Receiver().running() as made:
        yield made


@pytest.fixture
def app_settings(app_settings: Settings) -> Settings:
    own = AlertingSettings(allow_private_channels=True)
    return app_settings.model_copy(update={"alerting": own})


class Desk:
    """A tenant whose alerts go somewhere, and its clock."""

    def __init__(self, app: App, who: TenantClient) -> None:
        self.app = app
        self.who = who
        self.http = who.http
        self.database = app.platform.database
        self.manager = app.platform.of(AlertingManager)
        self.scope = Scope("test", who.tenant.id)
        self.seen = 0

    async def make(self, path: str, status: int = 201, **body: Any) -> Any:
        answer = await self.http.post(f"/api/v1/{path}", json=body)
        assert answer.status_code == status, answer.text
        return answer.json()

    async def channel(self, url: str, name: str = "hook", **more: Any) -> str:
        said = {"kind": "webhook", **more}
        made = await self.make("alert-channels", name=name, url=url, **said)
        return str(made["id"])

    async def route(self, steps: Sequence[Mapping[str, Any]], **more: Any) -> None:
        tree = {name: more.pop(name) for name in list(more) if name != "repeats"}
        policy = await self.make("alert-policies", name=f"p{len(tree)}", steps=steps, **more)
        tree = {"policy": policy["id"], "group_wait_seconds": 0, **tree}
        inhibitions = tree.pop("inhibitions", [])
        said = {"tree": tree, "inhibitions": inhibitions}
        answer = await self.http.put("/api/v1/alert-routing", json=said)
        assert answer.status_code == 200, answer.text

    async def member(self, email: str) -> str:
        tenants = self.app.platform.of(TenantManager)
        async with self.database.transaction(SystemScope(PLATFORM)) as tx:
            user = await tenants.create_user(tx, email=email, name="Ada", password_hash=None)
            await tenants.add_member(
                tx, tenant_id=self.who.tenant.id, user_id=user.id, role="viewer", granter=None
            )
        return user.id

    async def raised(self, name: str = "Import stands still", **more: Any) -> str:
        answer = await self.http.post(
            "/api/v1/alerts", json={"name": name, "severity": "warning", **more}
        )
        assert answer.status_code in {200, 201}, answer.text
        return str(answer.json()["id"])

    async def hear(self) -> None:
        """Hand over what happened since, twice, as a dispatcher that was killed would."""
        await self.app.sequence()
        async with self.database.read(self.scope) as view:
            events = await read_events(view, after=self.seen, limit=1000)
        if events:
            self.seen = events[-1].seq
            for _ in range(2):
                await self.manager.telling.take(self.database, self.who.tenant.id, events)

    async def later(self, **ago: float) -> None:
        """Let time pass for what waits."""
        async with self.database.transaction(self.scope) as tx:
            rows = await tx.scalars(
                sa.select(NotificationRow).where(
                    NotificationRow.tenant_id == tx.tenant_id, NotificationRow.state == "waiting"
                )
            )
            for row in rows:
                row.due_at -= timedelta(**ago)

    async def tell(self) -> None:
        """Hear, make messages in three processes at once, and send them."""
        await self.hear()
        await asyncio.gather(*(self.manager.telling.run(self.database) for _ in range(3)))
        jobs = self.app.platform.of(OrchestratorManager)
        worker = Worker(self.database, jobs, [jobs.kinds[TELL_JOB]], poll_seconds=0.02)
        running = asyncio.create_task(worker.run())
        for _ in range(500):
            found = (await self.http.get("/api/v1/jobs", params={"kind": TELL_JOB})).json()
            # Whoever asks too fast is told nothing of jobs.
            if "items" in found and not any(
                job["state"] in {"ready", "running"} for job in found["items"]
            ):
                break
            await asyncio.sleep(0.1)
        worker.stop()
        await running

    async def states(self, alert_id: str) -> Sequence[tuple[int, str, str]]:
        found = (await self.http.get(f"/api/v1/alerts/{alert_id}/notifications")).json()
        return [(one["step"], one["kind"], one["state"]) for one in found["items"]]


@pytest.fixture
async def desk(app: App) -> Desk:
    return Desk(app, await app.caller("owner"))


async def test_a_channel_is_told_once_that_it_fires_and_once_that_it_is_over(
    desk: Desk, receiver: Receiver
) -> None:
    made = await desk.make("alert-channels", name="hook", kind="webhook", url=receiver.url)
    await desk.route([{"channels": [made["id"]]}])
    alert_id = await desk.raised(summary="Nothing came", labels={"team": "data"})
    for _ in range(2):
        await desk.tell()
    ((headers, body),) = receiver.got
    said = json.loads(body)
    assert said["kind"] == "alert.fired"
    assert said["title"] == "[WARNING] Import stands still"
    assert said["alerts"][0]["labels"]["team"] == "data"
    secret = base64.b64decode(made["secret"].removeprefix("whsec_"))
    text = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    mac = base64.b64encode(hmac.new(secret, text, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{mac}"
    assert headers["webhook-id"] == headers["idempotency-key"] == said["id"]
    await desk.http.post(f"/api/v1/alerts/{alert_id}/resolve", json={})
    for _ in range(2):
        await desk.tell()
    assert [one["kind"] for one in receiver.messages] == ["alert.fired", "alert.resolved"]
    assert await desk.states(alert_id) == [(0, "fired", "sent"), (0, "resolved", "sent")]
    notes = (await desk.http.get(f"/api/v1/alerts/{alert_id}")).json()["notes"]
    assert [one["kind"] for one in notes] == ["fired", "told", "resolved", "told"]


async def test_what_fired_before_the_first_worker_came_is_told(
    desk: Desk, receiver: Receiver
) -> None:
    await desk.route([{"channels": [await desk.channel(receiver.url)]}])
    alert_id = await desk.raised()
    await desk.app.sequence()
    consumers = desk.app.platform.event_consumers
    assert "alerting.telling" in {one.name for one in consumers}
    async with EventDispatcher(desk.database, consumers, poll_seconds=0.05).running():
        for _ in range(200):
            if await desk.states(alert_id):
                break
            await asyncio.sleep(0.05)
    assert await desk.states(alert_id) == [(0, "fired", "waiting")]


async def test_who_does_not_want_to_know_of_the_end_is_not_told(
    desk: Desk, receiver: Receiver
) -> None:
    loud = await desk.channel(receiver.url, "loud")
    quiet = await desk.channel(receiver.url, "quiet", send_resolved=False)
    await desk.route([{"channels": [loud, quiet]}])
    alert_id = await desk.raised()
    await desk.tell()
    await desk.http.post(f"/api/v1/alerts/{alert_id}/resolve", json={})
    await desk.tell()
    told = (await desk.http.get(f"/api/v1/alerts/{alert_id}/notifications")).json()["items"]
    assert sorted((one["channel"], one["kind"]) for one in told) == [
        ("loud", "fired"),
        ("loud", "resolved"),
        ("quiet", "fired"),
    ]
    assert sorted(one["kind"] for one in receiver.messages) == [
        *("alert.fired", "alert.fired"),
        "alert.resolved",
    ]


async def test_that_a_report_is_over_is_no_news(desk: Desk, receiver: Receiver) -> None:
    await desk.route([{"channels": [await desk.channel(receiver.url)]}])
    rule = await desk.make(
        "alert-rules", name="Report", severity="info", condition={"kind": "report"}
    )
    reported, raised = await desk.raised("Report"), await desk.raised("Something else")
    async with desk.database.transaction(desk.scope) as tx:
        row = await tx.scalar(
            sa.select(AlertRow).where(AlertRow.tenant_id == tx.tenant_id, AlertRow.id == reported)
        )
        row.rule_id = rule["id"]
    await desk.tell()
    for alert_id in (reported, raised):
        await desk.http.post(f"/api/v1/alerts/{alert_id}/resolve", json={})
    await desk.tell()
    assert await desk.states(reported) == [(0, "fired", "sent")]
    assert await desk.states(raised) == [(0, "fired", "sent"), (0, "resolved", "sent")]


async def test_who_comes_next_is_told_until_somebody_sees_to_it(
    desk: Desk, receiver: Receiver
) -> None:
    first, second = [await desk.channel(receiver.url, name) for name in ("first", "second")]
    then = {"channels": [second], "after_seconds": 300}
    await desk.route([{"channels": [first]}, then], repeats=1)
    alert_id = await desk.raised()
    await desk.tell()
    assert len(receiver.got) == 1
    await desk.later(seconds=301)
    await desk.tell()
    assert len(receiver.got) == 2
    await desk.http.post(f"/api/v1/alerts/{alert_id}/acknowledge", json={})
    await desk.hear()
    await desk.later(days=1)
    await desk.tell()
    assert len(receiver.got) == 2
    assert await desk.states(alert_id) == [
        (0, "fired", "sent"),
        (1, "fired", "sent"),
        (2, "fired", "dropped"),
        (3, "fired", "dropped"),
    ]


async def test_nobody_else_is_told_while_an_acknowledgement_is_on_its_way(
    desk: Desk, receiver: Receiver
) -> None:
    await desk.route([{"channels": [await desk.channel(receiver.url)], "after_seconds": 300}])
    alert_id = await desk.raised()
    await desk.hear()
    await desk.later(seconds=301)
    await desk.http.post(f"/api/v1/alerts/{alert_id}/acknowledge", json={})
    assert (await desk.manager.telling.run(desk.database)).messages == 0
    assert await desk.states(alert_id) == [(0, "fired", "dropped")]


async def test_who_is_silenced_keeps_no_other_of_its_group_waiting(
    desk: Desk, receiver: Receiver
) -> None:
    await desk.route([{"channels": [await desk.channel(receiver.url)]}], group_by=["team"])
    later = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    await desk.make("silences", matchers='disk="sda"', ends_at=later, reason="It moves")
    await desk.raised("one", labels={"team": "db", "disk": "sda"})
    await desk.tell()
    await desk.raised("other", labels={"team": "db", "disk": "sdb"})
    await desk.tell()
    assert [one["alerts"][0]["name"] for one in receiver.messages] == ["other"]


async def test_what_is_due_together_goes_in_as_few_messages_as_it_can(
    desk: Desk, receiver: Receiver
) -> None:
    channel = await desk.channel(receiver.url, per_minute=600)
    await desk.route([{"channels": [channel]}], group_by=["team"])
    async with desk.database.transaction(desk.scope) as tx:
        for number in range(600):
            labels = {"team": f"t{number % 3}"}
            said = Raised(name=f"a{number}", severity="info", labels=labels)
            await desk.manager.raise_alert(tx, said)
    await desk.app.sequence()
    async with desk.database.read(desk.scope) as view:
        events = await read_events(view, after=0, limit=1000)
    await desk.manager.telling.take(desk.database, desk.who.tenant.id, events)
    runs = [await desk.manager.telling.run(desk.database) for _ in range(2)]
    # A share of five hundred is two groups and a half.
    assert [(one.messages, one.notifications) for one in runs] == [(5, 500), (1, 100)]


async def test_processes_that_make_messages_share_what_a_channel_takes(
    desk: Desk, receiver: Receiver
) -> None:
    channel = await desk.channel(receiver.url, per_minute=10)
    await desk.route([{"channels": [channel]}], group_by=["..."])
    async with desk.database.transaction(desk.scope) as tx:
        for number in range(1100):
            await desk.manager.raise_alert(tx, Raised(name=f"a{number}", severity="info"))
    await desk.app.sequence()
    async with desk.database.read(desk.scope) as view:
        events = await read_events(view, after=0, limit=2000)
    await desk.manager.telling.take(desk.database, desk.who.tenant.id, events)
    runs = await asyncio.gather(*(desk.manager.telling.run(desk.database) for _ in range(3)))
    assert sum(one.messages for one in runs) == 10


async def test_what_was_over_before_anybody_was_told_is_not_told(
    desk: Desk, receiver: Receiver
) -> None:
    await desk.route([{"channels": [await desk.channel(receiver.url)]}])
    alert_id = await desk.raised()
    await desk.http.post(f"/api/v1/alerts/{alert_id}/resolve", json={})
    await desk.tell()
    assert receiver.got == []
    assert await desk.states(alert_id) == [(0, "fired", "dropped")]


async def test_alerts_of_a_group_go_in_one_message(desk: Desk, receiver: Receiver) -> None:
    channel = await desk.channel(receiver.url)
    await desk.route([{"channels": [channel]}], group_by=["team"])
    for name in ("one", "two", "three"):
        await desk.raised(name, labels={"team": "data"})
    await desk.raised("four", labels={"team": "web"})
    await desk.tell()
    names = sorted(sorted(a["name"] for a in one["alerts"]) for one in receiver.messages)
    assert names == [["four"], ["one", "three", "two"]]
    assert {one["group"]["team"] for one in receiver.messages} == {"data", "web"}


async def test_a_silence_a_snooze_and_another_alert_keep_it_quiet(
    desk: Desk, receiver: Receiver
) -> None:
    channel = await desk.channel(receiver.url)
    keeps = {"source": 'severity="critical"', "target": 'severity="info"', "equal": ["team"]}
    await desk.route([{"channels": [channel]}], group_by=["..."], inhibitions=[keeps])
    silence = await desk.make(
        "silences",
        matchers='team="db"',
        ends_at=(datetime.now(UTC) + timedelta(hours=1)).isoformat(),
        reason="It moves",
    )
    silenced = await desk.raised("silenced", labels={"team": "db"})
    snoozed = await desk.raised("snoozed", labels={"team": "x"})
    await desk.http.post(f"/api/v1/alerts/{snoozed}/snooze", json={"seconds": 3600})
    await desk.raised("loud", severity="critical", labels={"team": "web"})
    kept = await desk.raised("kept", severity="info", labels={"team": "web"})
    await desk.tell()
    assert [one["alerts"][0]["name"] for one in receiver.messages] == ["loud"]
    held = {}
    for alert_id in (silenced, snoozed, kept):
        found = (await desk.http.get(f"/api/v1/alerts/{alert_id}/notifications")).json()["items"]
        held[alert_id] = found[0]["held_by"]
    assert held[silenced] == f"silence:{silence['id']}"
    of_it = (await desk.http.get(f"/api/v1/alerts/{silenced}")).json()
    told = [(one["kind"], one["text"]) for one in of_it["notes"][1:]]
    assert told == [("silenced", silence["id"])]
    assert of_it["silenced_by"] == [silence["id"]]
    assert (await desk.http.get(f"/api/v1/alerts/{kept}")).json()["silenced_by"] == []
    looked_back = (await desk.http.get("/api/v1/alert-history")).json()
    assert looked_back["silenced"] == 1
    assert held[snoozed] == "snoozed"
    assert held[kept].startswith("alert:")
    await desk.make(f"silences/{silence['id']}/expire", status=200)
    assert (await desk.http.get(f"/api/v1/alerts/{silenced}")).json()["silenced_by"] == []
    await desk.later(minutes=5)
    await desk.tell()
    assert [one["alerts"][0]["name"] for one in receiver.messages] == ["loud", "silenced"]


async def test_what_refuses_for_good_fails_and_another_channel_is_told(
    desk: Desk, receiver: Receiver
) -> None:
    other = await desk.channel(receiver.url, "other")
    channel = await desk.channel(receiver.url, "first", fallback_id=other)
    await desk.route([{"channels": [channel]}])
    receiver.answers = [410]
    alert_id = await desk.raised()
    await desk.tell()
    await desk.tell()
    assert len(receiver.got) == 2
    assert len(set(receiver.keys)) == 2
    assert sorted(await desk.states(alert_id)) == [(0, "fired", "failed"), (0, "fired", "sent")]
    notes = (await desk.http.get(f"/api/v1/alerts/{alert_id}")).json()["notes"]
    assert [one["text"] for one in notes if one["kind"] == "not_told"] == ["first: It answered 410"]


async def test_what_does_not_answer_is_told_again_under_the_same_key(
    desk: Desk, receiver: Receiver
) -> None:
    await desk.route([{"channels": [await desk.channel(receiver.url)]}])
    receiver.answers = [503, 500]
    alert_id = await desk.raised()
    await desk.tell()
    for _ in range(2):
        jobs = (await desk.http.get("/api/v1/jobs", params={"kind": TELL_JOB})).json()["items"]
        await desk.http.post(f"/api/v1/jobs/{jobs[0]['id']}/retry")
        await desk.tell()
    assert len(receiver.got) == 3
    assert len(set(receiver.keys)) == 1
    assert await desk.states(alert_id) == [(0, "fired", "sent")]


async def test_who_asks_to_be_left_alone_is_told_again_no_sooner(
    desk: Desk, receiver: Receiver
) -> None:
    await desk.route([{"channels": [await desk.channel(receiver.url)]}])
    receiver.answers, receiver.more_headers = [429], {"Retry-After": "600"}
    await desk.raised()
    await desk.hear()
    await desk.manager.telling.run(desk.database)
    jobs = desk.app.platform.of(OrchestratorManager)
    worker = Worker(desk.database, jobs, [jobs.kinds[TELL_JOB]], poll_seconds=0.02)
    running = asyncio.create_task(worker.run())
    found: Sequence[Job] = ()
    for _ in range(500):
        async with desk.database.read(desk.scope) as tx:
            found = await jobs.list_jobs(tx, kind=TELL_JOB)
        if [(one.attempt, one.state) for one in found] == [(1, "ready")]:
            break
        await asyncio.sleep(0.1)
    worker.stop()
    await running
    (job,) = found
    assert job.error == "It answered 429"
    assert job.started_at is not None
    assert 590 <= (job.due_at - job.started_at).total_seconds() <= 660


async def test_mail_is_one_message_of_ours(desk: Desk) -> None:
    made = await desk.make(
        "alert-channels", name="mail", kind="email", to=["ada@example.com", "bob@example.com"]
    )
    await desk.route([{"channels": [made["id"]]}])
    await desk.raised(summary="Nothing came")
    for _ in range(2):
        await desk.tell()
    (mail,) = (await desk.http.get("/api/v1/emails")).json()["items"]
    assert mail["subject"] == "[WARNING] Import stands still"


async def test_a_picture_that_is_refused_keeps_no_mail_back(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def drawn(*args: Any) -> Mapping[str, Picture]:
        return {str(one["id"]): Picture(b"a picture", "a graph") for one in args[-1]}

    mails = desk.app.platform.of(EmailManager)
    refusing = mails._settings.model_copy(update={"max_attachments_bytes": 0})
    monkeypatch.setattr(mails, "_settings", refusing)
    monkeypatch.setattr(desk.manager.sending._picturing, "of", drawn)
    made = await desk.make("alert-channels", name="mail", kind="email", to=["ada@example.com"])
    await desk.route([{"channels": [made["id"]]}])
    alert_id = await desk.raised()
    await desk.tell()
    assert await desk.states(alert_id) == [(0, "fired", "sent")]
    (mail,) = (await desk.http.get("/api/v1/emails")).json()["items"]
    content = (await desk.http.get(f"/api/v1/emails/{mail['id']}/content")).json()
    assert (content["html"], content["attachments"]) == (None, [])


async def test_mail_shows_the_graph_of_what_the_rule_looked_at(desk: Desk) -> None:
    made = await desk.make("alert-channels", name="mail", kind="email", to=["ada@example.com"])
    await desk.route([{"channels": [made["id"]]}], group_by=["..."])
    metrics, now = desk.app.platform.of(MetricsManager), datetime.now(UTC)
    items = [
        Item(
            name="queue_length",
            kind="gauge",
            value=float(number),
            labels={"queue": queue},
            at=now - timedelta(minutes=number),
        )
        for queue in ("mail", "other")
        for number in range(90, 0, -1)
    ]
    await metrics.recording.record(desk.database, desk.scope, items)
    await metrics.fold(desk.database)
    await metrics.roll_up(desk.database)
    condition = {
        "kind": "metric",
        "metric": "queue_length",
        "aggregate": "avg",
        "compare": ">",
        "threshold": 40,
        "by": ["queue"],
    }
    rule = await desk.make(
        "alert-rules", name="Queue is long", severity="warning", condition=condition
    )
    of_rule = await desk.raised("Queue is long", labels={"queue": "mail"})
    await desk.raised("Import stands still")
    async with desk.database.transaction(desk.scope) as tx:
        row = await tx.scalar(
            sa.select(AlertRow).where(AlertRow.tenant_id == tx.tenant_id, AlertRow.id == of_rule)
        )
        row.rule_id = rule["id"]
    for _ in range(2):
        await desk.tell()
    mails = (await desk.http.get("/api/v1/emails")).json()["items"]
    contents = {
        one["subject"]: (await desk.http.get(f"/api/v1/emails/{one['id']}/content")).json()
        for one in mails
    }
    assert set(contents) == {"[WARNING] Queue is long", "[WARNING] Import stands still"}
    plain = contents["[WARNING] Import stands still"]
    assert (plain["html"], plain["attachments"]) == (None, [])
    shown = contents["[WARNING] Queue is long"]
    (picture,) = shown["attachments"]
    assert (picture["content_type"], picture["content_id"]) == ("image/png", f"graph-{of_rule}")
    assert 1000 < picture["size_bytes"] < 40_000
    assert f'src="cid:graph-{of_rule}"' in shown["html"]
    assert "Graph: Queue is long: queue = mail, " in shown["text"]
    assert "the threshold is 40" in shown["text"]


async def test_a_syslog_receiver_gets_a_message_for_each_alert(desk: Desk, tmp_path: Path) -> None:
    async with syslog.receiver(tmp_path) as siem:
        refused = await desk.http.post(
            "/api/v1/alert-channels",
            json={"name": "siem", "kind": "syslog", "url": "https://siem.example.com"},
        )
        assert refused.json()["code"] == "alerting.channel_invalid"
        channel = await desk.channel(
            f"syslog://127.0.0.1:{siem.port}", "siem", kind="syslog", ca_certificate=siem.ca
        )
        await desk.route([{"channels": [channel]}], group_by=[])
        ids = {await desk.raised(name, severity="critical") for name in ("one", "two")}
        await desk.tell()
    seen = [syslog.parsed(one) for one in siem.messages]
    assert {json.loads(text)["id"] for _, text in seen} == ids
    assert {json.loads(text)["kind"] for _, text in seen} == {"alert.fired"}
    assert {header[0] for header, _ in seen} == {str(14 * 8 + 2)}


async def test_an_n8n_workflow_is_told_with_its_token(desk: Desk, receiver: Receiver) -> None:
    channel = await desk.channel(receiver.url, "flow", kind="n8n", token="its-own-token")
    await desk.route([{"channels": [channel]}])
    await desk.raised()
    await desk.tell()
    ((headers, body),) = receiver.got
    assert headers["authorization"] == "Bearer its-own-token"
    assert headers["webhook-signature"].startswith("v1,")
    assert json.loads(body)["kind"] == "alert.fired"
    shown = (await desk.http.get(f"/api/v1/alert-channels/{channel}")).text
    assert "its-own-token" not in shown


async def test_who_is_on_call_at_that_moment_is_told_and_else_who_comes_next(
    desk: Desk, receiver: Receiver
) -> None:
    user_id = await desk.member("ada@example.com")
    layer: dict[str, Any] = {"people": [f"user:{user_id}"], "every": 1, "unit": "weeks"}
    layer |= {"start": "2020-01-06T00:00", "zone": "UTC"}
    schedule = await desk.make("on-call-schedules", name="Primary", layers=[layer])
    duty = await desk.make(
        "alert-channels", name="duty", kind="on_call", schedule_id=schedule["id"]
    )
    then = {"channels": [await desk.channel(receiver.url)], "after_seconds": 3600}
    await desk.route([{"channels": [duty["id"]]}, then], group_by=["..."])
    told = await desk.raised()
    await desk.tell()
    (mail,) = (await desk.http.get("/api/v1/emails")).json()["items"]
    assert mail["to"] == ["ada@example.com"]
    assert (await desk.states(told))[1] == (1, "fired", "waiting")
    # Nobody is there before the first turn begins.
    layer["start"] = "2090-01-01T00:00"
    answer = await desk.http.put(
        f"/api/v1/on-call-schedules/{schedule['id']}", json={"name": "Primary", "layers": [layer]}
    )
    assert answer.status_code == 200, answer.text
    alone = await desk.raised("Nobody is there")
    for _ in range(2):
        await desk.tell()
    assert await desk.states(alone) == [(0, "fired", "failed"), (1, "fired", "sent")]
    notes = (await desk.http.get(f"/api/v1/alerts/{alone}")).json()["notes"]
    assert [one["text"] for one in notes if one["kind"] == "not_told"] == [
        "duty: Nobody is on call"
    ]
    refused = await desk.http.delete(f"/api/v1/on-call-schedules/{schedule['id']}")
    assert (refused.status_code, refused.json()["code"]) == (409, "alerting.schedule_in_use")


async def test_a_step_that_reaches_nobody_keeps_nobody_waiting(
    desk: Desk, receiver: Receiver
) -> None:
    names = ("refuses", "takes", "last")
    first, second, third = [await desk.channel(receiver.url, name) for name in names]
    steps: list[Mapping[str, Any]] = [
        {"channels": [first]},
        {"channels": [second], "after_seconds": 600},
        {"channels": [third], "after_seconds": 600},
    ]
    await desk.route(steps)
    receiver.answers = [410]
    alert_id = await desk.raised()
    for _ in range(2):
        await desk.tell()
    assert await desk.states(alert_id) == [
        (0, "fired", "failed"),
        (1, "fired", "sent"),
        (2, "fired", "waiting"),
    ]
    await desk.later(seconds=601)
    await desk.tell()
    assert (await desk.states(alert_id))[2] == (2, "fired", "sent")


@pytest.mark.parametrize("told_anyhow", [False, True])
async def test_a_step_whose_fallback_fails_as_well_keeps_nobody_waiting(
    desk: Desk, receiver: Receiver, *, told_anyhow: bool
) -> None:
    other = await desk.channel(receiver.url, "other")
    first = await desk.channel(receiver.url, "first", fallback_id=other)
    last = await desk.channel(receiver.url, "last")
    # What stands in may be told at this step anyhow: it is told once, and leaves nobody behind.
    steps: list[Mapping[str, Any]] = [
        {"channels": [first, other] if told_anyhow else [first]},
        {"channels": [last], "after_seconds": 3600},
    ]
    await desk.route(steps, group_by=["..."])
    receiver.answers = [410, 410]
    alert_id = await desk.raised()
    for _ in range(3):
        await desk.tell()
    assert await desk.states(alert_id) == [
        (0, "fired", "failed"),
        (0, "fired", "failed"),
        (1, "fired", "sent"),
    ]


async def test_another_tenants_channels_and_policies_are_not_there(
    app: App, receiver: Receiver
) -> None:
    ada, eve = [Desk(app, await app.caller("owner")) for _ in range(2)]
    channel = await ada.channel(receiver.url)
    refused = await eve.http.post(
        "/api/v1/alert-policies", json={"name": "p", "steps": [{"channels": [channel]}]}
    )
    assert (refused.status_code, refused.json()["code"]) == (422, "alerting.policy_invalid")
    await ada.route([{"channels": [channel]}])
    await eve.raised()
    await eve.tell()
    assert receiver.got == []
