"""Who may do what, what would change, and reviews that end in evidence."""

from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from backend.core.context import SystemScope
from backend.core.events import EventRecord
from backend.managers.access import AccessManager
from backend.managers.access.models import ReviewRow
from backend.managers.tenant import TenantManager
from backend.managers.tenant.models import UserRow
from tests.support.errands import EVERYTHING

REVIEWS = "/api/v1/access-reviews"
LATER = "2099-12-31T23:59:59Z"


@pytest.fixture
async def ada(app):
    """An owner's client of a tenant with a person, a client and a key that may send."""
    return await app.caller("owner")


async def make(app, ada, role="billing", permissions=("email:read", "email:send")):
    await ada.http.put(f"/api/v1/roles/{role}", json={"permissions": list(permissions)})
    tenants = app.platform.of(TenantManager)
    async with app.platform.database.transaction(SystemScope(EVERYTHING)) as tx:
        bo = await tenants.create_user(tx, email="bo@example.test", name="Bo", password_hash=None)
        await tenants.add_member(
            tx, tenant_id=ada.tenant.id, user_id=bo.id, role=role, granter=None
        )
    made = {"name": "n", "role": role}
    client = (await ada.http.post("/api/v1/clients", json=made)).json()
    narrow = {**made, "scopes": ["email:read"]}
    key = (await ada.http.post("/api/v1/api-keys", json=narrow)).json()
    return bo, client, key


async def who_can(ada, permission):
    answer = await ada.http.get("/api/v1/access/who-can", params={"permission": permission})
    assert answer.status_code == 200, answer.text
    return {one["subject"] for one in answer.json()["holders"]}


class TestWhoCan:
    async def test_names_people_clients_and_keys_within_their_scopes(self, app, ada):
        bo, client, key = await make(app, ada)
        own = f"client:{ada.client_id}"
        named = {f"user:{bo.id}", f"client:{client['client_id']}"}
        assert await who_can(ada, "email:send") == named | {own}
        assert await who_can(ada, "email:read") == named | {own, f"api_key:{key['id']}"}
        assert await who_can(ada, "owner:write") == {own}
        await ada.http.put("/api/v1/roles/billing", json={"permissions": ["email:read"]})
        assert await who_can(ada, "email:send") == {own}

    async def test_knows_what_can_be_asked_for(self, ada):
        for permission in ("email:fly", "platform:write"):
            answer = await ada.http.get("/api/v1/access/who-can", params={"permission": permission})
            assert (answer.status_code, answer.json()["code"]) == (
                422, "tenant.permission_unknown",
            )  # fmt: skip

    async def test_says_nothing_of_other_tenants(self, app, ada):
        bo, client, key = await make(app, ada)
        eve = await app.caller("owner")
        assert await who_can(eve, "email:read") == {f"client:{eve.client_id}"}
        for subject in (
            f"user:{bo.id}",
            "user:bo@example.test",
            f"client:{client['client_id']}",
            f"api_key:{key['id']}",
            "user:nobody@example.test",
            "client:console",
        ):
            answer = await eve.http.get("/api/v1/access/what-can", params={"subject": subject})
            assert (answer.status_code, answer.json()["code"]) == (
                404, "access.holder_not_found",
            ), subject  # fmt: skip


