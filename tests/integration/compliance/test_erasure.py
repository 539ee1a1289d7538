"""Forgetting a person: the trail says so and is proved as before, and nothing else is left."""

import asyncio
import base64
import contextlib
import json
import sqlite3
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from backend.core.audit import AuditRecord, Personal, leaf_hash
from backend.core.context import Scope, SystemScope
from backend.core.ids import PLATFORM_TENANT, uuid7
from backend.managers.audit import AuditManager, verify_files
from backend.managers.compliance import ComplianceManager, SubjectInUseError
from backend.managers.orchestrator import OrchestratorManager
from backend.managers.orchestrator.models import JobRow
from backend.managers.security import (
    SealBrokenError,
    SecurityManager,
    SecuritySettings,
    _pages,
)
from backend.managers.security.models import SubjectKeyRow
from backend.managers.tenant import PLATFORM, TenantManager
from backend.migrations.row_security import pass_as_owner

ADDRESS = "Grace.Hopper@navy.example.test"
ALIKE = "grace.hopper@NAVY.example.test"
PATH = "/api/v1/subjects/erase"


def scope_of(caller):
    return Scope("user:ada", caller.tenant.id, "req-1")


async def tell(app, caller, **data):
    async with app.platform.database.transaction(scope_of(caller)) as tx:
        tx.audit("thing.told", "thing:1", **data)
    await app.sequence()


async def shown(caller, **query):
    answer = await caller.http.get("/api/v1/audit", params={"limit": 100, **query})
    assert answer.status_code == 200, answer.text
    return answer.json()["items"]


async def told(caller):
    (item, *_) = await shown(caller, action="thing.told")
    return item["data"]


async def records(app, caller):
    async with app.platform.database.read(scope_of(caller)) as tx:
        return await tx.scalars(
            sa.select(AuditRecord)
            .where(AuditRecord.tenant_id == caller.tenant.id)
            .order_by(AuditRecord.id)
        )


async def record_of(app, caller):
    """The one record of what was told."""
    (found,) = [one for one in await records(app, caller) if one.action == "thing.told"]
    return found


async def everything(app, owner_url):
    """All rows of all tables in text, as their owner reads them; of SQLite the file itself, too."""
    text = []
    engine = app.platform.database.engine
    if engine.dialect.name == "sqlite":
        with contextlib.closing(sqlite3.connect(engine.url.database)) as file:
            file.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        text.append(Path(engine.url.database).read_bytes().decode("latin-1"))
    reading = sa.create_engine(owner_url)
    with reading.begin() as connection:
        if engine.dialect.name == "postgresql":
            pass_as_owner(connection)
        for name in sa.inspect(connection).get_table_names():
            rows = connection.execute(sa.select(sa.text("*")).select_from(sa.table(name)))
            text.extend(repr(tuple(row)) for row in rows)
    reading.dispose()
    return "\n".join(text).lower()


async def ask(caller, **body):
    return await caller.http.post(PATH, json=body)


async def erase(app, caller, **body):
    """Ask for it, and have a worker walk to the end."""
    begun = await ask(caller, **body)
    assert begun.status_code == 202, begun.text
    assert begun.json()["state"] == "running"
    await app.platform.of(ComplianceManager).walks.walker.run_due(app.platform.database)
    made = (await caller.http.get(f"/api/v1/subjects/erasures/{begun.json()['id']}")).json()
    assert made["state"] == "complete", made
    return made


@pytest.fixture
def app_settings(app_settings):
    """A write that is under way here ends before anybody looks."""
    return app_settings.model_copy(update={"security": SecuritySettings(settle_seconds=0)})


