"""Floods of one tenant: series, labels, observations, lines. Refused, and nobody else is."""

import asyncio
import json
from typing import Any

import pytest

from backend.managers.logging import LoggingSettings
from backend.managers.metrics import MetricsSettings
from backend.settings import Settings
from tests.support.platform import App, TenantClient

METRICS, LOGS = "/api/v1/metrics", "/api/v1/logs"
SERIES, POINTS, BYTES = 60, 2000, 40_000
ROUNDS = 12


@pytest.fixture
def app_settings(app_settings: Settings) -> Settings:
    metrics = MetricsSettings(series_per_tenant=SERIES, labels_per_series=4, day_points=POINTS)
    logs = LoggingSettings(day_bytes=BYTES)
    return app_settings.model_copy(update={"metrics": metrics, "logging": logs})


async def record(who: TenantClient, *items: dict[str, Any]) -> Any:
    return await who.http.post(METRICS, json={"items": items})


def order(**labels: str) -> dict[str, Any]:
    return {"name": "orders_total", "kind": "counter", "value": 1, "labels": labels}


async def log(who: TenantClient, *messages: str) -> Any:
    lines = b"".join(json.dumps({"message": one}).encode() + b"\n" for one in messages)
    return await who.http.post(LOGS, content=lines)


async def calm(who: TenantClient) -> None:
    """What a tenant does that floods nothing; all of it is taken."""
    for number in range(ROUNDS):
        answer = await record(who, order(shop=str(number % 3)))
        assert (answer.status_code, answer.json()["refused"]) == (200, 0), answer.text
        answer = await log(who, f"order {number}")
        assert (answer.status_code, answer.json()["accepted"]) == (200, 1), answer.text


class TestFloods:
    async def test_of_series_are_refused_one_by_one(self, app: App) -> None:
        eve, ada = await app.caller("workflow"), await app.caller("workflow")

        async def flood() -> None:
            made = 0
            for first in range(0, ROUNDS * 20, 20):
                items = [order(id=str(first + n)) for n in range(20)]
                answer = await record(eve, *items, order(id="0"))
                said = answer.json()
                assert answer.status_code == 200, answer.text
                made += 20 - said["refused"]
                assert {one["code"] for one in said["items"]} <= {"metrics.too_many_series"}
            assert made == SERIES

        await asyncio.gather(flood(), calm(ada))
        # What it has goes on, and it is told why the rest does not.
        assert (await record(eve, order(id="0"))).json()["accepted"] == 1
        refused = await record(eve, order(id="new"))
        assert refused.status_code == 422
        assert refused.json()["code"] == "metrics.too_many_series"
        assert f"At most {SERIES} series" in refused.json()["detail"]

    async def test_of_labels_are_refused_before_anything_is_made(self, app: App) -> None:
        eve, ada = await app.caller("workflow"), await app.caller("workflow")

        async def flood() -> None:
            for number in range(ROUNDS):
                wide = order(**{f"l{n}": str(number) for n in range(5)})
                answer = await record(eve, wide, order(long="x" * 201))
                assert (answer.status_code, answer.json()["code"]) == (422, "metrics.invalid_item")
                assert "At most 4 labels, not 5" in answer.json()["detail"]

        await asyncio.gather(flood(), calm(ada))
        eve_admin = await app.caller("admin", eve.tenant)
        assert (await eve_admin.http.get("/api/v1/metric-settings")).json()["series"] == 0

    async def test_of_observations_end_with_the_days_budget(self, app: App) -> None:
        eve, ada = await app.caller("workflow"), await app.caller("workflow")
        values = {"name": "lasted_seconds", "kind": "histogram", "values": [0.5] * 400}
        taken: list[int] = []

        async def flood() -> None:
            for _ in range(ROUNDS):
                answer = await record(eve, values)
                taken.append(answer.status_code)
                if answer.status_code == 429:
                    assert answer.json()["code"] == "metrics.budget_used"
                    assert f"at most {POINTS}" in answer.json()["detail"]
                    assert 0 < int(answer.headers["Retry-After"]) <= 86_400

        await asyncio.gather(flood(), calm(ada))
        assert (taken.count(200), taken.count(429)) == (POINTS // 400, ROUNDS - POINTS // 400)

    async def test_of_lines_end_with_the_days_budget(self, app: App) -> None:
        eve, ada = await app.caller("workflow"), await app.caller("workflow")
        taken: list[int] = []

        async def flood() -> None:
            for _ in range(ROUNDS):
                answer = await log(eve, *["x" * 985] * 5)
                taken.append(answer.status_code)
                if answer.status_code == 429:
                    assert answer.json()["code"] == "logging.budget_used"
                    assert int(answer.headers["Retry-After"]) > 0

        await asyncio.gather(flood(), calm(ada))
        assert (taken.count(200), taken.count(429)) == (8, 4)
