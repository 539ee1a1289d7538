"""Finding records: every filter, words in a bounded stretch, counts, and who may look at all."""

from datetime import UTC, datetime, timedelta
from typing import Final

import pytest

from backend.core.context import NO_RUN, Run, Scope
from backend.managers.audit import AuditManager, RangeNeededError, Wanted, _search
from tests.support.roles import ROLES

TRAIL, FACETS = "/api/v1/audit", "/api/v1/audit/facets"


def ago(**span):
    return datetime.now(UTC) - timedelta(**span)


async def act(app, tenant, *acts, actor="user:ada", request="req-1", run=NO_RUN):
    """Leave records; each is an act, its target and its data."""
    async with app.platform.database.transaction(Scope(actor, tenant.id, request, run=run)) as tx:
        for action, target, data in acts:
            tx.audit(action, target, **data)


@pytest.fixture
async def owner(app):
    made = await app.caller()
    await act(
        app,
        made.tenant,
        ("key.rotated", "key:payroll", {"reason": "Überfällig seit Mai"}),
        ("key.rotated", "key:orders", {"reason": "routine"}),
        ("secret.read", "secret:payroll", {"version": 3}),
    )
    await act(
        app, made.tenant, ("key.rotated", "key:payroll", {}), actor="user:eve", request="req-20"
    )
    return made


