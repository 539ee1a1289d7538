"""Alerts that somebody raises: one for one name and labels, until it is over."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from backend.core.context import SystemScope
from backend.core.ids import uuid7
from backend.managers.alerting import FORGETTING, AlertingManager
from backend.managers.alerting._raised import MAX_RAISED
from backend.managers.alerting.models import AlertNoteRow, AlertRow
from tests.integration.alerting.test_looking import Watch
from tests.support.platform import App, TenantClient

IMPORT = {"name": "Import stands still", "severity": "warning", "labels": {"team": "data"}}


@pytest.fixture
async def ada(app: App) -> TenantClient:
    return await app.caller("owner")


async def raised(who: TenantClient, **more: Any) -> Any:
    return await who.http.post("/api/v1/alerts", json={**IMPORT, **more})


async def kinds(who: TenantClient, alert_id: str) -> list[str]:
    found = (await who.http.get(f"/api/v1/alerts/{alert_id}")).json()
    return [note["kind"] for note in found["notes"]]


async def test_one_name_and_labels_are_one_alert_until_it_is_over(app: App) -> None:
    ada, eve = await app.caller("owner"), await app.caller("owner")
    answers = await asyncio.gather(*(raised(ada, summary=str(one)) for one in range(8)))
    assert sorted(one.status_code for one in answers) == [200] * 7 + [201]
    (alert_id,) = {one.json()["id"] for one in answers}
    worse = (await raised(ada, severity="critical", summary="Worse", value=3)).json()
    assert (worse["id"], worse["severity"], worse["summary"], worse["value"]) == (
        alert_id,
        "critical",
        "Worse",
        3,
    )
    assert worse["labels"] == {
        "team": "data",
        "alertname": "Import stands still",
        "severity": "critical",
    }
    for _ in range(2):
        assert (await raised(ada, severity="critical", summary="Worse")).status_code == 200
    asked = {"action": "alert.raised", "target": f"alert:{alert_id}"}
    trail = (await ada.http.get("/api/v1/audit", params=asked)).json()["items"]
    said_before = len({one.json()["summary"] for one in answers})
    assert 2 <= len(trail) <= said_before + 1
    other = (await raised(ada, labels={"team": "web"})).json()["id"]
    theirs = (await raised(eve)).json()["id"]
    assert len({alert_id, other, theirs}) == 3
    assert (await ada.http.post(f"/api/v1/alerts/{alert_id}/resolve", json={})).status_code == 200
    again = await raised(ada)
    assert again.status_code == 201
    assert again.json()["id"] != alert_id
    assert await kinds(ada, alert_id) == ["fired", "resolved"]


async def test_what_nobody_says_again_is_over_in_its_time(app: App, ada: TenantClient) -> None:
    manager, database = app.platform.of(AlertingManager), app.platform.database
    brief = (await raised(ada, lasts_seconds=60)).json()
    lasting = (await raised(ada, labels={"team": "web"})).json()
    assert lasting["expires_at"] is None
    await manager.look(database)
    assert await kinds(ada, brief["id"]) == ["fired"]
    async with Watch(app, ada).database.transaction(Watch(app, ada).scope) as tx:
        await tx.execute(
            sa.update(AlertRow)
            .where(AlertRow.tenant_id == tx.tenant_id, AlertRow.id == brief["id"])
            .values(expires_at=tx.now())
        )
    looks = await asyncio.gather(*(manager.look(database) for _ in range(3)))
    assert sum(one.resolved for one in looks) == 1
    assert await kinds(ada, brief["id"]) == ["fired", "resolved"]
    assert await kinds(ada, lasting["id"]) == ["fired"]
    over = (await ada.http.get(f"/api/v1/alerts/{brief['id']}")).json()
    assert (over["state"], over["expires_at"], over["ended_by"]) == (
        "over",
        None,
        "system:alerting",
    )


async def test_snoozing_and_assigning_are_told_and_end_with_the_alert(ada: TenantClient) -> None:
    of = f"/api/v1/alerts/{(await raised(ada)).json()['id']}"
    snoozed = (await ada.http.post(f"{of}/snooze", json={"seconds": 600})).json()
    assert snoozed["snoozed_until"] is not None
    woken = (await ada.http.post(f"{of}/snooze", json={"seconds": 0})).json()
    assert woken["snoozed_until"] is None
    for _ in range(2):
        given = await ada.http.post(f"{of}/assign", json={"assignee": "ada@example.com"})
        assert given.json()["assignee"] == "ada@example.com"
    assert await kinds(ada, of.rpartition("/")[2]) == ["fired", "snoozed", "woken", "assigned"]
    await ada.http.post(f"{of}/resolve", json={})
    for act, body in (("snooze", {"seconds": 1}), ("assign", {"assignee": None})):
        refused = await ada.http.post(f"{of}/{act}", json=body)
        assert (refused.status_code, refused.json()["code"]) == (409, "alerting.alert_over")


async def test_a_tenant_has_so_many_and_no_more(app: App, ada: TenantClient) -> None:
    first = (await raised(ada)).json()["id"]
    watch = Watch(app, ada)
    async with watch.database.transaction(watch.scope) as tx:
        own = {"id", "fingerprint"}
        columns = [each for each in AlertRow.__table__.columns if each.name not in own]
        row = (await tx.execute(sa.select(*columns).where(AlertRow.id == first))).mappings().one()
        await tx.insert(
            AlertRow,
            [
                {**row, "id": uuid7(), "fingerprint": str(number)}
                for number in range(MAX_RAISED - 1)
            ],
        )
    refused = await raised(ada, labels={"team": "web"})
    assert (refused.status_code, refused.json()["code"]) == (409, "alerting.too_many_alerts")
    assert (await raised(ada)).status_code == 200
    eve = await app.caller("owner")
    assert (await raised(eve)).status_code == 201


async def test_what_was_over_long_ago_is_forgotten_with_its_notes(
    app: App, ada: TenantClient
) -> None:
    manager, watch = app.platform.of(AlertingManager), Watch(app, ada)
    ids = [(await raised(ada, labels={"team": str(one)})).json()["id"] for one in range(3)]
    for one in ids[:2]:
        await ada.http.post(f"/api/v1/alerts/{one}/resolve", json={})
    async with watch.database.transaction(watch.scope) as tx:
        await tx.execute(
            sa.update(AlertRow)
            .where(AlertRow.tenant_id == tx.tenant_id, AlertRow.id == ids[0])
            .values(ended_at=tx.now() - timedelta(days=401))
        )
    async with watch.database.transaction(SystemScope(FORGETTING)) as tx:
        assert await manager.sweep(tx) == 1
        assert await manager.sweep(tx) == 0
    async with watch.database.read(watch.scope) as view:
        left = await view.scalars(sa.select(AlertRow.id).order_by(AlertRow.id))
        told = await view.scalars(sa.select(AlertNoteRow.alert_id).distinct())
    assert (list(left), sorted(told)) == (sorted(ids[1:]), sorted(ids[1:]))


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": ""},
        {"severity": "bad"},
        {"labels": {"1": "x"}},
        {"labels": {"a": "x" * 501}},
        {"labels": {f"l{n}": "" for n in range(21)}},
        {"lasts_seconds": 9},
        {"runbook_url": "javascript:alert(1)"},
        {"more": 1},
    ],
)
async def test_what_is_no_alert_is_refused(ada: TenantClient, wrong: dict[str, Any]) -> None:
    assert (await raised(ada, **wrong)).status_code == 422


async def test_all_that_fires_is_acknowledged_a_part_at_a_time(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backend.managers.alerting._alerts._PART", 2)
    http = (await app.caller("owner")).http
    for number in range(5):
        body = {"name": f"n{number}", "severity": "info", "labels": {"team": f"t{number % 2}"}}
        assert (await http.post("/api/v1/alerts", json=body)).status_code == 201
    cursor, parts = None, []
    while True:
        body = {"matchers": 'team="t0"', "cursor": cursor}
        done = (await http.post("/api/v1/alerts/acknowledge", json=body)).json()
        parts.append(done["acknowledged"])
        cursor = done["next_cursor"]
        if cursor is None:
            break
    assert parts == [2, 1]
    found = (await http.get("/api/v1/alerts")).json()["items"]
    seen = {one["name"] for one in found if one["acknowledged_at"]}
    assert seen == {"n0", "n2", "n4"}
