"""Alerts that belong together are one incident, with one timeline, and what is learned stays."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from backend.core.context import Scope, SystemScope
from backend.core.events import read_events
from backend.managers.alerting import FORGETTING, AlertingManager
from backend.managers.alerting.models import AlertNoteRow, AlertRow, IncidentAlertRow, IncidentRow
from tests.support.platform import App, TenantClient


class Room:
    """A tenant whose alerts are gathered."""

    def __init__(self, app: App, who: TenantClient) -> None:
        self.app = app
        self.http = who.http
        self.tenant_id = who.tenant.id
        self.database = app.platform.database
        self.manager = app.platform.of(AlertingManager)
        self.scope = Scope("test", who.tenant.id)
        self.seen = 0

    async def gathers(self, *incidents: Mapping[str, Any]) -> None:
        said = {"tree": {}, "incidents": incidents}
        answer = await self.http.put("/api/v1/alert-routing", json=said)
        assert answer.status_code == 200, answer.text

    async def raised(self, name: str, **more: Any) -> str:
        body = {"name": name, "severity": "warning", **more}
        answer = await self.http.post("/api/v1/alerts", json=body)
        assert answer.status_code in {200, 201}, answer.text
        await self.hear()
        return str(answer.json()["id"])

    async def over(self, alert_id: str) -> None:
        await self.http.post(f"/api/v1/alerts/{alert_id}/resolve", json={})
        await self.hear()

    async def hear(self) -> None:
        """Hand over what happened since, twice, as a dispatcher that was killed would."""
        await self.app.sequence()
        async with self.database.read(self.scope) as view:
            events = await read_events(view, after=self.seen, limit=1000)
        if events:
            self.seen = events[-1].seq
            for _ in range(2):
                await self.manager.telling.take(self.database, self.tenant_id, events)

    async def list(self, **query: str) -> Sequence[Any]:
        answer = await self.http.get("/api/v1/incidents", params=query)
        assert answer.status_code == 200, answer.text
        return list(answer.json()["items"])

    async def get(self, incident_id: str) -> Any:
        return (await self.http.get(f"/api/v1/incidents/{incident_id}")).json()

    async def post(self, path: str, status: int = 200, **body: Any) -> Any:
        answer = await self.http.post(f"/api/v1/incidents{path}", json=body)
        assert answer.status_code == status, answer.text
        return answer.json() if answer.content else None


@pytest.fixture
async def room(app: App) -> Room:
    return Room(app, await app.caller("owner"))


async def test_alerts_that_agree_in_labels_are_one_incident_until_all_are_over(room: Room) -> None:
    await room.gathers({"matchers": 'severity=~"warning|critical"', "by": ["team"]})
    first = await room.raised("Slow", labels={"team": "data"})
    second = await room.raised("Down", severity="critical", labels={"team": "data"})
    await room.raised("Elsewhere", labels={"team": "web"})
    await room.raised("Only told", severity="info", labels={"team": "data"})
    web, data = await room.list()
    assert (data["title"], data["severity"]) == ("Slow (team=data)", "critical")
    assert (data["alerts"], data["firing"], data["state"]) == (2, 2, "open")
    assert (web["alerts"], web["gathered"]) == (1, True)
    await room.over(first)
    assert (await room.get(data["id"]))["firing"] == 1
    await room.over(second)
    ended = await room.get(data["id"])
    assert (ended["state"], ended["ended_by"]) == ("over", "system:alerting")
    assert [one["name"] for one in ended["items"]] == ["Slow", "Down"]
    said = [(one["kind"], one["alert"]) for one in ended["timeline"]]
    assert said[0] == ("fired", "Slow")
    assert ("opened", None) in said
    assert said.count(("joined", None)) == 2
    assert ("resolved", "Down") in said
    assert said[-1] == ("resolved", None)
    # What comes soon after opens it again; it is the same one.
    again = await room.raised("Slow again", labels={"team": "data"})
    assert (await room.get(data["id"]))["state"] == "open"
    await room.over(again)
    async with room.database.transaction(room.scope) as tx:
        row = await tx.scalar(
            sa.select(IncidentRow).where(
                IncidentRow.tenant_id == room.tenant_id, IncidentRow.id == data["id"]
            )
        )
        row.joins_until = row.started_at
    await room.raised("Much later", labels={"team": "data"})
    assert [one["title"] for one in await room.list(state="open")] == [
        "Much later (team=data)",
        "Elsewhere (team=web)",
    ]


async def test_what_fires_at_once_is_one_incident_and_counted_once(room: Room) -> None:
    await room.gathers({"matchers": "", "by": []})
    statements: list[str] = []

    def seen(_: Any, __: Any, statement: str, *___: Any) -> None:
        statements.append(statement)

    for number in range(20):
        body = {"name": f"a{number}", "severity": "info"}
        await room.http.post("/api/v1/alerts", json=body)
    engine = room.database.engine.sync_engine
    sa.event.listen(engine, "before_cursor_execute", seen)
    await room.hear()
    sa.event.remove(engine, "before_cursor_execute", seen)
    (one,) = await room.list()
    assert (one["alerts"], one["firing"], one["title"]) == (20, 20, "a0")
    counts = [text for text in statements if "count(*)" in text and "alert_incident" in text]
    assert len(counts) == 1


async def test_one_is_opened_by_hand_and_what_was_learned_is_kept(room: Room) -> None:
    alert_id = await room.raised("Disk")
    made = await room.post("", 201, title="We lose mail", severity="critical", alert_ids=[alert_id])
    path = f"/{made['id']}"
    assert (made["alerts"], made["gathered"]) == (1, False)
    await room.post(f"{path}/acknowledge")
    alert = (await room.http.get(f"/api/v1/alerts/{alert_id}")).json()
    assert alert["acknowledged_by"]
    await room.post(f"{path}/comments", 204, text="We look at the disk")
    await room.over(alert_id)
    assert (await room.get(made["id"]))["state"] == "open"
    await room.post(f"{path}/resolve", text="There is room again")
    refused = await room.http.post(f"/api/v1/incidents{path}/resolve", json={})
    assert (refused.status_code, refused.json()["code"]) == (409, "alerting.incident_over")
    said = {"title": "We lost mail", "severity": "critical", "cause": "Logs filled the disk"}
    url = f"/api/v1/incidents{path}"
    learned = await room.http.put(url, json=said, headers={"If-Match": '"1"'})
    assert learned.json()["cause"] == "Logs filled the disk"
    late = await room.http.put(url, json=said, headers={"If-Match": '"1"'})
    assert late.status_code == 412
    kinds = [one["kind"] for one in (await room.get(made["id"]))["timeline"]]
    assert kinds[-3:] == ["resolved", "resolved", "changed"]
    assert "commented" in kinds


async def test_an_alert_is_part_of_one_incident_and_of_its_own_tenants(app: App) -> None:
    ada, eve = [Room(app, await app.caller("owner")) for _ in range(2)]
    alert_id = await ada.raised("Disk")
    one = await ada.post("", 201, title="One", severity="info", alert_ids=[alert_id])
    two = await ada.post("", 201, title="Two", severity="info")
    moved = await ada.post(f"/{two['id']}/alerts", alert_ids=[alert_id])
    assert (moved["alerts"], (await ada.get(one["id"]))["alerts"]) == (1, 0)
    refused = await eve.http.post(
        "/api/v1/incidents", json={"title": "x", "severity": "info", "alert_ids": [alert_id]}
    )
    assert (refused.status_code, refused.json()["code"]) == (404, "alerting.alert_not_found")
    assert await eve.list() == []
    foreign = await eve.http.get(f"/api/v1/incidents/{one['id']}")
    assert foreign.status_code == 404


async def test_what_was_over_long_ago_is_forgotten_with_its_notes(room: Room) -> None:
    made = await room.post("", 201, title="Old", severity="info")
    await room.post(f"/{made['id']}/resolve")
    kept = await room.post("", 201, title="Open", severity="info")
    async with room.database.transaction(room.scope) as tx:
        row = await tx.scalar(
            sa.select(IncidentRow).where(
                IncidentRow.tenant_id == room.tenant_id, IncidentRow.id == made["id"]
            )
        )
        row.ended_at = row.ended_at.replace(year=row.ended_at.year - 2)
    async with room.database.transaction(SystemScope(FORGETTING)) as tx:
        assert await room.manager.sweep(tx) == 1
    assert [one["id"] for one in await room.list()] == [kept["id"]]
    async with room.database.read(room.scope) as view:
        for model, key in ((AlertNoteRow, "alert_id"), (IncidentAlertRow, "incident_id")):
            left = sa.select(sa.func.count()).select_from(model)
            left = left.where(model.tenant_id == room.tenant_id)
            assert await view.scalar(left.where(getattr(model, key) == made["id"])) == 0


async def test_the_bell_counts_what_fires_and_what_nobody_sees_to(room: Room) -> None:
    one = await room.raised("One", severity="critical")
    await room.raised("Two")
    await room.over(await room.raised("Three"))
    await room.http.post(f"/api/v1/alerts/{one}/acknowledge", json={})
    found = (await room.http.get("/api/v1/alerts-firing")).json()
    assert found == {"critical": 1, "warning": 1, "info": 0, "unseen": 1}


async def test_a_look_back_says_how_soon_and_what_is_noise(room: Room) -> None:
    ids = []
    for _ in range(5):
        alert_id = await room.raised("Flaps", severity="critical")
        await room.over(alert_id)
        ids.append(alert_id)
    seen = await room.raised("Seen")
    await room.http.post(f"/api/v1/alerts/{seen}/acknowledge", json={})
    async with room.database.transaction(room.scope) as tx:
        rows = await tx.scalars(sa.select(AlertRow).where(AlertRow.tenant_id == room.tenant_id))
        for row in rows:
            if row.name == "Flaps":
                row.ended_at = row.fired_at + timedelta(seconds=60 * (ids.index(row.id) + 1))
            else:
                row.acknowledged_at = row.fired_at + timedelta(seconds=30)
    found = (await room.http.get("/api/v1/alert-history", params={"days": 7})).json()
    assert (found["fired"], found["unseen"], found["complete"]) == (6, 5, True)
    assert found["by_severity"] == {"critical": 5, "warning": 1}
    assert found["acknowledged"] == {"count": 1, "median": 30.0, "p90": 30.0}
    assert (found["resolved"]["count"], found["resolved"]["median"]) == (5, 180.0)
    assert 240 <= found["resolved"]["p90"] <= 300
    flaps, once = found["noise"]
    assert (flaps["name"], flaps["fired"], flaps["flapping"], flaps["unseen"]) == (
        "Flaps", 5, True, 5
    )  # fmt: skip
    assert (once["name"], once["flapping"], once["lasts"]["median"]) == ("Seen", False, None)
    assert len(found["days"]) == 8
    assert sum(one["fired"] for one in found["days"]) == 6
