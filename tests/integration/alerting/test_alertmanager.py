"""Alertmanager's API: what is sent to it fires, and what it tells is what the room knows."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from backend.core.clock import system_clock
from backend.managers.alerting import AlertingManager
from tests.support.platform import App, TenantClient

API = "/alertmanager/api/v2"
DISK = {"alertname": "DiskFull", "severity": "critical", "instance": "db1"}


@pytest.fixture
async def ada(app: App) -> TenantClient:
    return await app.caller("owner")


def at(**later: int) -> str:
    return (system_clock() + timedelta(**later)).isoformat()


async def post(who: TenantClient, *told: Any, path: str = f"{API}/alerts") -> Any:
    return await who.http.post(path, json=list(told))


async def shown(who: TenantClient, **asked: Any) -> Any:
    answer = await who.http.get(f"{API}/alerts", params=asked)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def own(who: TenantClient) -> list[Any]:
    found: list[Any] = (await who.http.get("/api/v1/alerts")).json()["items"]
    return found


async def silence(who: TenantClient, **more: Any) -> Any:
    body = {
        "matchers": [{"name": "instance", "value": "db.*", "isRegex": True}],
        "startsAt": at(),
        "endsAt": at(hours=1),
        "createdBy": "root",
        "comment": "It moves",
    }
    return await who.http.post(f"{API}/silences", json={**body, **more})


class TestPostAlerts:
    async def test_one_fires_until_its_end(self, app: App, ada: TenantClient) -> None:
        told = {
            "labels": {**DISK, "empty": ""},
            "annotations": {
                "summary": "A disk is full",
                "description": "of db1",
                "runbook_url": "https://wiki.example.test/disk",
            },
            "startsAt": at(minutes=-3),
            "endsAt": at(minutes=4),
            "generatorURL": "http://prometheus.example.test/graph",
            "of a newer version": 1,
        }
        answer = await post(ada, told, told)
        assert (answer.status_code, answer.content) == (200, b"")
        (alert,) = await own(ada)
        assert alert["labels"] == DISK
        assert alert["source"] == "prometheus"
        assert (alert["name"], alert["severity"]) == ("DiskFull", "critical")
        assert alert["summary"] == "A disk is full\nof db1"
        assert alert["runbook_url"] == "https://wiki.example.test/disk"
        assert alert["since"] < alert["fired_at"] < alert["expires_at"]
        (same,) = await shown(ada)
        assert same["labels"] == DISK
        assert same["startsAt"] == alert["since"]
        assert same["endsAt"] == alert["expires_at"]
        assert same["annotations"]["summary"] == alert["summary"]
        assert same["fingerprint"] == alert["fingerprint"]
        assert same["receivers"] == [{"name": "nobody"}]
        assert same["status"] == {
            "state": "active",
            "silencedBy": [],
            "inhibitedBy": [],
            "mutedBy": [],
        }
        await post(ada, {**told, "endsAt": at(seconds=-1)})
        assert await shown(ada) == []
        (over,) = await own(ada)
        assert over["id"] == alert["id"]
        assert over["state"] == "over"
        trail = (await ada.http.get("/api/v1/audit")).json()["items"]
        acts = [one["action"] for one in trail if one["target"] == f"alert:{alert['id']}"]
        assert sorted(acts) == ["alert.raised", "alert.resolved"]
        # Nobody knows it: that it is over is nothing to tell.
        assert (await post(ada, {**told, "endsAt": at(seconds=-1)})).status_code == 200
        assert len(await own(ada)) == 1

    async def test_without_an_end_it_lasts_five_minutes(self, ada: TenantClient) -> None:
        zero = "0001-01-01T00:00:00.000Z"
        assert (await post(ada, {"labels": DISK, "startsAt": zero, "endsAt": zero})).is_success
        (alert,) = await own(ada)
        (same,) = await shown(ada)
        assert at(minutes=4) < same["endsAt"].replace("Z", "+00:00") < at(minutes=6)
        assert alert["summary"] == ""

    async def test_what_cannot_be_taken_is_refused_by_itself(self, ada: TenantClient) -> None:
        answer = await post(
            ada,
            {"labels": {"alertname": "Good"}},
            {"labels": {"a-b": "c"}},
            {"labels": {"empty": ""}},
            {"labels": {"alertname": "Late"}, "startsAt": at(), "endsAt": at(hours=-1)},
            {"labels": {"alertname": "x" * 201}},
            {"labels": {f"l{n}": "v" for n in range(65)}},
        )
        assert answer.status_code == 400
        assert answer.headers["content-type"] == "application/json"
        said = answer.json()
        assert said.split("; ")[:3] == [
            "unnamed: invalid label name 'a-b'",
            "at least one label pair required",
            "Late: start time must be before end time",
        ]
        assert [one["name"] for one in await own(ada)] == ["Good"]
        malformed = await post(ada, {"annotations": {}})
        assert malformed.status_code == 400
        assert malformed.json().endswith("Field required")

    @pytest.mark.parametrize(
        ("told", "severity"),
        [("page", "critical"), ("Warning", "warning"), ("info", "info"), ("none", "info")],
    )
    async def test_a_severity_of_theirs_stays_their_label(
        self, ada: TenantClient, told: str, severity: str
    ) -> None:
        await post(ada, {"labels": {**DISK, "severity": told}})
        (alert,) = await own(ada)
        assert (alert["severity"], alert["labels"]["severity"]) == (severity, told)

    async def test_a_summary_that_says_the_value_is_audited_once(self, ada: TenantClient) -> None:
        for value in range(3):
            await post(ada, {"labels": DISK, "annotations": {"summary": f"{value} %"}})
        (alert,) = await own(ada)
        assert alert["summary"] == "2 %"
        asked = {"action": "alert.raised", "target": f"alert:{alert['id']}"}
        trail = (await ada.http.get("/api/v1/audit", params=asked)).json()["items"]
        assert len(trail) == 1

    async def test_two_servers_send_the_same_at_once(self, ada: TenantClient) -> None:
        told = [{"labels": {**DISK, "n": str(n)}} for n in range(30)]
        answers = await asyncio.gather(post(ada, *told), post(ada, *reversed(told)))
        assert [one.status_code for one in answers] == [200, 200]
        assert len(await shown(ada)) == 30

    async def test_many_are_taken_in_parts(self, ada: TenantClient) -> None:
        told = [{"labels": {"alertname": "Many", "n": str(n)}} for n in range(250)]
        assert (await post(ada, *told)).status_code == 200
        assert len(await shown(ada)) == 250

    async def test_who_may_not_is_refused(self, app: App, ada: TenantClient) -> None:
        viewer = await app.caller("viewer", ada.tenant)
        assert (await post(viewer, {"labels": DISK})).status_code == 403
        assert (await viewer.http.get(f"{API}/alerts")).status_code == 200
        assert (await silence(viewer)).status_code == 403
        async with app.client() as nobody:
            assert (await nobody.get(f"{API}/alerts")).status_code == 401
            assert (await nobody.get(f"{API}/status")).status_code == 401
        eve = await app.caller("owner")
        await post(ada, {"labels": DISK})
        assert await shown(eve) == []


class TestGetAlerts:
    async def test_filters_as_alertmanager_does(self, ada: TenantClient) -> None:
        await post(ada, {"labels": DISK}, {"labels": {**DISK, "instance": "web1"}})
        assert (await silence(ada)).is_success
        named = {one["labels"]["instance"]: one for one in await shown(ada)}
        assert named["web1"]["status"]["state"] == "active"
        assert named["db1"]["status"]["state"] == "suppressed"
        assert len(named["db1"]["status"]["silencedBy"]) == 1

        async def instances(**asked: Any) -> list[str]:
            return sorted(one["labels"]["instance"] for one in await shown(ada, **asked))

        assert await instances(silenced="false") == ["web1"]
        assert await instances(active="false") == ["db1"]
        assert await instances(filter=['instance=~"db.*"', 'alertname="DiskFull"']) == ["db1"]
        assert await instances(filter="instance!=db1") == ["web1"]
        assert await instances(receiver="no.*") == ["db1", "web1"]
        assert await instances(receiver="no") == []
        wrong = await ada.http.get(f"{API}/alerts", params={"filter": "="})
        assert wrong.status_code == 400
        assert isinstance(wrong.json(), str)
        assert (await ada.http.get(f"{API}/alerts", params={"receiver": "("})).status_code == 400

    async def test_says_whom_they_reach_and_what_keeps_them_quiet(self, ada: TenantClient) -> None:
        channel = await ada.http.post(
            "/api/v1/alert-channels",
            json={"name": "Mail", "kind": "email", "to": ["ada@example.test"]},
        )
        policies = []
        for name in ("Database", "Web"):
            body = {"name": name, "steps": [{"channels": [channel.json()["id"]]}]}
            policies.append((await ada.http.post("/api/v1/alert-policies", json=body)).json()["id"])
        routing = {
            "tree": {
                "group_by": ["alertname"],
                "children": [
                    {"matchers": 'instance=~"db.*"', "policy": policies[0], "goes_on": True},
                    {"matchers": 'instance=~"db1|web.*"', "policy": policies[1]},
                ],
            },
            "inhibitions": [
                {"source": "severity=critical", "target": "severity=warning", "equal": ["instance"]}
            ],
        }
        assert (await ada.http.put("/api/v1/alert-routing", json=routing)).is_success
        await post(
            ada,
            {"labels": DISK},
            {"labels": {**DISK, "alertname": "Slow", "severity": "warning"}},
            {"labels": {**DISK, "instance": "other"}},
        )
        found = {
            (one["labels"]["alertname"], one["labels"]["instance"]): one for one in await shown(ada)
        }
        names = {key: [who["name"] for who in one["receivers"]] for key, one in found.items()}
        assert names == {
            ("DiskFull", "db1"): ["Database", "Web"],
            ("Slow", "db1"): ["Database", "Web"],
            ("DiskFull", "other"): ["nobody"],
        }
        quiet = found["Slow", "db1"]["status"]
        assert quiet["state"] == "suppressed"
        assert quiet["inhibitedBy"] == [found["DiskFull", "db1"]["fingerprint"]]
        assert len(await shown(ada, inhibited="false")) == 2
        groups = (await ada.http.get(f"{API}/alerts/groups")).json()
        assert sorted(
            (one["receiver"]["name"], one["labels"]["alertname"], len(one["alerts"]))
            for one in groups
        ) == [
            ("Database", "DiskFull", 1),
            ("Database", "Slow", 1),
            ("Web", "DiskFull", 1),
            ("Web", "Slow", 1),
            ("nobody", "DiskFull", 1),
        ]
        told = (await ada.http.get(f"{API}/receivers")).json()
        assert told == [{"name": "Database"}, {"name": "Web"}, {"name": "nobody"}]

    async def test_one_that_is_snoozed_is_quiet(self, ada: TenantClient) -> None:
        await post(ada, {"labels": DISK})
        (alert,) = await own(ada)
        await ada.http.post(f"/api/v1/alerts/{alert['id']}/snooze", json={"seconds": 600})
        (quiet,) = await shown(ada)
        assert quiet["status"]["state"] == "suppressed"
        assert quiet["status"]["mutedBy"] == ["snoozed"]
        assert await shown(ada, muted="false") == []

    async def test_says_that_it_runs(self, app: App, ada: TenantClient) -> None:
        told = (await ada.http.get(f"{API}/status")).json()
        assert told["cluster"]["status"] == "disabled"
        assert told["uptime"].startswith(str(app.platform.of(AlertingManager).began_at.year))
        assert told["versionInfo"]["version"]


class TestSilences:
    async def test_it_is_the_one_that_the_console_shows(self, ada: TenantClient) -> None:
        made = await silence(ada)
        assert made.status_code == 200
        silence_id = made.json()["silenceID"]
        (kept,) = (await ada.http.get("/api/v1/silences")).json()["items"]
        assert kept["id"] == silence_id
        assert kept["matchers"] == 'instance=~"db.*"'
        assert kept["reason"] == "It moves (root)"
        told = (await ada.http.get(f"{API}/silence/{silence_id}")).json()
        assert told["createdBy"] == kept["created_by"]
        assert told["matchers"] == [
            {"name": "instance", "value": "db.*", "isRegex": True, "isEqual": True}
        ]
        assert told["status"] == {"state": "active"}
        assert [one["id"] for one in (await ada.http.get(f"{API}/silences")).json()] == [silence_id]
        for _ in range(2):
            gone = await ada.http.delete(f"{API}/silence/{silence_id}")
            assert (gone.status_code, gone.content) == (200, b"")
        told = (await ada.http.get(f"{API}/silence/{silence_id}")).json()
        assert told["status"] == {"state": "expired"}
        trail = (await ada.http.get("/api/v1/audit")).json()["items"]
        acts = [one["action"] for one in trail if one["target"] == f"silence:{silence_id}"]
        assert sorted(acts) == ["silence.created", "silence.expired"]

    async def test_with_its_id_it_is_changed(self, ada: TenantClient) -> None:
        first = (await silence(ada)).json()["silenceID"]
        told = (await ada.http.get(f"{API}/silence/{first}")).json()
        longer = {**told, "endsAt": at(hours=5)}
        again = await ada.http.post(f"{API}/silences", json=longer)
        assert again.json()["silenceID"] == first
        kept = (await ada.http.get(f"/api/v1/silences/{first}")).json()
        assert kept["reason"] == "It moves (root)"
        assert kept["ends_at"] > told["endsAt"]
        await ada.http.delete(f"{API}/silence/{first}")
        another = (await silence(ada, id=first)).json()["silenceID"]
        assert another != first
        unknown = await silence(ada, id="01234567-89ab-7def-8123-456789abcdef")
        assert unknown.status_code == 404
        assert isinstance(unknown.json(), str)

    async def test_refuses_what_would_silence_all(self, ada: TenantClient) -> None:
        all_of_them = [{"name": "team", "value": "db", "isRegex": False, "isEqual": False}]
        answer = await silence(ada, matchers=all_of_them)
        assert answer.status_code == 400
        assert answer.json() == "At least one matcher has to ask for a label that is there"
        assert (await silence(ada, endsAt=at(days=400))).status_code == 400

    async def test_maintenance_waits_for_its_window(self, ada: TenantClient) -> None:
        days = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
        day = days[(system_clock().weekday() + 3) % 7]
        body = {
            "matchers": 'instance="db1"',
            "ends_at": at(days=2),
            "reason": "It moves",
            "windows": [{"days": [day], "from": "01:00", "until": "02:00", "zone": "UTC"}],
        }
        made = (await ada.http.post("/api/v1/silences", json=body)).json()
        (told,) = (await ada.http.get(f"{API}/silences", params={"filter": "instance=db1"})).json()
        assert told["id"] == made["id"]
        assert told["status"] == {"state": "pending"}
        again = await ada.http.post(f"{API}/silences", json=told)
        assert again.json() == {"silenceID": made["id"]}
        kept = (await ada.http.get(f"/api/v1/silences/{made['id']}")).json()
        assert kept["windows"] == made["windows"]


class TestGrafana:
    async def test_what_its_webhook_tells_fires_and_ends(self, ada: TenantClient) -> None:
        one = {
            "status": "firing",
            "labels": {"alertname": "High load", "grafana_folder": "Ops", "of team": "db"},
            "annotations": {"summary": "The load is high"},
            "startsAt": at(minutes=-2),
            "endsAt": "0001-01-01T00:00:00Z",
            "generatorURL": "https://grafana.example.test/alerting/1/view",
            "fingerprint": "c6eadffa33fcdf37",
            "silenceURL": "https://grafana.example.test/alerting/silence/new",
            "dashboardURL": "",
            "values": {"B": 44.5},
            "valueString": "[ var='B' labels={} value=44.5 ]",
        }
        body = {
            "receiver": "Email Sender",
            "status": "firing",
            "alerts": [one],
            "groupLabels": {"alertname": "High load"},
            "externalURL": "https://grafana.example.test/",
            "version": "1",
            "orgId": 1,
            "title": "[FIRING:1]",
            "message": "**Firing**",
            "truncatedAlerts": 0,
        }
        answer = await ada.http.post("/api/v1/alerts/grafana", json=body)
        assert answer.status_code == 200, answer.text
        assert answer.json() == {"taken": 1, "refused": []}
        (alert,) = await own(ada)
        assert alert["source"] == "grafana"
        assert (alert["name"], alert["value"], alert["expires_at"]) == ("High load", 44.5, None)
        assert alert["labels"]["of_team"] == "db"
        resolved = {**one, "status": "resolved", "endsAt": at(), "values": None}
        await ada.http.post("/api/v1/alerts/grafana", json={**body, "alerts": [resolved]})
        (over,) = await own(ada)
        assert (over["id"], over["state"]) == (alert["id"], "over")

    async def test_says_what_it_refuses(self, ada: TenantClient) -> None:
        told = [{"status": "firing", "labels": labels} for labels in ({"alertname": "A"}, {})]
        answer = await ada.http.post("/api/v1/alerts/grafana", json={"alerts": told})
        assert answer.json() == {"taken": 1, "refused": ["at least one label pair required"]}
