"""Tenants from the platform's side: suspended, resumed, renamed, deleted, restored, purged."""

import asyncio
import base64
import json
from datetime import timedelta

import pytest
import sqlalchemy as sa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from backend.core.audit import AuditRecord
from backend.core.context import Scope, SystemScope
from backend.core.ids import PLATFORM_TENANT
from backend.managers.audit import AuditManager
from backend.managers.email.models import ContentRow, EmailRow
from backend.managers.metrics import MetricsManager
from backend.managers.orchestrator import WORK
from backend.managers.orchestrator._claim import Places, claim
from backend.managers.orchestrator.models import JobRow
from backend.managers.security import KeyUnavailableError, SecurityManager
from backend.managers.security.models import DataKey
from backend.managers.tenant import TenantManager
from backend.managers.tenant.models import TenantRow
from tests.security.conftest import People
from tests.support.errands import EVERYTHING

MAIL = {"to": ["ada@example.test"], "subject": "Hello", "text": "Hello\n"}
WHY = "The invoice of October is unpaid"


@pytest.fixture
def people(app):
    return People(app)


@pytest.fixture
async def root(app, people):
    """A client of a person who administers the platform, by a tenant of their own."""
    home = await app.caller()
    person = await people.person(platform_role="administrator")
    await people.member(home.tenant, person, "owner")
    http = await people.acting(person)
    http.home = home.tenant
    return http


@pytest.fixture
async def ada(app):
    return await app.caller()


def at(tenant, act=""):
    return f"/api/v1/platform/tenants/{tenant.id}{act}"


async def suspend(root, tenant, reason=WHY):
    answer = await root.post(at(tenant, "/suspend"), json={"reason": reason})
    assert answer.status_code == 200, answer.text
    return answer.json()


async def delete(root, tenant):
    answer = await root.delete(at(tenant), params={"slug": tenant.slug})
    assert answer.status_code == 200, answer.text
    return answer.json()


async def acts(app, prefix):
    async with app.platform.database.read(SystemScope(EVERYTHING)) as tx:
        rows = await tx.scalars(
            sa.select(AuditRecord)
            .where(AuditRecord.tenant_id == PLATFORM_TENANT)
            .order_by(AuditRecord.id)
        )
        return [row for row in rows if row.action.startswith(prefix)]


async def claimed(app):
    """What a worker takes now."""
    async with app.platform.database.transaction(SystemScope(WORK)) as tx:
        return (await claim(tx, "w", Places(100), ["email.send"])).claims


async def counted(app, model, tenant):
    async with app.platform.database.read(SystemScope(EVERYTHING)) as tx:
        return await tx.scalar(
            sa.select(sa.func.count()).select_from(model).where(model.tenant_id == tenant.id)
        )


async def let_time_pass(app, tenant):
    """Its grace period is over."""
    async with app.platform.database.transaction(SystemScope(EVERYTHING)) as tx:
        row = await tx.scalar(sa.select(TenantRow).where(TenantRow.id == tenant.id))
        row.purge_at -= timedelta(days=31)


async def purge(app):
    await app.platform.of(TenantManager).purge_due(app.platform.database)


