"""The platform's own trail over HTTP: read, verified, taken away and pushed by its own people."""

import asyncio
import json

import pytest
import sqlalchemy as sa

from backend.core.audit import SEQUENCER, AuditHead
from backend.core.context import Principal, Scope, SystemScope
from backend.core.events import EventRecord
from backend.core.ids import PLATFORM_TENANT
from backend.managers.audit import READ_PLATFORM, AuditManager, AuditSettings, _export
from backend.managers.audit.models import ExportRow, StreamRow
from backend.managers.gateway import GatewayManager
from backend.managers.orchestrator import OrchestratorManager, Worker
from tests.support.roles import ROLES
from tests.support.syslog import parsed, receiver

TRAIL = "/api/v1/platform/audit"
VERIFY = f"{TRAIL}/verify"
EXPORTS = f"{TRAIL}-exports"
STREAM = f"{TRAIL}-stream"
WEBHOOK = {"kind": "webhook", "target": "https://siem.example.com/audit", "from_beginning": True}


@pytest.fixture
def app_settings(app_settings):
    return app_settings.model_copy(update={"audit": AuditSettings(allow_private_streams=True)})


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
        permissions=ROLES.by_name["owner"] | ROLES.by_platform["administrator"],
        role="owner",
        platform_role="administrator",
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


async def rows(app, model, tenant_id=PLATFORM_TENANT):
    async with app.platform.database.read(Scope("test", tenant_id)) as tx:
        return await tx.scalars(sa.select(model))


async def acts(app, noun):
    """What the platform's trail has of it, oldest first."""
    return [each.action for each in reversed(await own_records(app)) if noun in each.action]


async def ended(root, export):
    told = {}
    for _ in range(400):
        told = (await root.get(f"{EXPORTS}/{export['id']}")).json()
        if told["state"] != "running":
            return told
        await asyncio.sleep(0.02)
    raise AssertionError(told)


class TestPlatformExports:
    async def test_a_job_makes_a_file_of_the_platforms_records_alone(
        self, app, tenant, root, monkeypatch
    ):
        monkeypatch.setattr(_export, "_PIECE", 2)
        async with app.platform.database.transaction(Scope("user:ada", tenant.tenant.id)) as tx:
            tx.audit("thing.made", "thing:1")
        before = [each.id for each in reversed(await own_records(app))]
        answer = await root.post(EXPORTS, json={"format": "ndjson"})
        assert (answer.status_code, answer.json()["state"]) == (202, "running"), answer.text
        worker = Worker(
            app.platform.database, app.platform.of(OrchestratorManager), poll_seconds=0.05
        )
        task = asyncio.create_task(worker.run())
        try:
            told = await ended(root, answer.json())
        finally:
            worker.stop()
            await task
        assert (told["state"], told["records"]) == ("ready", len(before))
        file = await root.get(f"{EXPORTS}/{told['id']}/file")
        found = [json.loads(line) for line in file.text.splitlines()]
        assert [each["id"] for each in found] == before
        assert {each["tenant"] for each in found} == {PLATFORM_TENANT}
        assert 'filename="platform-audit-' in file.headers["content-disposition"]
        assert (await root.delete(f"{EXPORTS}/{told['id']}")).status_code == 204
        assert await acts(app, "audit_export") == [
            f"audit_export.{done}" for done in ("started", "downloaded", "deleted")
        ]
        assert not await tenant.audit(app.platform, "audit_export.started")

    @pytest.mark.parametrize("form", ["csv", "ecs", "ocsf", "cef"])
    async def test_is_made_at_once_when_it_is_short_in_every_format(self, root, form):
        body = {"format": form, "action": "tenant.created"}
        made = (await root.post(EXPORTS, json=body)).json()
        assert (made["state"], made["records"], made["job_id"]) == ("ready", 1, None)
        text = (await root.get(f"{EXPORTS}/{made['id']}/file")).text
        assert text.rstrip().count("\n") == (form == "csv")

    async def test_a_request_that_is_sent_again_makes_one_file(self, app, root):
        body, key = {"format": "csv"}, {"Idempotency-Key": "the-same"}
        first, again = [await root.post(EXPORTS, json=body, headers=key) for _ in range(2)]
        assert first.json() == again.json()
        assert len(await rows(app, ExportRow)) == 1

    async def test_the_platforms_files_are_no_tenants(self, app, tenant, root):
        made = (await root.post(EXPORTS, json={"format": "csv"})).json()
        own = (await root.post("/api/v1/audit-exports", json={"format": "csv"})).json()
        for path, ours, other in (
            (EXPORTS, made, own),
            ("/api/v1/audit-exports", own, made),
        ):
            assert [each["id"] for each in (await root.get(path)).json()["items"]] == [ours["id"]]
            for method, below in (("GET", ""), ("GET", "/file"), ("DELETE", "")):
                answer = await root.request(method, f"{path}/{other['id']}{below}")
                assert answer.json()["code"] == "audit.export_not_found"