async def erase_for_platform(app):
    """The platform mailed the invitation: it forgets as well, once nothing is on its way."""
    scope = Scope("user:root", PLATFORM_TENANT, "req-3")
    db, compliance = app.platform.database, app.platform.of(ComplianceManager)
    async with db.transaction(scope) as tx:
        with pytest.raises(SubjectInUseError):
            await compliance.erase_subject(tx, address=ADDRESS)
        (job_id,) = await tx.scalars(sa.select(JobRow.id).where(JobRow.state == "ready"))
        await app.platform.of(OrchestratorManager).cancel_job(tx, job_id)
    async with db.transaction(scope) as tx:
        made, _ = await compliance.erase_subject(tx, address=ADDRESS)
    await compliance.walks.walker.run_due(db)
    async with db.read(scope) as tx:
        made = await compliance.get_erasure(tx, made.id)
    counts = json.loads(made.statement)["counts"]
    assert (counts["email_recipients"], counts["email_contents"]) == (1, 1)


async def public_key(caller):
    answer = await caller.http.get("/api/v1/data-keys/retirement-key")
    return Ed25519PublicKey.from_public_bytes(base64.b64decode(answer.json()["public_key"]))


@pytest.fixture
async def owner(app):
    return await app.caller()


class TestWhatIsRecorded:
    async def test_what_is_hashed_has_the_sealed_form_alone(self, app, owner):
        await tell(app, owner, email=Personal.address(ADDRESS), role="viewer")
        record = await record_of(app, owner)
        assert set(record.data["email"]) == {"$subject", "$sealed"}
        assert record.data["email"]["$subject"].startswith("email:")
        assert "hopper" not in json.dumps(record.data).lower()
        assert record.data["role"] == "viewer"
        assert await told(owner) == {"email": ADDRESS, "role": "viewer"}

    async def test_lists_and_maps_hold_it_as_well(self, app, owner):
        user = f"user:{uuid7()}"
        await tell(
            app,
            owner,
            one={"in": [Personal(user, "192.0.2.7"), "plain"]},
            two=Personal.about("client:x", "192.0.2.8"),
        )
        assert await told(owner) == {"one": {"in": ["192.0.2.7", "plain"]}, "two": "192.0.2.8"}

    async def test_all_spellings_of_an_address_have_one_key(self, app, owner):
        await tell(app, owner, a=Personal.address(ADDRESS), b=Personal.address(ALIKE))
        data = (await record_of(app, owner)).data
        assert data["a"]["$subject"] == data["b"]["$subject"]

    async def test_two_tenants_have_two_names_for_one_address(self, app, owner):
        other = await app.caller()
        name = app.platform.of(SecurityManager).subjects.name
        assert name(owner.tenant.id, f"email:{ADDRESS}") != name(
            other.tenant.id, f"email:{ADDRESS}"
        )

    async def test_a_value_moved_to_another_member_does_not_open(self, app, owner):
        await tell(app, owner, a=Personal.address(ADDRESS), b=Personal.address("b@example.test"))
        record = await record_of(app, owner)
        moved = {"b": record.data["a"]}
        async with app.platform.database.read(scope_of(owner)) as tx:
            with pytest.raises(SealBrokenError):
                await app.platform.of(SecurityManager).subjects.reveal(tx, [(record.id, moved)])

    async def test_rooms_cannot_make_up_such_members(self, app, owner):
        with pytest.raises(TypeError, match="sealed for whom"):
            await tell(app, owner, x={"$subject": "user:1"})

    async def test_nobody_told_of_costs_no_statement(self, app, owner):
        counted = []
        engine = app.platform.database.engine.sync_engine

        def count(*sent):
            counted.append(sent[2])

        sa.event.listen(engine, "before_cursor_execute", count)
        try:
            async with app.platform.database.transaction(scope_of(owner)) as tx:
                tx.audit("thing.told", "thing:1", role="viewer")
            plain = [one for one in counted if "subject_keys" in one]
            async with app.platform.database.transaction(scope_of(owner)) as tx:
                tx.audit("thing.told", "thing:1", email=Personal.address(ADDRESS))
            first = [one for one in counted if "subject_keys" in one]
            async with app.platform.database.transaction(scope_of(owner)) as tx:
                tx.audit("thing.told", "thing:1", email=Personal.address(ADDRESS))
                tx.audit("thing.told", "thing:2", email=Personal.address(ADDRESS))
            again = [one for one in counted if "subject_keys" in one]
        finally:
            sa.event.remove(engine, "before_cursor_execute", count)
        assert plain == []
        # One look for all records of an act.
        assert len(again) - len(first) == 1

    async def test_an_act_that_is_undone_leaves_no_key(self, app, owner):
        with pytest.raises(RuntimeError, match="undone"):
            async with app.platform.database.transaction(scope_of(owner)) as tx:
                tx.audit("thing.told", "thing:1", email=Personal.address(ADDRESS))
                await tx.scalar(sa.select(SubjectKeyRow.id))
                raise RuntimeError("undone")
        async with app.platform.database.read(scope_of(owner)) as tx:
            assert await tx.scalars(sa.select(SubjectKeyRow.id)) == []

    async def test_a_sealed_tenant_records_the_act_without_the_person(self, app, owner):
        await tell(app, owner, email=Personal.address(ADDRESS))
        seals = app.platform.of(SecurityManager).seals
        async with app.platform.database.transaction(scope_of(owner)) as tx:
            await seals.put(tx, "a drill")
        await seals.look(app.platform.database)
        await tell(app, owner, email=Personal.address("b@example.test"))
        async with app.platform.database.read(scope_of(owner)) as tx:
            found = await app.platform.of(AuditManager).list_records(
                tx, limit=10, action="thing.told"
            )
        assert [one.data["email"] for one in found] == ["withheld", "sealed"]
        async with app.platform.database.transaction(scope_of(owner)) as tx:
            await seals.lift(tx)
        await seals.look(app.platform.database)
        assert (await shown(owner, action="thing.told"))[-1]["data"]["email"] == ADDRESS

    async def test_words_find_it_until_it_is_erased(self, app, owner):
        await tell(app, owner, email=Personal.address(ADDRESS))
        query = {"q": "hopper@navy", "created_after": "2020-01-01T00:00:00Z"}
        now = app.platform.database.clock()
        query["created_after"] = (now - timedelta(days=1)).isoformat().replace("+00:00", "Z")
        assert len(await shown(owner, **query)) == 1
        assert (await ask(owner, address=ADDRESS)).status_code == 202
        assert await shown(owner, **query) == []


