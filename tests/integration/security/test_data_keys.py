"""Data keys over HTTP and from the shell: who may, what is answered, what the walk then does."""

from datetime import timedelta

import pytest
import sqlalchemy as sa

from backend.core.context import Scope
from backend.core.events import EventRecord
from backend.core.ids import PLATFORM_TENANT, uuid7
from backend.managers.email import EmailManager
from backend.managers.security import SecurityManager
from tests.support.platform import App

EMAIL = {"to": ["ada@example.test"], "subject": "A sealed subject", "text": "A sealed text"}


async def run_out(app: App, tenant_id: str) -> None:
    """Until the walk has ended, as workers do it: by a clock that is put forward."""
    database = app.platform.database
    security = app.platform.of(SecurityManager)
    real, ahead = database.clock, timedelta()
    database.clock = lambda: real() + ahead
    try:
        for _ in range(60):
            await security.rewraps.step(database, tenant_id)
            async with database.read(Scope("test", tenant_id)) as view:
                walk = await security.rewraps.find(view)
            assert walk is not None
            if walk.state != "running":
                return
            if walk.waits_until is not None:
                ahead += walk.waits_until - database.clock() + timedelta(seconds=1)
        raise AssertionError("the walk does not end")
    finally:
        database.clock = real


class TestRotation:
    async def test_goes_from_the_first_key_to_a_record(self, app: App) -> None:
        ada = await app.caller("admin")
        assert (await ada.http.get("/api/v1/data-keys")).json() == {"items": []}
        assert (await ada.http.get("/api/v1/rewraps")).json() == {"items": []}
        sent = (await ada.http.post("/api/v1/emails", json=EMAIL)).json()
        made = await ada.http.post("/api/v1/data-keys/rotate")
        assert made.status_code == 201, made.text
        assert (made.json()["version"], made.json()["state"]) == (2, "pending")
        again = await ada.http.post("/api/v1/data-keys/rotate")
        assert (again.status_code, again.json()["id"]) == (201, made.json()["id"])
        await run_out(app, ada.tenant.id)
        (key,) = (await ada.http.get("/api/v1/data-keys")).json()["items"]
        assert (key["version"], key["left"]) == (2, None)
        (walk,) = (await ada.http.get("/api/v1/rewraps")).json()["items"]
        assert (walk["state"], walk["left"], walk["broken"]) == ("finished", {}, 0)
        # What it says, its subject, and the answer that is kept for its Idempotency-Key's sake.
        assert walk["written"] >= 2
        assert walk["started_by"].startswith("client:")
        page = (await ada.http.get("/api/v1/data-keys/retirements")).json()
        (record,) = page["items"]
        signer = (await ada.http.get("/api/v1/data-keys/retirement-key")).json()
        assert record["key_id"] == signer["key_id"]
        shown = (await ada.http.get(f"/api/v1/emails/{sent['id']}")).json()
        assert shown["subject"] == EMAIL["subject"]
        said = (await ada.http.get(f"/api/v1/emails/{sent['id']}/content")).json()
        assert said["text"] == EMAIL["text"]
        acts = [one.action for one in await ada.audit(app.platform)]
        for act in ("data_key.rotated", "rewrap.started", "rewrap.finished", "data_key.retired"):
            assert acts.count(act) == 1, act

    @pytest.mark.parametrize("role", ["operator", "viewer", "workflow"])
    async def test_is_the_administrators(self, app: App, role: str) -> None:
        eve = await app.caller(role)
        for method, path in (("GET", "data-keys"), ("POST", "data-keys/rotate")):
            answer = await eve.http.request(method, f"/api/v1/{path}")
            assert answer.status_code == 403, path

    async def test_the_events_say_so(self, app: App) -> None:
        ada = await app.caller("admin")
        await ada.http.post("/api/v1/data-keys/rotate")
        await run_out(app, ada.tenant.id)
        async with app.platform.database.read(Scope("test", ada.tenant.id)) as view:
            kinds = await view.scalars(sa.select(EventRecord.kind).order_by(EventRecord.id))
        assert list(kinds) == [
            "client.created",
            "data_key.rotated",
            "data_key.retired",
            "rewrap.finished",
        ]


class TestWalk:
    async def test_another_tenants_is_none(self, app: App) -> None:
        ada, eve = await app.caller("admin"), await app.caller("admin")
        walk = (await ada.http.post("/api/v1/rewraps")).json()
        for method, path in (("GET", ""), ("POST", "/pause"), ("POST", "/cancel")):
            answer = await eve.http.request(method, f"/api/v1/rewraps/{walk['id']}{path}")
            assert (answer.status_code, answer.json()["code"]) == (
                404,
                "security.rewrap_not_found",
            )
        assert (await ada.http.get(f"/api/v1/rewraps/{walk['id']}")).json()["state"] == "running"
        assert (await ada.http.get(f"/api/v1/rewraps/{uuid7()}")).status_code == 404

    async def test_only_a_paused_one_goes_on(self, app: App) -> None:
        ada = await app.caller("admin")
        walk = (await ada.http.post("/api/v1/rewraps")).json()
        place = f"/api/v1/rewraps/{walk['id']}"
        refused = await ada.http.post(f"{place}/resume")
        assert (refused.status_code, refused.json()["code"]) == (409, "security.rewrap_state")
        assert (await ada.http.post(f"{place}/pause")).json()["state"] == "paused"
        assert (await ada.http.post(f"{place}/resume")).json()["state"] == "running"
        assert (await ada.http.post(f"{place}/cancel")).json()["state"] == "cancelled"

    async def test_of_the_platform_keeps_log_ins_and_mail_going(self, app: App) -> None:
        """Its own mail, the keys that sign tokens, second factors: all are under its keys."""
        database, security = app.platform.database, app.platform.of(SecurityManager)
        async with database.transaction(Scope("test", PLATFORM_TENANT)) as tx:
            await app.platform.of(EmailManager).send_for_platform(
                tx, "ada@example.test", "From the platform", "A link"
            )
            await security.rotate_data_key(tx)
        await run_out(app, PLATFORM_TENANT)
        async with database.read(Scope("test", PLATFORM_TENANT)) as view:
            walk = await security.rewraps.find(view)
            (mail,) = await app.platform.of(EmailManager).list_emails(view, limit=10)
        assert walk is not None
        assert (walk.state, walk.left) == ("finished", {})
        assert mail.subject == "From the platform"
        # A token is signed with a key that was opened after it was sealed anew.
        security.forget(PLATFORM_TENANT)
        assert (await app.caller("viewer")).http.headers["Authorization"]