class TestSuspend:
    async def test_refuses_with_the_reason_and_resumes(self, app, root, ada):
        shown = await suspend(root, ada.tenant)
        assert (shown["state"], shown["reason"]) == ("suspended", WHY)
        refused = await ada.http.get("/api/v1/me")
        assert (refused.status_code, refused.json()["code"]) == (403, "tenant.suspended")
        assert refused.json()["detail"] == WHY
        answer = await root.post(at(ada.tenant, "/resume"))
        assert (answer.json()["state"], answer.json()["reason"]) == ("active", None)
        assert (await ada.http.get("/api/v1/me")).status_code == 200
        assert [(one.action, one.data) for one in await acts(app, "tenant.")][-2:] == [
            ("tenant.suspended", {"reason": WHY}),
            ("tenant.resumed", {}),
        ]

    async def test_tells_strangers_nothing(self, app, root, ada):
        await suspend(root, ada.tenant)
        form = {"grant_type": "client_credentials"}
        answers = [
            await app.client().post("/oauth/token", data=form, auth=(client_id, "wrong"))
            for client_id in (ada.client_id, "es_nobody")
        ]
        assert [one.status_code for one in answers] == [401, 401]
        assert answers[0].content == answers[1].content

    async def test_says_so_once_whatever_one_signs_in_with(self, app, root, ada, people):
        person = await people.person()
        await people.member(ada.tenant, person, "viewer")
        await suspend(root, ada.tenant)
        login = await people.id_token(person.email)
        answers = [
            await people.exchange(login),
            await people.exchange(login, tenant=ada.tenant.id),
            await app.client().post(
                "/oauth/token",
                data={"grant_type": "client_credentials"},
                auth=(ada.client_id, ada.client_secret),
            ),
        ]
        for answer in answers:
            assert answer.status_code == 403
            body = answer.json()
            assert (body["error"], body["code"]) == ("access_denied", "tenant.suspended")
            assert body["detail"] == WHY
        stranger = await people.person()
        asked = await people.exchange(await people.id_token(stranger.email), tenant=ada.tenant.id)
        assert asked.json()["error"] == "invalid_target"

    async def test_another_tenant_of_the_person_stays_open(self, app, root, ada, people):
        person, other = await people.person(), await app.caller()
        for tenant in (ada.tenant, other.tenant):
            await people.member(tenant, person, "viewer")
        await suspend(root, ada.tenant)
        http = await people.acting(person)
        assert (await http.get("/api/v1/me")).json()["tenant"]["id"] == other.tenant.id

    async def test_holds_jobs_and_lets_them_go_on(self, app, root, ada):
        other = await app.caller()
        for caller in (ada, other):
            assert (await caller.http.post("/api/v1/emails", json=MAIL)).status_code == 202
        await suspend(root, ada.tenant)
        assert {one.tenant_id for one in await claimed(app)} == {other.tenant.id}
        assert await counted(app, JobRow, ada.tenant) == 1
        await root.post(at(ada.tenant, "/resume"))
        assert [one.tenant_id for one in await claimed(app)] == [ada.tenant.id]

    async def test_holds_a_tenant_that_never_had_jobs(self, app, root, ada):
        await suspend(root, ada.tenant)
        async with app.platform.database.transaction(Scope("t", ada.tenant.id)) as tx:
            await tx.insert(
                JobRow,
                [
                    {
                        "tenant_id": ada.tenant.id,
                        "id": ada.tenant.id,
                        "kind": "email.send",
                        "args": {},
                        "due_at": tx.now() - timedelta(seconds=1),
                        "timeout_seconds": 1.0,
                        "max_attempts": 1,
                        "backoff_seconds": 1.0,
                        "traceparent": "",
                        "actor": "t",
                        "created_at": tx.now(),
                    }
                ],
            )
        assert await claimed(app) == []

    async def test_refuses_what_would_shut_the_caller_out(self, root):
        answer = await root.post(at(root.home, "/suspend"), json={"reason": WHY})
        assert (answer.status_code, answer.json()["code"]) == (409, "tenant.needed")
        assert (await root.get("/api/v1/me")).status_code == 200

    @pytest.mark.parametrize("act", ["suspend", "resume", "restore", "rename", "delete"])
    async def test_the_platforms_own_stays(self, root, act):
        path = f"/api/v1/platform/tenants/{PLATFORM_TENANT}"
        answer = {
            "rename": lambda: root.put(path, json={"name": "Mine"}),
            "delete": lambda: root.delete(path, params={"slug": "platform"}),
        }.get(act, lambda: root.post(f"{path}/{act}", json={"reason": WHY}))
        assert (await answer()).json()["code"] == "tenant.needed"

    async def test_of_two_at_once_one_wins(self, root, ada):
        answers = await asyncio.gather(
            *(root.post(at(ada.tenant, "/suspend"), json={"reason": WHY}) for _ in range(4))
        )
        assert sorted(one.status_code for one in answers) == [200, 409, 409, 409]


class TestRename:
    async def test_changes_name_and_slug(self, app, root, ada):
        body = {"name": "Acme Group", "slug": "acme-group"}
        answer = await root.put(at(ada.tenant), json=body)
        assert {name: answer.json()[name] for name in body} == body
        (act,) = await acts(app, "tenant.renamed")
        assert act.data["after"] == body

    async def test_refuses_a_taken_slug(self, app, root, ada):
        other = await app.caller()
        answer = await root.put(at(ada.tenant), json={"slug": other.tenant.slug})
        assert (answer.status_code, answer.json()["code"]) == (409, "tenant.slug_taken")

    async def test_is_for_the_platform_alone(self, ada):
        assert (await ada.http.put(at(ada.tenant), json={"name": "x"})).status_code == 403
        assert (await ada.http.post(at(ada.tenant, "/resume"))).status_code == 403


class TestDelete:
    async def test_asks_for_the_slug(self, root, ada):
        answer = await root.delete(at(ada.tenant), params={"slug": "other"})
        assert (answer.status_code, answer.json()["code"]) == (422, "tenant.confirmation")
        assert (await ada.http.get("/api/v1/me")).status_code == 200

    async def test_refuses_at_once_and_restores_what_was(self, root, ada):
        deleted = await delete(root, ada.tenant)
        assert deleted["state"] == "deleting"
        refused = await ada.http.get("/api/v1/me")
        assert (refused.status_code, refused.json()["state"]) == (403, "deleting")
        answer = await root.post(at(ada.tenant, "/restore"))
        assert (answer.json()["state"], answer.json()["purge_at"]) == ("active", None)
        assert (await ada.http.get("/api/v1/me")).status_code == 200

    async def test_a_suspended_one_comes_back_suspended(self, root, ada):
        await suspend(root, ada.tenant)
        await delete(root, ada.tenant)
        answer = await root.post(at(ada.tenant, "/restore"))
        assert (answer.json()["state"], answer.json()["reason"]) == ("suspended", WHY)

    async def test_can_be_done_again_after_a_restoration(self, root, ada):
        await delete(root, ada.tenant)
        await root.post(at(ada.tenant, "/restore"))
        assert (await delete(root, ada.tenant))["state"] == "deleting"


