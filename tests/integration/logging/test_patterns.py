"""Patterns of lines: of the stretch that is asked about, and of the tenant that asks."""

import pytest

from backend.managers.logging import manager
from tests.integration.logging.test_search import LOGS, said, send
from tests.support.platform import App

PATTERNS = f"{LOGS}/patterns"
DAY = 24 * 60


async def test_today_is_compared_with_all_that_came_before(app: App) -> None:
    ada, eve = await app.caller("owner"), await app.caller("owner")
    await send(eve, said(2 * DAY, "lost 1"), said(5, "of eve 1"))
    await send(
        ada,
        said(2 * DAY, "paid 1", source="shop", level="error"),
        said(30, "paid 2", source="shop", level="error"),
        said(20, "paid 3", source="till", level="warn"),
        said(10, "lost 4", source="shop", level="error"),
    )
    made = (await ada.http.get(PATTERNS)).json()
    assert {one["pattern"]: (one["count"], one["is_new"]) for one in made["items"]} == {
        "paid <n>": (2, False),
        "lost <n>": (1, True),
    }
    assert (made["looked_at"], made["complete"], made["compared"]) == (3, True, 1)
    assert made["talkers"][0] == {"source": "shop", "count": 2, "size_bytes": 12}
    (paid,) = [one for one in made["items"] if one["pattern"] == "paid <n>"]
    assert paid["levels"] == [{"value": "error", "count": 1}, {"value": "warn", "count": 1}]
    line = await ada.http.get(f"{LOGS}/{paid['last_id']}")
    assert line.json()["message"] == paid["example"] == "paid 3"
    new = (await ada.http.get(PATTERNS, params={"new": True, "level": "error"})).json()
    assert [one["pattern"] for one in new["items"]] == ["lost <n>"]
    assert (await ada.http.get(PATTERNS, params={"words": "paid"})).json()["looked_at"] == 2


async def test_what_was_not_looked_at_is_said(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manager, "LOOKED_AT", 3)
    ada = await app.caller("owner")
    await send(ada, *(said(minutes, f"{minutes} of five") for minutes in range(1, 6)))
    made = (await ada.http.get(PATTERNS)).json()
    assert (made["looked_at"], made["complete"], made["compared"]) == (3, False, 0)
    assert (made["items"][0]["is_new"], made["compared_since"]) == (None, None)


@pytest.mark.parametrize(
    "query",
    [
        {"words": "-"},
        {"limit": 201},
        {"limit": 0},
        {"level": "loud"},
        {"after": "2026-01-02T00:00:00Z", "before": "2026-01-01T00:00:00Z"},
        {"new": "perhaps"},
    ],
)
async def test_refuses_what_cannot_be_asked(app: App, query: dict[str, str]) -> None:
    ada = await app.caller("viewer")
    answer = await ada.http.get(PATTERNS, params=query)
    assert answer.status_code == 422, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