class TestPlatformStream:
    async def test_a_syslog_receiver_gets_every_record_in_order(self, app, root, tmp_path):
        async with receiver(tmp_path) as siem:
            body = {
                "kind": "syslog",
                "target": f"127.0.0.1:{siem.port}",
                "ca_certificate": siem.ca,
                "from_beginning": True,
            }
            assert (await root.put(STREAM, json=body)).status_code == 200
            await app.sequence()
            streams = app.platform.of(AuditManager).streams
            assert await streams.push_due(app.platform.database) == 1
            await streams.settle()
        sent = [parsed(each) for each in siem.messages]
        records = [json.loads(text) for _, text in sent]
        numbered = [each for each in reversed(await own_records(app)) if each.seq]
        assert [each["id"] for each in records] == [each.id for each in numbered]
        assert {head[4] for head, _ in sent} == {PLATFORM_TENANT}
        assert records[-1]["action"] == "audit_stream.saved"
        told = (await root.get(STREAM)).json()
        assert (told["seq"], told["behind"], told["failures"]) == (numbered[-1].seq, 0, 0)

    async def test_is_changed_and_ended_on_record_and_no_tenants(self, app, tenant, root):
        made = (await root.put(STREAM, json=WEBHOOK)).json()
        assert made["secret"].startswith("whsec_")
        again = (await root.put(STREAM, json={**WEBHOOK, "paused": True})).json()
        assert (again["paused"], again["secret"]) == (True, None)
        assert (await root.get("/api/v1/audit-stream")).status_code == 404
        assert [each.tenant_id for each in await rows(app, StreamRow)] == [PLATFORM_TENANT]
        assert (await root.delete(STREAM)).status_code == 204
        assert (await root.get(STREAM)).json()["code"] == "audit.stream_not_found"
        told = [f"audit_stream.{done}" for done in ("saved", "saved", "deleted")]
        assert await acts(app, "audit_stream") == told
        kinds = [each.kind for each in await rows(app, EventRecord)]
        assert [kind for kind in kinds if kind.startswith("audit_stream")] == told
        assert not await tenant.audit(app.platform, "audit_stream.saved")

    async def test_refuses_what_is_no_target(self, root):
        answer = await root.put(STREAM, json={**WEBHOOK, "target": "ftp://siem.example.com/"})
        assert (answer.status_code, answer.json()["code"]) == (422, "audit.stream_invalid")


@pytest.mark.parametrize(
    ("method", "path", "permission"),
    [
        ("GET", EXPORTS, "platform_audit:export"),
        ("POST", EXPORTS, "platform_audit:export"),
        ("GET", STREAM, "platform_audit_stream:read"),
        ("PUT", STREAM, "platform_audit_stream:write"),
        ("DELETE", STREAM, "platform_audit_stream:write"),
    ],
)
async def test_nobody_of_a_tenant_takes_the_platforms_trail_away(tenant, method, path, permission):
    answer = await tenant.http.request(method, path, json={})
    assert (answer.status_code, answer.json()["permission"]) == (403, permission)