class TestPurge:
    @pytest.mark.slow
    async def test_leaves_nothing_but_the_trail_and_a_certificate(self, app, root, ada):
        other = await app.caller()
        for caller in (ada, other):
            assert (await caller.http.post("/api/v1/emails", json=MAIL)).status_code == 202
            await caller.http.post("/api/v1/api-keys", json={"name": "k", "role": "viewer"})
        await delete(root, ada.tenant)
        await purge(app)
        assert await counted(app, EmailRow, ada.tenant) == 1  # its time has not come
        await let_time_pass(app, ada.tenant)
        await app.sequence()
        # Seen while it was deleted already, and still in memory when its data goes.
        assert (await ada.http.get("/api/v1/me")).status_code == 403
        app.asgi._telemetry.drain()
        await purge(app)
        metrics, tenants = app.platform.of(MetricsManager), app.platform.of(TenantManager)
        # Of a slow machine the tick has written it meanwhile: what counts is that nothing stays.
        await metrics.flush(app.platform.database, everything=True)
        await tenants.flush(app.platform.database)
        kept = {"audit_records", "audit_heads"}
        for table in app.platform.house.rooms:
            for model in table.models:
                if hasattr(model, "tenant_id") and model.__tablename__ not in kept:
                    assert await counted(app, model, ada.tenant) == 0, model.__tablename__
        assert await counted(app, ContentRow, other.tenant) == 1
        assert (await root.get(at(ada.tenant))).status_code == 404
        (found,) = (await root.get("/api/v1/platform/tenant-certificates")).json()["items"]
        assert (found["tenant_id"], found["slug"]) == (ada.tenant.id, ada.tenant.slug)
        assert found["counts"]["email_messages"] == found["counts"]["data_keys"] == 1
        assert found["deleted_by"].startswith("user:")
        async with app.platform.database.read(Scope("t", ada.tenant.id)) as tx:
            report = await app.platform.of(AuditManager).verify_chain(tx)
        assert report.valid
        assert (report.head_seq, report.head_hash) == (found["audit_seq"], found["audit_root"])
        (act,) = await acts(app, "tenant.purged")
        assert act.data["counts"] == found["counts"]
        # The keys that are gone, in words that anybody checks with the public key.
        signer = app.platform.of(SecurityManager).rewraps.signer
        key = Ed25519PublicKey.from_public_bytes(base64.b64decode(signer.public_key))
        key.verify(base64.b64decode(found["signature"]), found["statement"].encode())
        said = json.loads(found["statement"])
        assert (said["act"], said["tenant"]) == ("tenant.purged", ada.tenant.id)
        assert [one["version"] for one in said["keys"]] == [1]
        assert said["counts"] == found["counts"]
        assert said["trail"]["seq"] == found["audit_seq"]

    @pytest.mark.slow
    async def test_what_was_sealed_stays_so(self, app, root, ada):
        """A copy of the rows from before is worth nothing: the key is gone everywhere."""
        await ada.http.post("/api/v1/emails", json=MAIL)
        security = app.platform.of(SecurityManager)
        async with app.platform.database.read(Scope("t", ada.tenant.id)) as tx:
            await security.keyring(tx)
        await delete(root, ada.tenant)
        await let_time_pass(app, ada.tenant)
        await purge(app)
        assert await counted(app, DataKey, ada.tenant) == 0
        async with app.platform.database.read(Scope("t", ada.tenant.id)) as tx:
            with pytest.raises(KeyUnavailableError):
                await security.keyring(tx)

    @pytest.mark.slow
    async def test_waits_for_the_trails_last_numbers(self, app, root, ada):
        await ada.http.post("/api/v1/emails", json=MAIL)
        await delete(root, ada.tenant)
        await let_time_pass(app, ada.tenant)
        await purge(app)
        assert (await root.get(at(ada.tenant))).json()["state"] == "deleting"
        answer = await root.post(at(ada.tenant, "/restore"))
        assert answer.json()["code"] == "tenant.state"  # its data has begun to go
        await app.sequence()
        await asyncio.gather(*(purge(app) for _ in range(3)))
        assert (await root.get(at(ada.tenant))).status_code == 404
        assert len(await acts(app, "tenant.purged")) == 1

    async def test_the_slug_is_free_again(self, app, root, ada):
        await delete(root, ada.tenant)
        await let_time_pass(app, ada.tenant)
        await app.sequence()
        await purge(app)
        body = {"name": "New", "slug": ada.tenant.slug}
        assert (await root.post("/api/v1/platform/tenants", json=body)).status_code == 201
