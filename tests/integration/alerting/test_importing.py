"""Rule files are imported: all at once or not at all, again as changes, and first of all tried."""

from typing import Any

import pytest

from tests.support.platform import App, TenantClient

PATH = "/api/v1/alert-rules/import"
FILE = """
groups:
  - name: orders
    interval: 30s
    rules:
      - record: orders:rate5m
        expr: rate(orders_total[5m])
      - alert: OrdersStopped
        expr: orders:rate5m == 0
        for: 10m
        labels: {severity: critical}
        annotations: {summary: "No orders in {{ $labels.shop }}"}
      - alert: OrdersSlow
        expr: orders_seconds > 3
        labels: {severity: warning}
      - alert: Broken
        expr: sum(
"""


@pytest.fixture
async def ada(app: App) -> TenantClient:
    return await app.caller("operator")


async def sent(who: TenantClient, content: str = FILE, **asked: Any) -> Any:
    headers = {"Content-Type": "application/yaml"}
    answer = await who.http.post(PATH, content=content, params=asked, headers=headers)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def rules(who: TenantClient) -> dict[str, Any]:
    found = (await who.http.get("/api/v1/alert-rules")).json()["items"]
    return {one["name"]: one for one in found}


def outcomes(told: Any) -> list[tuple[str, str]]:
    return [(one["name"], one["outcome"]) for one in told["rules"]]


async def test_a_dry_run_says_what_would_be_and_changes_nothing(ada: TenantClient) -> None:
    told = await sent(ada, dry_run=True)
    assert outcomes(told) == [
        ("orders:rate5m", "refused"),
        ("OrdersStopped", "created"),
        ("OrdersSlow", "created"),
        ("Broken", "refused"),
    ]
    assert (told["dry_run"], told["created"], told["refused"]) == (True, 2, 2)
    assert told["rules"][0]["reason"].startswith("A recording rule")
    assert told["rules"][3]["reason"].startswith("expr: ")
    assert await rules(ada) == {}


async def test_rules_are_made_and_then_changed(app: App, ada: TenantClient) -> None:
    told = await sent(ada)
    kept = await rules(ada)
    assert sorted(kept) == ["OrdersSlow", "OrdersStopped"]
    stopped = kept["OrdersStopped"]
    assert stopped["condition"] == {"kind": "prometheus", "query": "orders:rate5m == 0"}
    assert (stopped["severity"], stopped["hold_seconds"]) == ("critical", 600)
    assert (stopped["every_seconds"], stopped["summary"]) == (30, "No orders in {shop}")
    assert [one["rule_id"] for one in told["rules"]][1] == stopped["id"]

    off = {**stopped, "enabled": False}
    wanted = (
        "name",
        "condition",
        "severity",
        "hold_seconds",
        "every_seconds",
        "summary",
        "enabled",
    )
    path = f"/api/v1/alert-rules/{stopped['id']}"
    answer = await ada.http.put(path, json={name: off[name] for name in wanted})
    assert answer.status_code == 200, answer.text
    assert outcomes(await sent(ada))[1:3] == [
        ("OrdersStopped", "unchanged"),
        ("OrdersSlow", "unchanged"),
    ]
    other = FILE.replace("for: 10m", "for: 20m")
    assert outcomes(await sent(ada, other, dry_run=True))[1] == ("OrdersStopped", "changed")
    assert (await rules(ada))["OrdersStopped"]["hold_seconds"] == 600
    assert outcomes(await sent(ada, other))[1] == ("OrdersStopped", "changed")
    changed = (await rules(ada))["OrdersStopped"]
    # That somebody has switched it off, no file takes back.
    assert (changed["hold_seconds"], changed["enabled"]) == (1200, False)
    owner = await app.caller("owner", ada.tenant)
    trail = (await owner.http.get("/api/v1/audit")).json()["items"]
    acts = [one["action"] for one in trail if one["target"] == f"alert_rule:{stopped['id']}"]
    assert sorted(acts) == ["alert_rule.changed", "alert_rule.changed", "alert_rule.created"]


async def test_a_rule_of_another_kind_is_left_alone(ada: TenantClient) -> None:
    body = {
        "name": "OrdersSlow",
        "severity": "info",
        "condition": {"kind": "heartbeat", "name": "orders", "within_seconds": 60},
    }
    assert (await ada.http.post("/api/v1/alert-rules", json=body)).status_code == 201
    told = await sent(ada)
    assert outcomes(told)[2] == ("OrdersSlow", "refused")
    assert told["rules"][2]["reason"] == "A rule of this name asks for something else than PromQL"
    assert (await rules(ada))["OrdersSlow"]["condition"]["kind"] == "heartbeat"


async def test_what_is_no_rule_file_is_refused(app: App, ada: TenantClient) -> None:
    headers = {"Content-Type": "application/yaml"}
    answer = await ada.http.post(PATH, content="groups: 5", headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (422, "alerting.rule_file_invalid")
    answer = await ada.http.post(PATH, content=FILE, headers={"Content-Type": "text/plain"})
    assert answer.status_code == 415
    answer = await ada.http.post(PATH, json={"groups": []})
    assert answer.json()["rules"] == []
    answer = await ada.http.get(PATH, params={"dry_run": True})
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
    viewer = await app.caller("viewer", ada.tenant)
    assert (await viewer.http.post(PATH, content=FILE, headers=headers)).status_code == 403
