"""A report comes once a day, at its hour, and says what the day before was like."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from backend.managers.alerting import CATALOGUE
from backend.managers.metrics import DERIVED, Item, MetricsManager
from tests.integration.alerting.test_catalogue import Ward
from tests.support.platform import App

# A day to come, so that all happens after the rule was made.
TODAY = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=3)
NOON = TODAY - timedelta(hours=12)
SetClock = Callable[[datetime], None]


@pytest.fixture
async def ward(app: App) -> Ward:
    return Ward(app, await app.caller("admin"))


@pytest.fixture
def at(ward: Ward, monkeypatch: pytest.MonkeyPatch) -> SetClock:
    return lambda moment: monkeypatch.setattr(ward.database, "clock", lambda: moment)


async def adopted(ward: Ward, **said: Any) -> Any:
    rule = await ward.adopt("performance-report")
    url = f"/api/v1/alert-rules/{rule['id']}"
    found = await ward.http.get(url)
    body = {name: found.json()[name] for name in ("name", "severity", "labels", "summary")}
    condition = {"kind": "report", **said}
    return await ward.http.put(
        url, json={**body, "condition": condition}, headers={"If-Match": found.headers["ETag"]}
    )


async def mailed(ward: Ward, well: int, badly: int, when: datetime) -> None:
    items = [
        Item(
            name=f"{DERIVED}emails_total",
            kind="counter",
            value=float(count),
            labels={"event": f"email.{outcome}", "outcome": outcome},
            at=when,
        )
        for outcome, count in (("well", well), ("badly", badly))
    ]

    async def nothing_more(_: Any) -> None:
        pass

    metrics = ward.app.platform.of(MetricsManager)
    await metrics.recording.record_derived(ward.database, ward.scope, items, nothing_more)


async def folded(ward: Ward) -> None:
    metrics = ward.app.platform.of(MetricsManager)
    await metrics.fold(ward.database)
    await metrics.roll_up(ward.database)
    await metrics.fold_hours(ward.database)


async def looked(ward: Ward) -> tuple[int, int]:
    await ward.later(seconds=600)
    found = await ward.look()
    return found.fired, found.resolved


async def test_comes_at_its_hour_and_is_over_half_an_hour_later(ward: Ward, at: SetClock) -> None:
    await ward.adopt("performance-report")
    at(NOON)
    await ward.spans(failed=5)
    await mailed(ward, 40, 2, NOON)
    at(TODAY + timedelta(hours=7, minutes=59))
    await folded(ward)
    assert await looked(ward) == (0, 0)
    at(TODAY + timedelta(hours=8))
    assert await looked(ward) == (1, 0)
    at(TODAY + timedelta(hours=8, minutes=29))
    assert await looked(ward) == (0, 0)
    (alert,) = await ward.alerts(state="firing")
    assert (alert.name, alert.severity) == ("Performance report", "info")
    said = alert.summary
    assert said.startswith(f"Performance report: {NOON.date()}: 100 requests and steps, 5.00% of")
    assert "none the day before" in said
    assert "40 e-mails ended well and 2 badly" in said
    assert "no objective is set" in said
    at(TODAY + timedelta(hours=8, minutes=30))
    assert await looked(ward) == (0, 1)
    at(TODAY + timedelta(days=1, hours=8))
    assert await looked(ward) == (1, 0)
    (alert,) = await ward.alerts(state="firing")
    assert "nothing was asked of the platform" in alert.summary


async def test_says_what_changed_since_the_day_before(ward: Ward, at: SetClock) -> None:
    await ward.adopt("performance-report")
    at(NOON - timedelta(days=1))
    await ward.spans()
    at(NOON)
    await ward.spans()
    await ward.spans(failed=2)
    at(TODAY + timedelta(hours=8, minutes=1))
    assert await looked(ward) == (1, 0)
    (alert,) = await ward.alerts(state="firing")
    assert "200 requests and steps (+100% on the day before), 1.00% of them failed" in alert.summary


async def test_goes_by_the_clocks_of_its_zone(ward: Ward, at: SetClock) -> None:
    # Kiritimati is fourteen hours ahead all year: its 6 o'clock is UTC's 16 of the day before.
    made = await adopted(ward, at_hour=6, zone="Pacific/Kiritimati")
    assert made.status_code == 200, made.text
    at(TODAY + timedelta(hours=15, minutes=59))
    assert await looked(ward) == (0, 0)
    at(TODAY + timedelta(hours=16))
    assert await looked(ward) == (1, 0)
    (alert,) = await ward.alerts(state="firing")
    assert f"{TODAY.date()}: " in alert.summary


@pytest.mark.parametrize("said", [{"zone": "Europe/Atlantis"}, {"at_hour": 24}, {"zone": "../etc"}])
async def test_refuses_what_no_clock_shows(ward: Ward, said: dict[str, Any]) -> None:
    answer = await adopted(ward, **said)
    assert answer.status_code == 422, answer.text


def test_ships_switched_to_eight_utc() -> None:
    condition: Any = CATALOGUE["performance-report"].draft.condition
    assert (condition.at_hour, condition.zone) == (8, "UTC")
