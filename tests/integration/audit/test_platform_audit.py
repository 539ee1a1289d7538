"""The platform's own trail over HTTP: read and verified by those who run it, by nobody else."""

import pytest
import sqlalchemy as sa

from backend.core.audit import SEQUENCER, AuditHead
from backend.core.context import Principal, Scope, SystemScope
from backend.core.ids import PLATFORM_TENANT
from backend.managers.audit import READ_PLATFORM, AuditManager
from backend.managers.gateway import GatewayManager
from tests.support.roles import ROLES

TRAIL = "/api/v1/platform/audit"
VERIFY = f"{TRAIL}/verify"


@pytest.fixture
async def tenant(app):
    """An owner of a tenant; making it left `tenant.created` in the platform's trail."""
    return await app.caller()


@pytest.fixture
def root(app, tenant, monkeypatch):
    """The same one's client, who may also look at the platform."""
    principal = Principal(
        subject="user:root",
        kind="user",
        tenant_id=tenant.tenant.id,
        permissions=ROLES.by_name["owner"] | {"platform_audit:read"},
        role="owner",
    )
    monkeypatch.setattr(app.platform.of(GatewayManager), "cached_principal", lambda _: principal)
    return tenant.http


async def own_records(app):
    async with app.platform.database.read(SystemScope(READ_PLATFORM)) as tx:
        return await app.platform.of(AuditManager).list_records(tx, limit=200)


class TestListPlatformAudit:
    async def test_gives_the_platforms_acts_alone(self, app, tenant, root):
        async with app.platform.database.transaction(Scope("user:ada", tenant.tenant.id)) as tx:
            tx.audit("thing.made", "thing:1")
        found = (await root.get(TRAIL)).json()["items"]
        assert "tenant.created" in {each["action"] for each in found}
        assert "thing.made" not in {each["action"] for each in found}

    async def test_filters_by_action_and_target(self, root, tenant):
        query = {"action": "tenant.*", "target": f"tenant:{tenant.tenant.id}"}
        (found,) = (await root.get(TRAIL, params=query)).json()["items"]
        assert found["data"] == {"name": tenant.tenant.name, "slug": tenant.tenant.slug}


class TestVerifyPlatformAudit:
    async def test_proves_the_platforms_chain_and_no_tenants(self, app, root):
        await app.sequence()
        numbered = [each for each in await own_records(app) if each.seq is not None]
        report = (await root.post(VERIFY)).json()
        assert report == {
            "valid": True,
            "records": len(numbered),
            "head_seq": numbered[0].seq,
            "head_hash": numbered[0].hash,
            "first_invalid_seq": None,
            "unsequenced": 0,
            "from_seq": 1,
            "complete": True,
            "findings": [],
            "removed_seq": 0,
        }

    async def test_is_itself_on_record_in_the_platforms_trail(self, app, tenant, root):
        assert (await root.post(VERIFY)).status_code == 200
        newest, *_ = await own_records(app)
        assert (newest.action, newest.actor) == ("audit.verified", "user:root")
        assert newest.target == f"tenant:{PLATFORM_TENANT}"
        assert newest.data == {"valid": True}
        assert not await tenant.audit(app.platform, "audit.verified")

    async def test_names_the_first_record_that_does_not_hold(self, app, root):
        await app.sequence()
        numbered = (await own_records(app))[0].seq
        longer = sa.update(AuditHead).where(AuditHead.tenant_id == PLATFORM_TENANT)
        async with app.platform.database.transaction(SystemScope(SEQUENCER)) as tx:
            await tx.execute(longer.values(seq=numbered + 1))
        report = (await root.post(VERIFY)).json()
        assert (report["valid"], report["first_invalid_seq"]) == (False, numbered + 1)
        assert {one["by"] for one in report["findings"]} == {"enumeration", "mac"}

    @pytest.mark.parametrize(("method", "path"), [("GET", TRAIL), ("POST", VERIFY)])
    async def test_is_refused_to_the_owner_of_a_tenant(self, app, tenant, method, path):
        before = len(await own_records(app))
        answer = await tenant.http.request(method, path)
        assert answer.status_code == 403
        assert answer.json()["permission"] == "platform_audit:read"
        assert len(await own_records(app)) == before