async def found(caller, **query):
    answer = await caller.http.get(TRAIL, params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()["items"]


def told(records):
    return [(one["action"], one["target"], one["actor"]) for one in records]


class TestSearch:
    async def test_finds_by_request_whole_or_by_its_beginning(self, owner):
        assert told(await found(owner, request_id="req-20")) == [
            ("key.rotated", "key:payroll", "user:eve")
        ]
        assert len(await found(owner, request_id="req-1")) == 3
        assert len(await found(owner, request_id="req-*")) == 4
        assert await found(owner, request_id="req-2") == []

    async def test_finds_what_was_done_in_a_range_of_time(self, owner):
        hour, ahead = ago(hours=1).isoformat(), (ago() + timedelta(hours=1)).isoformat()
        query = {"action": "key.*"}
        assert len(await found(owner, created_after=hour, **query)) == 3
        assert len(await found(owner, created_after=hour, created_before=ahead, **query)) == 3
        assert await found(owner, created_before=hour, **query) == []
        assert await found(owner, created_after=ahead, **query) == []

    async def test_words_are_found_in_whatever_case_and_place(self, owner):
        hour = ago(hours=1).isoformat()
        for words in ("überfällig", "MAI payroll", "reason mai", "req-1 key:payroll"):
            (one,) = await found(owner, q=words, created_after=hour)
            assert one["data"] == {"reason": "Überfällig seit Mai"}
        assert await found(owner, q="überfällig routine", created_after=hour) == []
        assert len(await found(owner, q="payroll", actor="user:ada", created_after=hour)) == 2

    async def test_a_percent_sign_is_a_word_like_any_other(self, owner):
        assert await found(owner, q="%", created_after=ago(hours=1).isoformat()) == []

    async def test_words_need_a_range_and_no_endless_one(self, owner):
        for query in ({}, {"created_before": ago().isoformat()}, {"created_after": _old()}):
            answer = await owner.http.get(TRAIL, params={"q": "payroll", **query})
            assert (answer.status_code, answer.json()["code"]) == (422, "audit.range_needed")
        answer = await owner.http.get(TRAIL, params={"created_after": _old()})
        assert answer.status_code == 200

    async def test_a_search_stops_and_goes_on_where_it_stopped(self, app, owner, monkeypatch):
        monkeypatch.setattr(_search, "_LOOKED_AT", 4)
        monkeypatch.setattr(_search, "_PART", 2)
        await act(app, owner.tenant, *[("thing.made", f"thing:{n}", {}) for n in range(9)])
        query = {"q": "rotated payroll", "created_after": ago(hours=1).isoformat()}
        seen, pages = [], 0
        while True:
            page = (await owner.http.get(TRAIL, params=query)).json()
            seen += page["items"]
            pages += 1
            if page["next_cursor"] is None:
                break
            query["cursor"] = page["next_cursor"]
        assert pages > 2
        assert told(seen) == [
            ("key.rotated", "key:payroll", "user:eve"),
            ("key.rotated", "key:payroll", "user:ada"),
        ]

    async def test_a_page_of_words_is_as_long_as_was_asked(self, owner):
        query = {"q": "rotated", "created_after": ago(hours=1).isoformat(), "limit": 2}
        page = (await owner.http.get(TRAIL, params=query)).json()
        rest = await found(owner, cursor=page["next_cursor"], **query)
        assert (len(page["items"]), len(rest)) == (2, 1)
        assert len({one["id"] for one in [*page["items"], *rest]}) == 3

    async def test_another_tenants_records_are_not_there(self, app, owner):
        other = await app.caller()
        hour = ago(hours=1).isoformat()
        assert await found(other, q="payroll", created_after=hour) == []
        assert await found(other, request_id="req-20") == []


class TestRuns:
    """Which execution of which workflow asked, or which one it was about."""

    RUN: Final = {"X-Workflow-Id": "8sBqYH3wN1tRz0Qk", "X-Execution-Id": "4711"}

    @pytest.fixture
    async def runs(self, app, owner):
        made = ("thing.made", "thing:1", {})
        await act(app, owner.tenant, made, run=Run("orders", "7"))
        await act(app, owner.tenant, made, run=Run("orders", "71"))
        await act(app, owner.tenant, made, run=Run("bills", "7"), actor="user:eve")
        about = {"workflow_id": "bills", "execution_id": "8"}
        await act(app, owner.tenant, ("secret.read", "secret:a", about))
        await act(app, owner.tenant, ("secret.read", "secret:b", about), run=Run("orders", "9"))
        return owner

    async def test_are_found_by_both(self, runs):
        hour = ago(hours=1).isoformat()
        for query, many in (
            ({"execution": "7"}, 2),
            ({"execution": "7*"}, 3),
            ({"execution": "7", "workflow": "orders"}, 1),
            ({"workflow": "orders"}, 3),
            ({"workflow": "b*"}, 2),
            ({"execution": "7", "actor": "user:eve"}, 1),
            ({"execution": "8"}, 1),
            ({"execution": "9"}, 1),
            ({"execution": "70"}, 0),
            ({"workflow": "orders", "q": "thing made", "created_after": hour}, 2),
        ):
            assert len(await found(runs, **query)) == many, query

    async def test_who_asked_goes_before_what_it_was_about(self, runs):
        (one,) = await found(runs, target="secret:b")
        assert (one["workflow"], one["execution"]) == ("orders", "9")
        assert one["data"] == {
            "workflow_id": "bills",
            "execution_id": "8",
            "run": {"workflow_id": "orders", "execution_id": "9"},
        }

    async def test_are_counted_and_written_to_files(self, runs):
        told = await runs.http.get(FACETS, params={"workflow": "orders", "execution": "7*"})
        assert told.json()["counted"] == 2
        asked = {"format": "csv", "workflow": "orders", "execution": "7*"}
        made = (await runs.http.post("/api/v1/audit-exports", json=asked)).json()
        assert (made["state"], made["records"]) == ("ready", 2)
        assert {name: made["wanted"][name] for name in ("workflow", "execution")} == {
            "workflow": "orders",
            "execution": "7*",
        }
        file = await runs.http.get(f"/api/v1/audit-exports/{made['id']}/file")
        assert file.text.count("thing.made") == 2

    async def test_both_planes_name_them_as_the_request_does(self, app):
        caller = await app.caller()
        sent = {"subject": "Hi", "text": "x", "to": ["a@example.test"]}
        for path, body in (
            ("/api/v1/suppressions", {"address": "gone@example.test"}),
            ("/api/v1/keys", {"name": "payroll", "type": "aes256-gcm"}),
            ("/api/v1/keys/payroll/encrypt", {"plaintext": "aGk="}),
            ("/api/v1/emails", sent),
        ):
            answer = await caller.http.post(path, json=body, headers=self.RUN)
            assert answer.status_code < 300, (path, answer.text)
        records = await found(caller, execution="4711", workflow="8sBqYH3wN1tRz0Qk")
        assert {one["action"] for one in records} >= {
            "suppression.added",
            "key.created",
            "key.used",
            "email.submitted",
        }
        assert (await caller.http.post("/api/v1/audit/verify")).json()["valid"]

    async def test_what_is_no_id_says_nothing(self, app):
        caller = await app.caller()
        for number, (workflow, execution) in enumerate((("", ""), ("a b", "x" * 101), ("é", "7"))):
            headers = {"X-Workflow-Id": workflow.encode(), "X-Execution-Id": execution}
            body = {"address": f"gone-{number}@example.test"}
            await caller.http.post("/api/v1/suppressions", json=body, headers=headers)
        (last, *others) = await found(caller, action="suppression.added")
        assert (last["workflow"], last["execution"]) == (None, "7")
        assert last["data"]["run"] == {"execution_id": "7"}
        assert [one["data"].get("run") for one in others] == [None, None]

    async def test_are_no_reason_to_refuse_what_is_as_large_as_it_may_be(self, app, owner):
        room = 8192 - len('{"note": ""}')
        acted = ("thing.made", "thing:1", {"note": "x" * room})
        await act(app, owner.tenant, acted, run=Run("w" * 100, "e" * 100))
        (one,) = await found(owner, execution="e*")
        assert one["execution"] == "e" * 100


def _old():
    return ago(days=93).isoformat()


class TestFacets:
    async def count(self, caller, **query):
        answer = await caller.http.get(FACETS, params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def test_counts_acts_actors_and_times_of_the_last_day(self, owner):
        told = await self.count(owner, request_id="req-*")
        assert told["actions"] == [
            {"value": "key.rotated", "count": 3},
            {"value": "secret.read", "count": 1},
        ]
        assert told["actors"] == [
            {"value": "user:ada", "count": 3},
            {"value": "user:eve", "count": 1},
        ]
        assert (told["counted"], told["complete"], told["step_seconds"]) == (4, True, 1800)
        assert sum(one["count"] for one in told["stretches"]) == 4
        first = datetime.fromisoformat(told["stretches"][0]["at"])
        assert ago(minutes=31) < first <= datetime.now(UTC)
        assert first.timestamp() % 1800 == 0

    async def test_counts_what_the_filters_leave(self, owner):
        told = await self.count(owner, actor="user:eve", action="key.*")
        assert told["counted"] == 1
        assert (await self.count(owner, created_before=ago(hours=1).isoformat()))["counted"] == 0

    async def test_counts_the_newest_so_many(self, app, owner, monkeypatch):
        monkeypatch.setattr(_search, "COUNTED", 2)
        told = await self.count(owner, request_id="req-*")
        assert (told["counted"], told["complete"]) == (2, False)
        assert {one["value"] for one in told["actors"]} == {"user:ada", "user:eve"}

    async def test_a_longer_span_has_longer_stretches(self, owner):
        told = await self.count(owner, created_after=ago(days=91).isoformat())
        assert told["step_seconds"] == 172800
        answer = await owner.http.get(FACETS, params={"created_after": _old()})
        assert answer.json()["code"] == "audit.range_needed"


class TestAuditor:
    """Built in: who is given nothing but the trail."""

    def test_reads_and_proves_the_trail_and_holds_nothing_else(self):
        assert {name.partition(":")[0] for name in ROLES.by_name["auditor"]} == {"audit"}
        assert "audit:read" in ROLES.by_name["auditor"]

    async def test_looks_at_the_trail_and_at_nothing_of_the_tenant(self, app, owner):
        auditor = await app.caller("auditor", owner.tenant)
        assert len(await found(auditor, request_id="req-*")) == 4
        assert (await auditor.http.get(FACETS)).status_code == 200
        assert (await auditor.http.post(f"{TRAIL}/verify")).status_code == 200
        for path in ("emails", "jobs", "members", "clients", "api-keys", "roles"):
            assert (await auditor.http.get(f"/api/v1/{path}")).status_code == 403, path

    async def test_is_handed_out_by_who_holds_as_much(self, app, owner):
        body = {"name": "SIEM", "role": "auditor"}
        assert (await owner.http.post("/api/v1/api-keys", json=body)).status_code == 201
        asked = await owner.http.put("/api/v1/roles/auditor", json={"permissions": []})
        assert (asked.status_code, asked.json()["code"]) == (409, "tenant.role_built_in")


class TestManager:
    async def test_needs_a_beginning_to_look_into_records(self, app, owner):
        async with app.platform.database.read(Scope("test", owner.tenant.id)) as tx:
            trail = app.platform.of(AuditManager)
            with pytest.raises(RangeNeededError):
                await trail.search(tx, Wanted(words="x"), limit=10)
            assert (await trail.search(tx, Wanted(words="  "), limit=1)).looked_until is None
