"""The tree over a trail: grown, signed, handed out, and proved to whoever asks by HTTP."""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from pydantic import SecretStr

from backend.core.audit import AuditHead, sequence
from backend.core.context import Scope, SystemScope
from backend.core.database import Database, DatabaseUnavailableError, Tx
from backend.core.errors import UnavailableError
from backend.core.ids import uuid7
from backend.managers.audit import (
    VERIFY,
    AuditManager,
    AuditSettings,
    CheckpointsWaitingError,
    SignedTree,
    _publishing,
    offline,
)
from backend.managers.audit._publishing import WATCH_CHECKPOINTS
from backend.managers.audit.models import AuditTile
from tests.support.platform import App, TenantClient
from tests.support.trail import open_audit

CHECKPOINTS = "/api/v1/audit/checkpoints"


async def act(database: Database, tenant_id: str, count: int) -> None:
    async with database.transaction(Scope("user:ada", tenant_id, "req-1")) as tx:
        for number in range(count):
            tx.audit("thing.made", f"thing:{number}", size=number)


async def number(database: Database) -> None:
    while await sequence(database):
        pass


async def head_of(database: Database, tenant_id: str) -> AuditHead:
    async with database.read(Scope("a", tenant_id)) as tx:
        head: AuditHead = await tx.scalar(sa.select(AuditHead))
        return head


async def kept(database: Database, tenant_id: str) -> list[SignedTree]:
    async with database.read(Scope("a", tenant_id)) as tx:
        return await open_audit().checkpoints.list(tx, limit=200)


