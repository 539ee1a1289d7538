"""A digest comes once a month, on the first, and says what alerts of the month before were like."""

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from backend.core.ids import uuid7_at
from backend.managers.alerting._digest import due_at
from backend.managers.alerting._standing import NEVER
from backend.managers.alerting.models import AlertRow, IncidentRow
from tests.integration.alerting.test_catalogue import Ward
from tests.integration.alerting.test_reporting import SetClock, at, looked, ward

__all__ = ["at", "ward"]


def month_after(first: datetime) -> datetime:
    return (first + timedelta(days=32)).replace(day=1)


# Months to come, so that all happens after the rule was made.
NOW = datetime.now(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
BEFORE = month_after(NOW)
MONTH = month_after(BEFORE)
FIRST = month_after(MONTH)
TICK = timedelta(milliseconds=1)


async def had(ward: Ward, name: str, fired_at: datetime, **more: Any) -> None:
    """An alert of then that lasted for an hour, unless something else is said of it."""
    row = {
        "rule_id": None,
        "source": "api",
        "fingerprint": name,
        "severity": "warning",
        "labels": {},
        "summary": "",
        "runbook_url": "",
        "since": fired_at,
        "expires_at": NEVER,
        "ended_at": fired_at + timedelta(hours=1),
        **more,
    }
    async with ward.database.transaction(ward.scope) as tx:
        tx.session.add(
            AlertRow(
                tenant_id=tx.tenant_id, id=uuid7_at(fired_at), name=name, fired_at=fired_at, **row
            )
        )


async def digest(ward: Ward) -> str:
    (alert,) = await ward.alerts(state="firing")
    assert (alert.name, alert.severity) == ("Alerts of the month", "info")
    return str(alert.summary).removeprefix("Alerts of the month: ")


async def test_comes_on_the_first_and_says_what_the_month_was_like(
    ward: Ward, at: SetClock
) -> None:
    await ward.adopt("alert-digest")
    for minute in range(3):
        await had(ward, "Old", BEFORE + timedelta(minutes=minute))
    for number in range(6):
        begun = MONTH + timedelta(days=3, hours=number)
        await had(ward, "Disk <sda>", begun, silenced_at=begun if number < 2 else None)
    for number in range(3):
        begun = MONTH + timedelta(days=9 * number)
        seen = begun + timedelta(minutes=number + 1)
        await had(ward, "CPU", begun, severity="critical", acknowledged_at=seen)
    async with ward.database.transaction(ward.scope) as tx:
        tx.session.add(
            IncidentRow(
                tenant_id=tx.tenant_id,
                id=uuid7_at(MONTH + TICK),
                title="Two at once",
                severity="critical",
                summary="",
                cause="",
                follow_up="",
                started_at=MONTH,
                joins_until=MONTH,
                alerts=2,
                firing=0,
                created_by="user:ada",
                revision=1,
            )
        )
    at(FIRST + timedelta(hours=7, minutes=59))
    assert await looked(ward) == (0, 0)
    at(FIRST + timedelta(hours=8))
    assert await looked(ward) == (1, 0)
    assert await digest(ward) == (
        f"{MONTH:%B %Y}: 9 alerts fired (3 the month before): 3 critical, 6 warning; "
        "seen to after 2 min at the middle and 2.8 min for nine of ten; "
        "over after 1 h at the middle (1 h the month before) and 1 h for nine of ten; "
        "6 were over without anybody having seen to them; 2 were silenced; 1 incident; "
        "most often: Disk <sda> (6), CPU (3); never seen to: Disk <sda> (6); "
        "most silenced: Disk <sda> (2); coming and going: Disk <sda> (6)"
    )
    # Once, however often it is looked at.
    at(FIRST + timedelta(hours=19, minutes=59))
    assert await looked(ward) == (0, 0)
    at(FIRST + timedelta(hours=20))
    assert await looked(ward) == (0, 1)
    at(month_after(FIRST) + timedelta(hours=8))
    assert await looked(ward) == (1, 0)
    assert await digest(ward) == f"{FIRST:%B %Y}: no alert fired (9 the month before)"


async def test_who_was_down_at_eight_comes_later(ward: Ward, at: SetClock) -> None:
    await ward.adopt("alert-digest")
    at(FIRST + timedelta(hours=13))
    assert await looked(ward) == (1, 0)


async def test_a_month_is_that_of_its_zone(ward: Ward, at: SetClock) -> None:
    made = await ward.adopt("alert-digest")
    url = f"/api/v1/alert-rules/{made['id']}"
    found = await ward.http.get(url)
    body = {name: found.json()[name] for name in ("name", "severity", "labels", "summary")}
    # Fourteen hours ahead of UTC all year.
    body["condition"] = {"kind": "digest", "at_hour": 6, "zone": "Pacific/Kiritimati"}
    answer = await ward.http.put(url, json=body, headers={"If-Match": found.headers["ETag"]})
    assert answer.status_code == 200, answer.text
    ahead = timedelta(hours=14)
    await had(ward, "The last of the month before", MONTH - ahead - TICK)
    await had(ward, "The first", MONTH - ahead)
    await had(ward, "The last", FIRST - ahead - TICK)
    await had(ward, "The first of the next", FIRST - ahead)
    at(FIRST - timedelta(hours=8) - TICK)
    assert await looked(ward) == (0, 0)
    at(FIRST - timedelta(hours=8))
    assert await looked(ward) == (1, 0)
    said = await digest(ward)
    assert f"{MONTH:%B %Y}: 2 alerts fired (1 the month before)" in said
    assert "most often: The first (1), The last (1);" in said


async def test_says_nothing_of_another_tenants(ward: Ward, at: SetClock) -> None:
    other = Ward(ward.app, await ward.app.caller("admin"))
    await had(other, "Theirs", MONTH)
    await ward.adopt("alert-digest")
    at(FIRST + timedelta(hours=8))
    assert await looked(ward) == (1, 0)
    assert "no alert fired (0 the month before)" in await digest(ward)


@pytest.mark.parametrize(
    ("zone", "now", "due"),
    [
        ("UTC", "2026-03-01T08:00Z", "2026-03-01T08:00Z"),
        ("UTC", "2026-03-01T07:59Z", "2026-02-01T08:00Z"),
        ("UTC", "2026-01-01T00:00Z", "2025-12-01T08:00Z"),
        # Summer begins there on the last Sunday of March: the first of April is an hour earlier.
        ("Europe/Paris", "2026-04-01T06:00Z", "2026-04-01T06:00Z"),
        ("Europe/Paris", "2026-03-31T23:00Z", "2026-03-01T07:00Z"),
        ("Pacific/Kiritimati", "2026-04-30T18:00Z", "2026-04-30T18:00Z"),
    ],
)
def test_is_due_on_the_first_by_the_zones_clocks(zone: str, now: str, due: str) -> None:
    moment = datetime.fromisoformat(now)
    assert due_at(moment, 8, ZoneInfo(zone)) == datetime.fromisoformat(due)