class TestWhatCan:
    async def test_is_nothing_for_who_is_disabled(self, app, ada):
        bo, _, _ = await make(app, ada)
        async with app.platform.database.transaction(SystemScope(EVERYTHING)) as tx:
            await tx.execute(sa.update(UserRow).where(UserRow.id == bo.id).values(disabled=True))
        subject = f"user:{bo.id}"
        assert subject not in await who_can(ada, "email:send")
        answer = await ada.http.get("/api/v1/access/what-can", params={"subject": subject})
        assert (answer.json()["active"], answer.json()["permissions"]) == (False, [])

    async def test_is_nothing_for_who_is_kept_out_of_the_tenant(self, app, ada):
        bo, _, _ = await make(app, ada)
        await ada.http.post(f"/api/v1/members/{bo.id}/disable")
        assert f"user:{bo.id}" not in await who_can(ada, "email:send")
        for subject in (f"user:{bo.id}", "user:bo@example.test"):
            answer = await ada.http.get("/api/v1/access/what-can", params={"subject": subject})
            assert (answer.json()["active"], answer.json()["permissions"]) == (False, [])

    async def test_tells_what_somebody_may_now(self, app, ada):
        bo, client, key = await make(app, ada)
        for subject, permissions in (
            ("user:BO@example.test", ["email:read", "email:send"]),
            (f"user:{bo.id}", ["email:read", "email:send"]),
            (f"client:{client['client_id']}", ["email:read", "email:send"]),
            (f"api_key:{key['id']}", ["email:read"]),
        ):
            answer = await ada.http.get("/api/v1/access/what-can", params={"subject": subject})
            assert answer.json()["permissions"] == permissions, subject


class TestCheck:
    async def test_answers_a_workflow(self, app, ada):
        bo, _, key = await make(app, ada)
        flow = await app.caller("workflow", tenant=ada.tenant)

        async def allowed(permission, subject=None):
            body = {"permission": permission, "subject": subject}
            answer = await flow.http.post("/api/v1/access/check", json=body)
            assert answer.status_code == 200, answer.text
            return answer.json()["allowed"]

        assert await allowed("email:send")
        assert not await allowed("member:write")
        assert await allowed("email:send", "user:bo@example.test")
        assert not await allowed("job:read", f"user:{bo.id}")
        assert not await allowed("email:send", f"api_key:{key['id']}")
        answer = await flow.http.get("/api/v1/access/who-can?permission=email:send")
        assert answer.status_code == 403


class TestPreview:
    async def test_tells_who_gains_and_loses_and_changes_nothing(self, app, ada):
        bo, client, _ = await make(app, ada)
        body = {"role": "billing", "permissions": ["email:read", "job:read"]}
        found = (await ada.http.post("/api/v1/access/preview", json=body)).json()
        assert (found["exists"], found["added"], found["removed"]) == (
            True, ["job:read"], ["email:send"],
        )  # fmt: skip
        # The key is held to one permission, which stays.
        assert {one["subject"]: (one["gains"], one["loses"]) for one in found["touched"]} == {
            f"user:{bo.id}": (["job:read"], ["email:send"]),
            f"client:{client['client_id']}": (["job:read"], ["email:send"]),
        }
        assert f"user:{bo.id}" in await who_can(ada, "email:send")
        new = {"role": "new-role", "permissions": ["email:read"]}
        found = (await ada.http.post("/api/v1/access/preview", json=new)).json()
        assert (found["exists"], found["added"], found["touched"]) == (False, ["email:read"], [])


