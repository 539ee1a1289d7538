"""The list of messages: exact, newest first, whichever side of a filter it begins at."""

from typing import Any

import pytest

from backend.core import paging
from tests.support.platform import App, TenantClient


@pytest.fixture(params=["few", "many"])
def sides(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether a side of three rows counts as few, which is looked through, or as many."""
    monkeypatch.setattr(paging, "_FEW", {"few": 10_000, "many": 2}[request.param])


async def send(caller: TenantClient, *recipients: list[str]) -> list[str]:
    messages = [{"to": to, "subject": "Hello", "text": "There"} for to in recipients]
    answer = await caller.http.post("/api/v1/emails/batch", json={"messages": messages})
    assert answer.status_code == 202, answer.text
    return [one["id"] for one in answer.json()["items"]]


async def pages(caller: TenantClient, **query: Any) -> list[str]:
    """All ids of a list, read two at a time."""
    found: list[str] = []
    while True:
        answer = await caller.http.get("/api/v1/emails", params={"limit": 2, **query})
        assert answer.status_code == 200, answer.text
        page = answer.json()
        found += [one["id"] for one in page["items"]]
        if page["next_cursor"] is None:
            return found
        query["cursor"] = page["next_cursor"]


@pytest.mark.usefixtures("sides")
class TestListEmails:
    @pytest.mark.slow
    async def test_finds_by_address_by_beginning_and_by_state(self, app: App) -> None:
        ada, eve = await app.caller(), await app.caller()
        await send(eve, ["ada@example.test"])
        made = await send(
            ada,
            ["Ada@example.test"],
            ["bob@example.test", "adam@example.test", "ada@example.test"],
            ["ADAM@example.test"],
            ["bob@example.test"],
            ["ada@example.test"],
        )
        newest = list(reversed(made))
        cancelled = (await ada.http.get(f"/api/v1/emails/{made[2]}")).json()
        await ada.http.post(f"/api/v1/jobs/{cancelled['job_id']}/cancel")
        assert await pages(ada) == newest
        for wanted in ("ada@example.test", "ADA@example.test", "Ada <ada@example.test>"):
            assert await pages(ada, recipient=wanted) == [made[4], made[1], made[0]], wanted
        # Once each, though two recipients of the second message begin so.
        for wanted in ("ada*", " ADA* "):
            assert await pages(ada, recipient=wanted) == [made[4], made[2], made[1], made[0]]
        assert await pages(ada, recipient="*") == newest
        assert await pages(ada, recipient="ada_*") == []
        assert await pages(ada, recipient="ada%*") == []
        assert await pages(ada, recipient="nobody@example.test") == []
        assert await pages(ada, state="cancelled") == [made[2]]
        assert await pages(ada, state="cancelled", recipient="ada*") == [made[2]]
        assert await pages(ada, state="queued", recipient="adam*") == [made[1]]
        assert await pages(ada, state="queued", recipient="bob@example.test") == [made[3], made[1]]
        assert await pages(ada, state="bounced", recipient="ada*") == []


@pytest.mark.usefixtures("sides")
class TestWhenMade:
    @pytest.mark.slow
    async def test_is_asked_exactly_whatever_else_is(self, app: App) -> None:
        ada = await app.caller()
        made = []
        for _ in range(3):
            made += await send(ada, ["ada@example.test"], ["bob@example.test"])
        at = {one: (await ada.http.get(f"/api/v1/emails/{one}")).json() for one in made}
        newest = made[::-1]
        await ada.http.post(f"/api/v1/jobs/{at[made[2]]['job_id']}/cancel")
        for bound in (at[made[2]]["created_at"], at[made[5]]["created_at"]):
            later = [one for one in newest if at[one]["created_at"] >= bound]
            earlier = [one for one in newest if at[one]["created_at"] < bound]
            assert await pages(ada, created_after=bound) == later
            assert await pages(ada, created_before=bound) == earlier
            for to in ("ada@example.test", "ada*"):
                mine = [one for one in later if one in made[::2]]
                assert await pages(ada, created_after=bound, recipient=to) == mine
                mine = [one for one in earlier if one in made[::2]]
                assert await pages(ada, created_before=bound, recipient=to) == mine
            stopped = [one for one in later if one == made[2]]
            assert await pages(ada, created_after=bound, state="cancelled") == stopped
        between = {
            "created_after": at[made[2]]["created_at"],
            "created_before": at[made[4]]["created_at"],
        }
        assert await pages(ada, **between) == [made[3], made[2]]
        assert await pages(ada, **between, state="queued", recipient="bob*") == [made[3]]

    async def test_takes_every_moment_there_is(self, app: App) -> None:
        ada = await app.caller()
        made = await send(ada, ["ada@example.test"])
        first, last = "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z"
        assert await pages(ada, created_after=first, created_before=last) == made
        assert await pages(ada, created_before=first) == []
        assert await pages(ada, created_after=last) == []
        for wrong in ("yesterday", "2026-01-01", "1790000000", "2026-01-01T00:00:00"):
            answer = await ada.http.get("/api/v1/emails", params={"created_after": wrong})
            assert answer.status_code == 422, wrong


@pytest.mark.usefixtures("sides")
async def test_a_business_key_finds_its_message(app: App) -> None:
    ada, eve = await app.caller(), await app.caller()
    email = {"to": ["ada@example.test"], "subject": "Hello", "text": "There"}
    made = {}
    for caller, key in ((ada, "order/1 é"), (ada, "order"), (eve, "order")):
        answer = await caller.http.post("/api/v1/emails", json={**email, "business_key": key})
        made[caller, key] = answer.json()["id"]
    await send(ada, ["ada@example.test"])
    assert await pages(ada, business_key="order/1 é") == [made[ada, "order/1 é"]]
    assert await pages(ada, business_key="order") == [made[ada, "order"]]
    assert await pages(ada, business_key="order", state="bounced") == []
    assert await pages(ada, business_key="order", recipient="ada*") == [made[ada, "order"]]
    assert await pages(ada, business_key="order*") == []
    assert await pages(ada, business_key="order", created_before="2020-01-01T00:00:00Z") == []


async def test_jobs_are_listed_by_when_they_were_made(app: App) -> None:
    ada = await app.caller()
    for _ in range(3):
        await send(ada, ["ada@example.test"])
    jobs = (await ada.http.get("/api/v1/jobs")).json()["items"]
    bound = jobs[1]["created_at"]

    async def listed(**query: Any) -> list[str]:
        answer = await ada.http.get("/api/v1/jobs", params=query)
        return [one["id"] for one in answer.json()["items"]]

    ids = [one["id"] for one in jobs]
    assert await listed(created_after=bound) == ids[:2]
    assert await listed(created_before=bound, state="ready") == ids[2:]
    assert await listed(created_after=bound, kind="email.send", limit=1) == ids[:1]
    assert await listed(created_after=bound, kind="nothing.such") == []


async def test_the_trail_is_searched_by_several_sides(app: App, sides: None) -> None:
    ada = await app.caller()
    (first, second) = await send(ada, ["ada@example.test"], ["bob@example.test"])
    for email_id in (first, second, first):
        await ada.http.get(f"/api/v1/emails/{email_id}/content")

    async def found(**query: str) -> list[tuple[str, str]]:
        answer = await ada.http.get("/api/v1/audit", params=query)
        return [(one["action"], one["target"]) for one in answer.json()["items"]]

    read, sent = "email.content_read", "email.submitted"
    of_first = [(read, f"email:{first}"), (read, f"email:{first}"), (sent, f"email:{first}")]
    assert await found(target=f"email:{first}") == of_first
    assert await found(target=f"email:{first}", action=read) == of_first[:2]
    assert await found(target=f"email:{first}*", action="email.*") == of_first
    assert await found(target=f"email:{first}", actor="user:*") == []
    assert await found(action="EMAIL.*") == []


async def test_jobs_of_a_kind_are_those_of_all_states(app: App) -> None:
    ada = await app.caller()
    made = await send(ada, *(["ada@example.test"] for _ in range(5)))
    jobs = (await ada.http.get("/api/v1/jobs", params={"limit": 200})).json()["items"]
    assert len(jobs) == len(made)
    await ada.http.post(f"/api/v1/jobs/{jobs[2]['id']}/cancel")
    order = [job["id"] for job in jobs]
    for query in ({}, {"kind": "email.send"}):
        seen: list[str] = []
        cursor: dict[str, str] | None = {}
        while cursor is not None:
            asked: dict[str, Any] = {"limit": 2, **query, **cursor}
            page = (await ada.http.get("/api/v1/jobs", params=asked)).json()
            seen += [job["id"] for job in page["items"]]
            cursor = {"cursor": page["next_cursor"]} if page["next_cursor"] else None
        assert seen == order
    found = (await ada.http.get("/api/v1/jobs", params={"kind": "nothing"})).json()
    assert found["items"] == []