class TestErase:
    async def test_the_trail_says_erased_and_is_proved_as_before(self, app, owner, tmp_path):
        user = str(uuid7())
        audit = app.platform.of(AuditManager)
        await tell(app, owner, email=Personal.address(ADDRESS), at=Personal(f"user:{user}", "x"))
        async with app.platform.database.transaction(scope_of(owner)) as tx:
            kept = await audit.checkpoints.sign_now(tx)
        before = {one.id: leaf_hash(one) for one in await records(app, owner)}

        assert (await ask(owner, user_id=user, address=ALIKE)).status_code == 202
        # At once: the walk has not begun.
        assert await told(owner) == {"email": "erased", "at": "erased"}
        assert "hopper" not in (await owner.http.get("/api/v1/audit")).text.lower()

        after = {one.id: leaf_hash(one) for one in await records(app, owner)}
        assert before.items() <= after.items()
        await app.sequence()
        async with app.platform.database.transaction(scope_of(owner)) as tx:
            await audit.checkpoints.sign_now(tx)
        await app.sequence()
        report = (await owner.http.post("/api/v1/audit/verify")).json()
        assert (report["valid"], report["findings"]) == (True, [])

        # And by who has an export, the keys, and the checkpoint of before.
        async with app.platform.database.read(scope_of(owner)) as tx:
            lines = [line async for line in audit.lines.all(tx)]
            key = audit.checkpoints.public_key(tx).vkey
            mac = audit.lines.mac_key(owner.tenant.id).hex()
        files = {"trail": "".join(lines), "key": key, "note": kept.note, "mac": mac}
        for name, text in files.items():
            (tmp_path / name).write_text(text)
        found = verify_files(
            tmp_path / "trail", tmp_path / "key", [tmp_path / "note"], tmp_path / "mac"
        )
        assert not found.findings
        assert "hopper" not in files["trail"].lower()

    async def test_the_certificate_is_checked_with_the_public_key_alone(self, app, owner):
        await tell(app, owner, email=Personal.address(ADDRESS))
        await app.platform.of(AuditManager).checkpoints.grow(app.platform.database)
        made = await erase(app, owner, address=ADDRESS)
        key = await public_key(owner)
        signature = base64.b64decode(made["signature"])
        key.verify(signature, made["statement"].encode())
        with pytest.raises(InvalidSignature):
            key.verify(signature, made["statement"].replace("erased", "kept").encode())
        said = json.loads(made["statement"])
        assert said["act"] == "subject.erased"
        assert said["tenant"] == owner.tenant.id
        assert said["subjects"] == [made["subject"]]
        assert [one["subject"] for one in said["keys"]] == [made["subject"]]
        async with app.platform.database.read(scope_of(owner)) as tx:
            trail = await app.platform.of(AuditManager).checkpoints.state(tx)
        assert said["trail"]["tree_size"] == trail.tree_size > 0
        assert said["trail"]["tree_root"] == trail.tree_root
        assert "hopper" not in made["statement"].lower()
        listed = (await owner.http.get("/api/v1/subjects/erasures")).json()["items"]
        assert listed == [made]
        one = await owner.http.get(f"/api/v1/subjects/erasures/{made['id']}")
        assert one.json() == made

    async def test_nothing_is_left_anywhere(self, app, owner, owner_url):
        http = owner.http
        invited = await http.post(
            "/api/v1/invitations",
            json={"email": ADDRESS, "name": "Grace Hopper", "role": "viewer"},
        )
        assert invited.status_code == 201, invited.text
        held = await http.post(
            "/api/v1/suppressions", json={"address": ADDRESS, "comment": f"asked by {ADDRESS}"}
        )
        assert held.status_code == 201, held.text
        await app.sequence()
        for form in ("ndjson", "csv", "ecs", "ocsf", "cef"):
            export = (await http.post("/api/v1/audit-exports", json={"format": form})).json()
            file = await http.get(f"/api/v1/audit-exports/{export['id']}/file")
            assert "hopper@navy" in file.text.lower(), form
        assert "hopper@navy" in await everything(app, owner_url)

        made = await erase(app, owner, address=ADDRESS)
        counts = json.loads(made["statement"])["counts"]
        assert counts == {
            "email_suppressions": 1,
            "events": 2,
            "files_of_the_trail": 5,
            "invitations": 1,
        }
        await app.sequence()
        await erase_for_platform(app)
        assert "hopper" not in await everything(app, owner_url)
        for form in ("ndjson", "csv", "ecs", "ocsf", "cef"):
            export = (await http.post("/api/v1/audit-exports", json={"format": form})).json()
            file = await http.get(f"/api/v1/audit-exports/{export['id']}/file")
            assert file.text
            assert "hopper" not in file.text.lower(), form
            assert "erased" in file.text

        # Whoever asked not to be mailed is not mailed, although nobody can say who it is.
        listed = (await http.get("/api/v1/suppressions")).json()["items"]
        assert [one["address"] for one in listed] == [made["subject"]]
        sent = await http.post(
            "/api/v1/emails", json={"to": [ALIKE], "subject": "Hello", "text": "Hello"}
        )
        assert sent.status_code in {200, 201, 202, 422}, sent.text
        assert "suppressed" in sent.text

    async def test_asking_again_looks_again_and_finds_nothing(self, app, owner):
        await tell(app, owner, email=Personal.address(ADDRESS))
        first = await erase(app, owner, address=ADDRESS)
        again = await erase(app, owner, address=ALIKE)
        assert first["subject"] == again["subject"]
        assert first["id"] != again["id"]
        said = json.loads(again["statement"])
        assert (said["counts"], said["keys"], said["left"]) == ({}, [], 0)

    async def test_a_walk_is_for_all_who_are_asked_for(self, app, owner):
        await tell(app, owner, email=Personal.address(ADDRESS))
        first, other = str(uuid7()), str(uuid7())
        begun = (await ask(owner, user_id=first, address=ADDRESS)).json()
        assert (await ask(owner, address=ADDRESS)).json() == begun
        assert (await ask(owner, user_id=first)).json() == begun
        another = (await ask(owner, user_id=other, address=ADDRESS)).json()
        assert another["id"] != begun["id"]
        await app.platform.of(ComplianceManager).walks.walker.run_due(app.platform.database)
        one = (await owner.http.get(f"/api/v1/subjects/erasures/{another['id']}")).json()
        assert f"user:{other}" in json.loads(one["statement"])["subjects"]

    async def test_who_comes_back_has_a_new_key(self, app, owner):
        await tell(app, owner, email=Personal.address(ADDRESS))
        first = await erase(app, owner, address=ADDRESS)
        await tell(app, owner, email=Personal.address(ADDRESS))
        data = [one["data"]["email"] for one in await shown(owner, action="thing.told")]
        assert data == [ADDRESS, "erased"]
        second = await erase(app, owner, address=ADDRESS)
        assert second["id"] != first["id"]
        data = [one["data"]["email"] for one in await shown(owner, action="thing.told")]
        assert data == ["erased", "erased"]

    async def test_two_at_once_erase_once(self, app, owner):
        await tell(app, owner, email=Personal.address(ADDRESS))
        answers = await asyncio.gather(*(ask(owner, address=ADDRESS) for _ in range(4)))
        assert [one.status_code for one in answers] == [202] * 4
        assert len({one.json()["id"] for one in answers}) == 1
        assert len(await owner.audit(app.platform, "erasure.started")) == 1

    async def test_two_at_once_of_whom_nothing_is_known_are_one(self, app, owner):
        """No key's row is there to wait for."""
        answers = await asyncio.gather(*(ask(owner, address=ADDRESS) for _ in range(4)))
        assert [one.status_code for one in answers] == [202] * 4
        assert len({one.json()["id"] for one in answers}) == 1

    async def test_of_whom_nothing_is_known_it_says_so(self, app, owner):
        said = json.loads((await erase(app, owner, address="nobody@example.test"))["statement"])
        assert (said["counts"], said["keys"]) == ({}, [])

    async def test_a_member_is_removed_first(self, app, owner):
        async with app.platform.database.transaction(SystemScope(PLATFORM)) as tx:
            tenants = app.platform.of(TenantManager)
            user = await tenants.create_user(
                tx, email=ADDRESS, name="Grace", password_hash=None, platform_role=None
            )
            await tenants.add_member(
                tx, tenant_id=owner.tenant.id, user_id=user.id, role="viewer", granter=None
            )
        answer = await ask(owner, user_id=user.id)
        assert answer.status_code == 409
        assert "member" in answer.json()["detail"]
        removed = await owner.http.delete(f"/api/v1/members/{user.id}")
        assert removed.status_code == 204, removed.text
        assert (await ask(owner, user_id=user.id)).status_code == 202

    async def test_another_tenants_trail_keeps_what_it_tells(self, app, owner):
        other = await app.caller()
        await tell(app, owner, email=Personal.address(ADDRESS))
        await tell(app, other, email=Personal.address(ADDRESS))
        await erase(app, owner, address=ADDRESS)
        assert await told(other) == {"email": ADDRESS}

    async def test_neither_id_nor_address_is_refused(self, owner):
        assert (await ask(owner)).status_code == 422

    @pytest.mark.parametrize("role", ["operator", "viewer", "workflow", "auditor"])
    async def test_takes_an_administrator(self, app, owner, role):
        caller = await app.caller(role, owner.tenant)
        assert (await ask(caller, address=ADDRESS)).status_code == 403
        assert (await caller.http.get("/api/v1/subjects/erasures")).status_code == 403

    async def test_mail_that_is_on_its_way_is_waited_for(self, app, owner):
        sent = await owner.http.post(
            "/api/v1/emails", json={"to": [ADDRESS], "subject": "Hello", "text": "Hello"}
        )
        assert sent.status_code in {200, 201, 202}, sent.text
        answer = await ask(owner, address=ADDRESS)
        assert answer.status_code == 409
        assert answer.json()["code"] == SubjectInUseError.code
        email_id, job_id = sent.json()["id"], sent.json()["job_id"]
        cancelled = await owner.http.post(f"/api/v1/jobs/{job_id}/cancel")
        assert cancelled.status_code == 200, cancelled.text
        made = await erase(app, owner, address=ADDRESS)
        counts = json.loads(made["statement"])["counts"]
        assert (counts["email_recipients"], counts["email_contents"]) == (1, 1)
        one = (await owner.http.get(f"/api/v1/emails/{email_id}")).json()
        assert "hopper" not in json.dumps(one).lower()