class TestReview:
    async def test_ends_in_evidence(self, app, ada):
        bo, client, key = await make(app, ada)
        body = {"name": "Q1", "due_at": LATER}
        review = (await ada.http.post(REVIEWS, json=body)).json()
        path = f"/api/v1/access-reviews/{review['id']}"
        assert review["undecided"] == 4
        answer = await ada.http.post(f"{path}/close")
        assert (answer.status_code, answer.json()["undecided"]) == (409, 4)
        revoked = [f"user:{bo.id}", f"client:{client['client_id']}", f"api_key:{key['id']}"]
        decisions = [{"subject": one, "decision": "revoke"} for one in revoked]
        answer = await ada.http.post(f"{path}/decisions", json={"decisions": decisions})
        assert answer.json()["undecided"] == 1
        assert (await ada.http.get("/api/v1/members")).json()["items"] == []
        assert (await ada.http.get("/api/v1/api-keys")).json()["items"] == []
        rest = {"decisions": [], "keep_rest": True}
        assert (await ada.http.post(f"{path}/decisions", json=rest)).json()["undecided"] == 0
        closed = (await ada.http.post(f"{path}/close")).json()
        assert closed["closed_by"] == f"client:{ada.client_id}"
        answer = await ada.http.post(f"{path}/decisions", json=rest)
        assert (answer.status_code, answer.json()["code"]) == (409, "access.review_closed")
        await app.sequence()
        found = (await ada.http.get(f"{path}/evidence")).json()
        assert [one["action"] for one in found["records"]] == [
            "access_review.opened",
            *["access_review.decided"] * 4,
            "access_review.closed",
        ]
        assert all(one["seq"] and one["hash"] for one in found["records"])
        decided = {one["subject"]: one["decision"] for one in found["records"] if one["subject"]}
        assert decided == {one["subject"]: one["decision"] for one in found["lines"]}
        assert decided == {
            **dict.fromkeys(revoked, "revoke"), f"client:{ada.client_id}": "keep",
        }  # fmt: skip
        assert (await ada.http.get(REVIEWS)).json()["items"] == [closed]

    async def test_what_is_gone_by_itself_can_be_decided(self, app, ada):
        _, client, _ = await make(app, ada)
        body = {"name": "Q1", "due_at": LATER}
        review = (await ada.http.post(REVIEWS, json=body)).json()
        await ada.http.delete(f"/api/v1/clients/{client['id']}")
        one = {"subject": f"client:{client['client_id']}", "decision": "revoke"}
        path = f"/api/v1/access-reviews/{review['id']}"
        answer = await ada.http.post(f"{path}/decisions", json={"decisions": [one]})
        assert answer.json()["undecided"] == 3
        # Nor is it decided anew.
        again = {"decisions": [{**one, "decision": "keep"}]}
        answer = await ada.http.post(f"{path}/decisions", json=again)
        assert (answer.status_code, answer.json()["code"]) == (409, "access.review_closed")

    async def test_nobody_takes_away_what_they_lack_and_then_nothing_is_decided(self, app, ada):
        _, client, _ = await make(app, ada, permissions=["email:read", "owner:write"])
        eve = await app.caller("admin", tenant=ada.tenant)
        body = {"name": "Q1", "due_at": LATER}
        review = (await eve.http.post(REVIEWS, json=body)).json()
        path = f"/api/v1/access-reviews/{review['id']}"
        decisions = {
            "decisions": [
                {"subject": f"client:{eve.client_id}", "decision": "keep"},
                {"subject": f"client:{client['client_id']}", "decision": "revoke"},
            ]
        }
        answer = await eve.http.post(f"{path}/decisions", json=decisions)
        assert (answer.status_code, answer.json()["code"]) == (403, "tenant.role_too_high")
        lines = (await eve.http.get(path)).json()["lines"]
        assert {one["decision"] for one in lines} == {None}

    async def test_refuses_a_day_that_is_over_unknown_lines_and_other_tenants(self, app, ada):
        past = (datetime.now(UTC) - timedelta(days=1)).isoformat()
        answer = await ada.http.post(REVIEWS, json={"name": "x", "due_at": past})
        assert (answer.status_code, answer.json()["code"]) == (422, "access.due_date_invalid")
        body = {"name": "Q1", "due_at": LATER}
        review = (await ada.http.post(REVIEWS, json=body)).json()
        path = f"/api/v1/access-reviews/{review['id']}"
        one = {"subject": "client:es_nobody", "decision": "keep"}
        answer = await ada.http.post(f"{path}/decisions", json={"decisions": [one]})
        assert (answer.status_code, answer.json()["code"]) == (404, "access.holder_not_found")
        eve = await app.caller("owner")
        for method, of in (("GET", ""), ("GET", "/evidence"), ("POST", "/close")):
            answer = await eve.http.request(method, path + of)
            assert (answer.status_code, answer.json()["code"]) == (404, "access.review_not_found")

    async def test_does_not_keep_what_nobody_has_looked_at(self, app, ada):
        bo, client, key = await make(app, ada)
        body = {"name": "Q1", "due_at": LATER}
        path = f"/api/v1/access-reviews/{(await ada.http.post(REVIEWS, json=body)).json()['id']}"
        # Without a change, and with one that takes something away, lines are kept as they are.
        await ada.http.put("/api/v1/roles/billing", json={"permissions": ["email:read"]})
        kept = {"subject": f"client:{client['client_id']}", "decision": "keep"}
        answer = await ada.http.post(f"{path}/decisions", json={"decisions": [kept]})
        assert answer.json()["undecided"] == 3
        wider = {"permissions": ["email:read", "email:send", "member:read"]}
        await ada.http.put("/api/v1/roles/billing", json=wider)
        for decisions in (
            {"decisions": [{"subject": f"user:{bo.id}", "decision": "keep"}]},
            {"decisions": [], "keep_rest": True},
        ):
            answer = await ada.http.post(f"{path}/decisions", json=decisions)
            assert (answer.status_code, answer.json()["code"]) == (409, "access.grown")
            assert answer.json()["subject"] == f"user:{bo.id}"
            assert "member:read" in answer.json()["detail"]
        assert (await ada.http.get(path)).json()["undecided"] == 3
        # The key's scopes hold it to what was looked at; Bo can still be taken away.
        mixed = {"decisions": [{"subject": f"user:{bo.id}", "decision": "revoke"}]}
        answer = await ada.http.post(f"{path}/decisions", json={**mixed, "keep_rest": True})
        assert answer.json()["undecided"] == 0, answer.text
        assert f"api_key:{key['id']}" in await who_can(ada, "email:read")

    async def test_many_lines_are_compared_at_once(self, app, ada):
        await ada.http.put("/api/v1/roles/narrow", json={"permissions": ["email:read"]})
        narrow = {"name": "n", "role": "narrow"}
        made = [await ada.http.post("/api/v1/clients", json=narrow) for _ in range(22)]
        body = {"name": "Q1", "due_at": LATER}
        path = f"/api/v1/access-reviews/{(await ada.http.post(REVIEWS, json=body)).json()['id']}"
        wider = {"permissions": ["email:read", "email:send"]}
        await ada.http.put("/api/v1/roles/narrow", json=wider)
        rest = {"decisions": [], "keep_rest": True}
        answer = await ada.http.post(f"{path}/decisions", json=rest)
        assert (answer.status_code, answer.json()["code"]) == (409, "access.grown")
        await ada.http.put("/api/v1/roles/narrow", json={"permissions": ["email:read"]})
        assert (await ada.http.delete(f"/api/v1/clients/{made[0].json()['id']}")).status_code == 204
        assert (await ada.http.post(f"{path}/decisions", json=rest)).json()["undecided"] == 0

    async def test_one_that_is_not_closed_in_time_is_told_of_once(self, app, ada):
        database, reviews = app.platform.database, app.platform.of(AccessManager).reviews
        soon = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
        made = [
            (await ada.http.post(REVIEWS, json={"name": name, "due_at": at})).json()["id"]
            for name, at in (("late", soon), ("closed", soon), ("open", LATER))
        ]
        rest = {"decisions": [], "keep_rest": True}
        await ada.http.post(f"{REVIEWS}/{made[1]}/decisions", json=rest)
        assert (await ada.http.post(f"{REVIEWS}/{made[1]}/close")).status_code == 200

        async def told():
            await reviews.tell_overdue(database)
            async with database.read(SystemScope(EVERYTHING)) as tx:
                rows = await tx.scalars(
                    sa.select(EventRecord).where(EventRecord.kind == "access_review.overdue")
                )
                return [(row.tenant_id, row.subject, row.data) for row in rows]

        assert await told() == []
        async with database.transaction(SystemScope(EVERYTHING)) as tx:
            for row in await tx.scalars(sa.select(ReviewRow).where(ReviewRow.name != "open")):
                row.due_at = datetime.now(UTC) - timedelta(seconds=1)
        once = [
            (ada.tenant.id, f"access_review:{made[0]}", {"name": "late", "undecided": 1}),
        ]
        assert await told() == once
        assert await told() == once