class TestGrow:
    async def test_every_record_becomes_a_leaf_once(
        self, database: Database, tenant_id: str
    ) -> None:
        audit = open_audit()
        other = uuid7()
        for tenant, counts in ((tenant_id, (3, 700, 40)), (other, (1, 0, 33))):
            for count in counts:
                await act(database, tenant, count)
        await number(database)
        grown = await asyncio.gather(*(audit.checkpoints.grow(database) for _ in range(3)))
        assert sum(grown) == 743 + 34
        assert await audit.checkpoints.grow(database) == 0
        for tenant, size in ((tenant_id, 743), (other, 34)):
            assert (await head_of(database, tenant)).tree_size == size
            async with database.read(Scope("a", tenant)) as tx:
                assert (await audit.verify_chain(tx)).findings == ()
                stored = await tx.scalar(sa.select(sa.func.sum(sa.func.length(AuditTile.hashes))))
                assert stored == 32 * (size + size // 32)

    async def test_an_outage_is_waited_out(
        self, database: Database, tenant_id: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        audit = open_audit(
            AuditSettings(checkpoint_seconds=1, checkpoint_url=SecretStr("http://127.0.0.1:9"))
        )
        await act(database, tenant_id, 1)
        await number(database)

        def away(*_: object) -> None:
            raise DatabaseUnavailableError

        with monkeypatch.context() as patched:
            patched.setattr(database, "read", away)
            for duty in (audit.checkpoints.grow, audit.checkpoints.sign_due):
                with pytest.raises(DatabaseUnavailableError):
                    await duty(database)
            assert await audit.publishing.publish(database) == 0
        assert await audit.checkpoints.grow(database) == 1


class TestSignDue:
    async def test_signs_what_grew_once_a_period(self, database: Database, tenant_id: str) -> None:
        audit = open_audit(AuditSettings(checkpoint_seconds=86_400))
        await act(database, tenant_id, 40)
        await number(database)
        assert await audit.checkpoints.sign_due(database) == 0
        await audit.checkpoints.grow(database)
        # The period has begun: another process comes too early.
        assert await open_audit(AuditSettings()).checkpoints.sign_due(database) == 0
        assert await kept(database, tenant_id) == []
        async with database.transaction(Scope("a", tenant_id)) as tx:
            made = await audit.checkpoints.sign_now(tx)
        assert made.size == 40
        verifier = audit.checkpoints.verifier(tenant_id)
        said = verifier.checkpoint(made.note)
        assert (said.origin, said.size) == (f"email-sender/{tenant_id}", 40)
        assert said.root.hex() == made.root
        assert [one.size for one in await kept(database, tenant_id)] == [40]

    async def test_the_first_in_a_period_signs_for_all_tenants(
        self, database: Database, tenant_id: str
    ) -> None:
        audit, other = open_audit(), uuid7()
        for tenant in (tenant_id, other):
            await act(database, tenant, 2)
        await number(database)
        await audit.checkpoints.grow(database)
        signed = await asyncio.gather(*(audit.checkpoints.sign_due(database) for _ in range(3)))
        assert sorted(signed) == [0, 0, 2]
        # What did not grow is not signed again, and leaves no row.
        async with database.transaction(Scope("a", tenant_id)) as tx:
            assert await audit.checkpoints._sign(tx, tenant_id) == 0


class _Receiver:
    """A place outside that answers as it is told."""

    def __init__(self) -> None:
        self.statuses = [200]
        self.bodies: list[Any] = []
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = next(
            int(line.split(":")[1])
            for line in head.splitlines()
            if line.lower().startswith("content-length")
        )
        self.bodies.append(json.loads(await reader.readexactly(length)))
        status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        answer = f"HTTP/1.1 {status} Said\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        writer.write(answer.encode())
        await writer.drain()
        writer.close()


@pytest.fixture
async def receiver() -> AsyncIterator[_Receiver]:
    made = _Receiver()
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/token-7f"
    yield made
    server.close()
    await server.wait_closed()


class TestPublish:
    async def test_hands_out_at_least_once_and_in_order(
        self,
        database: Database,
        tenant_id: str,
        tmp_path: Path,
        receiver: _Receiver,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        file = tmp_path / "elsewhere" / "checkpoints"
        audit = open_audit(
            AuditSettings(checkpoint_file=file, checkpoint_url=SecretStr(receiver.url))
        )
        for _ in range(3):
            await act(database, tenant_id, 1)
            async with database.transaction(Scope("a", tenant_id)) as tx:
                await audit.checkpoints.sign_now(tx)
        receiver.statuses = [503, 200]
        assert await audit.publishing.publish(database) == 0
        assert all(one.published_at is None for one in await kept(database, tenant_id))
        # The file has them; who refused gets them again, and nobody else does.
        assert await audit.publishing.publish(database) == 3
        assert await audit.publishing.publish(database) == 0
        rows = await kept(database, tenant_id)
        assert all(one.published_at is not None for one in rows)
        lines = [json.loads(line) for line in file.read_text().splitlines()]
        notes = [one.note for one in reversed(rows)]
        assert [line["checkpoint"] for line in lines] == notes
        assert [line["size"] for line in lines] == [1, 3, 5]
        assert receiver.bodies[1] == {"checkpoints": lines}
        assert offline.read_notes(file.read_text()) == notes
        # The address may hold a token.
        assert "token-7f" not in caplog.text + str([vars(one) for one in caplog.records])

    async def test_is_mailed_once_a_period_in_the_commit_that_marks_it(
        self, database: Database, tenant_id: str, tmp_path: Path
    ) -> None:
        file = tmp_path / "checkpoints"
        audit = open_audit(
            AuditSettings(checkpoint_file=file, checkpoint_mail_to="auditor@example.com")
        )
        sent: list[tuple[str, str, str]] = []

        async def send(tx: Tx, to: str, subject: str, text: str) -> None:
            if not sent:
                tx.audit("email.queued", "email:1")
            sent.append((to, subject, text))
            if len(sent) == 1:
                raise UnavailableError("gone in the middle")

        for _ in range(2):
            await act(database, tenant_id, 1)
            async with database.transaction(Scope("a", tenant_id)) as tx:
                await audit.checkpoints.sign_now(tx)
        # There is no mail server: the file is served all the same, and signing goes on.
        assert await audit.publishing.publish(database) == 0
        assert len(file.read_text().splitlines()) == 2
        audit.publishing.mail_by(send)
        assert await audit.publishing.publish(database) == 0
        assert await audit.publishing.publish(database) == 2
        (to, subject, text) = sent[-1]
        assert (len(sent), to, subject) == (
            2,
            "auditor@example.com",
            "Audit checkpoints: 2, of email-sender",
        )
        notes = [one.note for one in reversed(await kept(database, tenant_id))]
        assert offline.read_notes(text) == notes == offline.read_notes(file.read_text())
        # The next one waits for its period; the file does not.
        await act(database, tenant_id, 1)
        async with database.transaction(Scope("a", tenant_id)) as tx:
            await audit.checkpoints.sign_now(tx)
        assert await audit.publishing.publish(database) == 0
        assert (len(sent), len(file.read_text().splitlines())) == (2, 3)

    async def test_what_waits_is_counted_and_told(
        self, database: Database, tenant_id: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "file").write_text("")
        audit = open_audit(
            AuditSettings(
                checkpoint_file=tmp_path / "file" / "no-folder",
                checkpoint_mail_to="auditor@example.com",
            )
        )
        await act(database, tenant_id, 1)
        async with database.transaction(Scope("a", tenant_id)) as tx:
            await audit.checkpoints.sign_now(tx)
        await audit.publishing.publish(database)
        scope = SystemScope(WATCH_CHECKPOINTS)
        async with database.read(scope) as view:
            assert await audit.publishing.count_waiting(view) == {"file": 1, "mail": 1}
            assert await audit.publishing.check(view) == "handed to file, mail"
        monkeypatch.setattr(_publishing, "_LATE", timedelta(seconds=-60))
        late = open_audit(AuditSettings(checkpoint_file=tmp_path / "file" / "no-folder"))
        async with database.read(scope) as view:
            with pytest.raises(CheckpointsWaitingError, match="minutes: file"):
                await late.publishing.check(view)
            assert await open_audit().publishing.check(view) == "handed nowhere"
            assert await open_audit().publishing.count_waiting(view) == {}

    async def test_without_a_place_nothing_is_marked(
        self, database: Database, tenant_id: str
    ) -> None:
        audit = open_audit()
        await act(database, tenant_id, 1)
        async with database.transaction(Scope("a", tenant_id)) as tx:
            await audit.checkpoints.sign_now(tx)
        assert await audit.publishing.publish(database) == 0
        assert [one.published_at for one in await kept(database, tenant_id)] == [None]

    async def test_a_disk_that_refuses_is_asked_again(
        self, database: Database, tenant_id: str, tmp_path: Path
    ) -> None:
        (tmp_path / "file").write_text("")
        audit = open_audit(AuditSettings(checkpoint_file=tmp_path / "file" / "no-folder"))
        await act(database, tenant_id, 1)
        async with database.transaction(Scope("a", tenant_id)) as tx:
            await audit.checkpoints.sign_now(tx)
        assert await audit.publishing.publish(database) == 0
        (tmp_path / "file").unlink()
        assert await audit.publishing.publish(database) == 1


@pytest.fixture
async def ada(app: App) -> TenantClient:
    """An owner whose trail has some forty records under a checkpoint."""
    ada = await app.caller()
    await act(app.platform.database, ada.tenant.id, 40)
    return ada


async def signed(ada: TenantClient) -> dict[str, Any]:
    answer = await ada.http.post(CHECKPOINTS)
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


class TestProofs:
    async def test_a_record_is_proved_to_whoever_has_the_key(
        self, app: App, ada: TenantClient
    ) -> None:
        made = await signed(ada)
        key = offline.Key((await ada.http.get("/api/v1/audit/key")).json()["vkey"])
        assert key.checkpoint(made["note"]) == (made["size"], bytes.fromhex(made["root"]))
        records = (await ada.http.get("/api/v1/audit?limit=200")).json()["items"]
        numbered = [one for one in records if one["seq"]]
        assert len(numbered) == made["size"]
        for record in numbered:
            answer = await ada.http.get(f"/api/v1/audit/records/{record['id']}/proof")
            proof = answer.json()
            leaf = {name: record[name] for name in ("id", "actor", "action", "target", "data")}
            leaf |= {"v": 1, "tenant": ada.tenant.id, "request_id": record["request_id"]}
            at = record["at"].removesuffix("Z")
            leaf["at"] = (at if "." in at else f"{at}.000000") + "Z"
            hashed = hashlib.sha256(b"\0" + offline.leaf_bytes(leaf)).digest()
            assert hashed.hex() == proof["leaf_hash"]
            path = [bytes.fromhex(one) for one in proof["hashes"]]
            root = offline.root_of_inclusion(proof["seq"] - 1, proof["size"], hashed, path)
            assert key.checkpoint(proof["checkpoint"]) == (proof["size"], root)
            assert proof["leaf"].encode() == offline.leaf_bytes(leaf)
            report = offline.verify_proof(answer.text, key)
            assert not report.findings
            assert report.proved.startswith(f"record {record['seq']} ({record['action']} by ")

    async def test_two_checkpoints_are_proved_to_be_of_one_tree(self, ada: TenantClient) -> None:
        first, last = await signed(ada), await signed(ada)
        answer = await ada.http.get("/api/v1/audit/consistency", params={"old_size": first["size"]})
        proof = answer.json()
        assert (proof["old_root"], proof["root"]) == (first["root"], last["root"])
        assert (proof["old_checkpoint"], proof["checkpoint"]) == (first["note"], last["note"])
        key = offline.Key((await ada.http.get("/api/v1/audit/key")).json()["vkey"])
        assert not offline.verify_proof(answer.text, key).findings
        assert offline.proves_consistency(
            first["size"],
            bytes.fromhex(first["root"]),
            last["size"],
            bytes.fromhex(last["root"]),
            [bytes.fromhex(one) for one in proof["hashes"]],
        )
        listed = (await ada.http.get(CHECKPOINTS, params={"limit": 1})).json()
        assert [one["id"] for one in listed["items"]] == [last["id"]]
        rest = {"limit": 1, "cursor": listed["next_cursor"]}
        (older,) = (await ada.http.get(CHECKPOINTS, params=rest)).json()["items"]
        assert older["note"] == first["note"]

    async def test_what_the_tree_does_not_have_is_refused(
        self, app: App, ada: TenantClient
    ) -> None:
        made = await signed(ada)
        records = (await ada.http.get("/api/v1/audit?limit=200")).json()["items"]
        waiting = next(one["id"] for one in records if one["seq"] is None)
        for record_id in (waiting, uuid7()):
            answer = await ada.http.get(f"/api/v1/audit/records/{record_id}/proof")
            assert (answer.status_code, answer.json()["code"]) == (404, "audit.record_not_found")
        newest = next(one for one in records if one["seq"] == made["size"])
        proof = f"/api/v1/audit/records/{newest['id']}/proof"
        for path, query in (
            (proof, {"size": made["size"] - 1}),
            (proof, {"size": made["size"] + 1}),
            ("/api/v1/audit/consistency", {"old_size": made["size"] + 1}),
            ("/api/v1/audit/consistency", {"old_size": 1, "size": made["size"] + 1}),
        ):
            answer = await ada.http.get(path, params=query)
            assert (answer.status_code, answer.json()["code"]) == (422, "audit.tree_size_invalid")
        eve = await app.caller()
        answer = await eve.http.get(proof)
        assert (answer.status_code, answer.json()["code"]) == (404, "audit.record_not_found")
        assert (await eve.http.get(CHECKPOINTS)).json()["items"] == []
        answer = await eve.http.get("/api/v1/audit/consistency", params={"old_size": 1})
        assert answer.status_code == 422

    async def test_a_tree_that_is_not_signed_yet_is_proved_without_a_note(
        self, app: App, ada: TenantClient
    ) -> None:
        await signed(ada)
        await act(app.platform.database, ada.tenant.id, 1)
        await app.sequence()
        await app.platform.of(AuditManager).checkpoints.grow(app.platform.database)
        newest = (await ada.http.get("/api/v1/audit?limit=1")).json()["items"][0]
        proof = (await ada.http.get(f"/api/v1/audit/records/{newest['id']}/proof")).json()
        assert (proof["size"], proof["checkpoint"]) == (newest["seq"], None)
        async with app.platform.database.read(SystemScope(VERIFY, tenant_id=ada.tenant.id)) as tx:
            report = await app.platform.of(AuditManager).verify_chain(tx)
        assert report.valid