class TestWalk:
    async def test_a_walk_in_flight_seals_nothing_of_who_is_erased(self, app, owner):
        """The walk has read the key's row, and writes after the erasure and after the return."""
        await tell(app, owner, email=Personal.address(ADDRESS))
        security = app.platform.of(SecurityManager)
        db = app.platform.database
        async with db.read(scope_of(owner)) as tx:
            (row,) = await tx.scalars(sa.select(SubjectKeyRow))
            old = row.wrapped
            keyring = await security.keyring(tx)
        fresh = keyring.seal(
            f"subject_key:{row.subject}", keyring.open(f"subject_key:{row.subject}", old)
        )
        await erase(app, owner, address=ADDRESS)
        await tell(app, owner, email=Personal.address(ADDRESS))
        column = next(one for one in app.platform.house.sealed if one.model is SubjectKeyRow)
        key = {"tenant_id": owner.tenant.id, "subject": row.subject}
        found = _pages.Found(key, 1, old, {})
        async with db.transaction(scope_of(owner)) as tx:
            assert await _pages.replace_values(tx, column, [(found, fresh)]) == 0
        data = [one["data"]["email"] for one in await shown(owner, action="thing.told")]
        assert data == [ADDRESS, "erased"]

    async def test_a_rotation_leaves_what_is_told_readable(self, app, owner):
        await tell(app, owner, email=Personal.address(ADDRESS))
        column = next(one for one in app.platform.house.sealed if one.model is SubjectKeyRow)
        assert column.name == "subject_keys.wrapped"
        assert await told(owner) == {"email": ADDRESS}


class TestPlatform:
    async def test_log_ins_are_told_of_until_the_person_is_erased(self, app, owner):
        user = str(uuid7())
        platform = Scope(f"user:{user}", PLATFORM_TENANT, "req-2")
        async with app.platform.database.transaction(SystemScope(PLATFORM)) as tx:
            tx.audit("thing.told", "thing:1", address=Personal(f"user:{user}", "192.0.2.7"))
        async with app.platform.database.read(platform) as tx:
            (one,) = await app.platform.of(AuditManager).list_records(
                tx, limit=10, action="thing.told"
            )
        assert one.data == {"address": "192.0.2.7"}
        compliance = app.platform.of(ComplianceManager)
        async with app.platform.database.transaction(platform) as tx:
            made, is_new = await compliance.erase_subject(tx, user_id=user)
        assert is_new
        await compliance.walks.walker.run_due(app.platform.database)
        async with app.platform.database.read(platform) as tx:
            made = await compliance.get_erasure(tx, made.id)
        assert json.loads(made.statement)["tenant"] == PLATFORM_TENANT
        async with app.platform.database.read(platform) as tx:
            (one,) = await app.platform.of(AuditManager).list_records(
                tx, limit=10, action="thing.told"
            )
        assert one.data == {"address": "erased"}
