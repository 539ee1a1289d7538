"""Sealing a tenant: its keys leave memory and refuse, in every process; nothing of it is lost."""

import asyncio
import base64
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import sqlalchemy as sa

from backend.app import Platform, compose
from backend.core.context import Scope, SystemScope
from backend.core.database import ReadTx, Tx
from backend.managers.email.models import RecipientRow
from backend.managers.security import SealedError, SecurityManager, manager
from backend.managers.security._keys import Keys
from backend.managers.security._rotation import keys_of
from backend.managers.security.errands import DUE, SEALS
from backend.managers.security.errors import KeyDisabledError
from backend.managers.security.models import KeyRow
from backend.managers.tenant import PLATFORM, TenantManager, TenantNeededError, TenantStateError
from backend.sink import SmtpSink
from tests.support.mailing import Mailing, open_mailing
from tests.support.platform import App, TenantClient

PLAIN = base64.b64encode(b"attack at dawn").decode()


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


async def seal(app: App, caller: TenantClient, reason: str = "a key was published") -> None:
    async with app.platform.database.transaction(SystemScope(PLATFORM)) as tx:
        await app.platform.of(TenantManager).lifecycle.seal(tx, caller.tenant.id, reason=reason)


async def unseal(app: App, caller: TenantClient) -> None:
    async with app.platform.database.transaction(SystemScope(PLATFORM)) as tx:
        await app.platform.of(TenantManager).lifecycle.unseal(tx, caller.tenant.id)


async def recipient(mailing: Mailing, caller: TenantClient) -> RecipientRow:
    """The only one of the tenant: the API shows no message of a sealed one."""
    async with mailing.platform.database.read(Scope("test", caller.tenant.id)) as view:
        (row,) = await view.scalars(sa.select(RecipientRow))
    return row


async def make_key(caller: TenantClient, **body: Any) -> str:
    answer = await caller.http.post("/api/v1/keys", json={"name": "orders", **body})
    assert answer.status_code == 201, answer.text
    sealed = await caller.http.post("/api/v1/keys/orders/encrypt", json={"plaintext": PLAIN})
    return str(sealed.json()["ciphertext"])


@pytest_asyncio.fixture
async def mailing(database_url: str, tmp_path: Path) -> AsyncIterator[Mailing]:
    """Application, worker and sink."""
    sink = SmtpSink(tmp_path / "sink", port=0)
    await sink.start()
    smtp = f"smtp://127.0.0.1:{sink.port}"
    async with open_mailing(database_url, tmp_path, smtp, sink_directory=tmp_path / "sink") as made:
        yield made
    await sink.stop()


@pytest_asyncio.fixture
async def other(app: App) -> AsyncIterator[Platform]:
    """Another process of the installation, which no signal reaches."""
    platform = compose(app.platform.settings)
    yield platform
    await platform.database.aclose()


class TestSeal:
    async def test_refuses_every_use_until_it_is_lifted(self, app: App) -> None:
        ada, eve = await app.caller("admin"), await app.caller("admin")
        sealed = await make_key(ada, exportable=True)
        await make_key(eve)
        await seal(app, ada)
        uses: list[tuple[str, dict[str, Any]]] = [
            ("/api/v1/keys/orders/encrypt", {"plaintext": PLAIN}),
            ("/api/v1/keys/orders/decrypt", {"ciphertext": sealed}),
            ("/api/v1/keys/orders/rewrap", {"ciphertext": sealed}),
            ("/api/v1/keys/orders/data-key", {}),
            ("/api/v1/keys/orders/encrypt/batch", {"items": [{"plaintext": PLAIN}]}),
            ("/api/v1/keys/orders/rotate", {}),
            ("/api/v1/keys/orders/export", {}),
            ("/api/v1/keys", {"name": "another"}),
            (
                "/api/v1/emails",
                {"to": ["bob@example.test"], "subject": "Hello", "text": "Hello"},
            ),
        ]
        for path, body in uses:
            answer = await ada.http.post(path, json=None if path.endswith("rotate") else body)
            assert (answer.status_code, answer.json()["code"]) == (503, "security.sealed"), path
        # What is not sealed may be looked at, and nobody else is concerned.
        assert (await ada.http.get("/api/v1/keys/orders")).status_code == 200
        answer = await eve.http.post("/api/v1/keys/orders/encrypt", json={"plaintext": PLAIN})
        assert answer.status_code == 200
        await unseal(app, ada)
        opened = await ada.http.post("/api/v1/keys/orders/decrypt", json={"ciphertext": sealed})
        assert opened.json()["plaintext"] == PLAIN
        assert (await ada.http.post("/api/v1/keys/orders/rotate")).status_code == 200

    async def test_keys_leave_memory(self, app: App) -> None:
        security = app.platform.of(SecurityManager)
        ada = await app.caller("admin")
        await make_key(ada)
        assert security.use.find(ada.tenant.id, "orders") is not None
        assert ada.tenant.id in security._keyrings
        await seal(app, ada)
        assert security.use.find(ada.tenant.id, "orders") is None
        assert ada.tenant.id not in security._keyrings

    async def test_a_use_that_was_computed_before_is_not_answered_after(self, app: App) -> None:
        """Between the computing and the record the tenant is sealed: there is no answer."""
        ada = await app.caller("admin")
        await make_key(ada)
        security = app.platform.of(SecurityManager)
        held = security.use.find(ada.tenant.id, "orders")
        assert held is not None
        await seal(app, ada)
        # As if the signal had not come: the key is still at hand.
        security.use._held[ada.tenant.id, "orders"] = held
        answer = await ada.http.post("/api/v1/keys/orders/encrypt", json={"plaintext": PLAIN})
        assert (answer.status_code, answer.json()["code"]) == (503, "security.sealed")
        assert [e.data["count"] for e in await ada.audit(app.platform, "key.used")] == [1]

    async def test_another_process_refuses_within_a_second_without_a_signal(
        self, app: App, other: Platform
    ) -> None:
        ada = await app.caller("admin")
        await make_key(ada)
        clock = Clock()
        security = SecurityManager(other.of(SecurityManager).root, monotonic=clock)
        scope = Scope("test", ada.tenant.id)
        await security.seals.look(other.database)
        async with other.database.read(scope) as view:
            await security.keyring(view)
        await seal(app, ada)
        async with other.database.read(scope) as view:
            # It believes what it saw, for less than a second ...
            await security.keyring(view)
        clock.now += 0.9
        async with other.database.read(scope) as view:
            # ... and then asks, also if its looks have failed.
            with pytest.raises(SealedError):
                await security.keyring(view)
        await security.seals.look(other.database)
        async with other.database.read(scope) as view:
            with pytest.raises(SealedError):
                await security.keyring(view)
        await unseal(app, ada)
        security.seals.hear(ada.tenant.id)
        async with other.database.read(scope) as view:
            await security.keyring(view)

    async def test_a_look_drops_the_keys_of_who_was_sealed(self, app: App, other: Platform) -> None:
        ada = await app.caller("admin")
        await make_key(ada)
        security = other.of(SecurityManager)
        async with other.database.read(Scope("test", ada.tenant.id)) as view:
            await security.use.load(view, "orders")
        await seal(app, ada)
        assert security.use.find(ada.tenant.id, "orders") is not None
        await security.seals.look(other.database)
        assert security.use.find(ada.tenant.id, "orders") is None

    async def test_what_was_under_way_when_it_came_leaves_memory_too(
        self, app: App, other: Platform, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Who had asked before the seal was there keeps what it was given after the look."""
        ada = await app.caller("admin")
        await make_key(ada)
        security = other.of(SecurityManager)
        await security.seals.look(other.database)

        async def sealed_meanwhile(tx: ReadTx) -> Any:
            rows = await keys_of(tx)
            if tx._database is other.database:
                await seal(app, ada)
                await security.seals.look(other.database)
            return rows

        monkeypatch.setattr(manager, "keys_of", sealed_meanwhile)
        async with other.database.read(Scope("test", ada.tenant.id)) as view:
            await security.use.load(view, "orders")
        assert security.use.find(ada.tenant.id, "orders") is not None
        assert ada.tenant.id in security._keyrings
        await security.seals.look(other.database)
        assert security.use.find(ada.tenant.id, "orders") is None
        assert ada.tenant.id not in security._keyrings

    async def test_is_the_platforms_to_say_twice_and_never_of_itself(self, app: App) -> None:
        ada = await app.caller("admin")
        lifecycle = app.platform.of(TenantManager).lifecycle
        await seal(app, ada)
        with pytest.raises(TenantStateError):
            await seal(app, ada)
        await unseal(app, ada)
        with pytest.raises(TenantStateError):
            await unseal(app, ada)
        async with app.platform.database.transaction(SystemScope(PLATFORM)) as tx:
            with pytest.raises(TenantNeededError):
                await lifecycle.seal(tx, ada.tenant.id, reason="mine", through=ada.tenant.id)
            with pytest.raises(TenantNeededError):
                await lifecycle.seal(tx, tx.tenant_id, reason="the platform's")
        async with app.platform.database.read(Scope("test", ada.tenant.id)) as view:
            assert not (await lifecycle.find_seal(view)).sealed

    async def test_keys_come_of_age_once_unsealed(self, app: App) -> None:
        ada = await app.caller("admin")
        await make_key(ada, rotate_after_seconds=3600)
        await seal(app, ada)
        database, security = app.platform.database, app.platform.of(SecurityManager)
        async with database.transaction(Scope("test", ada.tenant.id)) as tx:
            for row in await tx.scalars(sa.select(KeyRow)):
                row.rotates_at = tx.now()
        assert await security.rotate_due(database) == 0
        async with database.read(SystemScope(SEALS)) as view:
            assert await security.count_sealed(view) == {"": 1}
        async with database.read(SystemScope(DUE)) as view:
            assert await security.count_overdue(view) == {"": 0}
        await unseal(app, ada)
        async with database.read(SystemScope(DUE)) as view:
            assert await security.count_overdue(view) == {"": 1}
        assert await security.rotate_due(database) == 1

    async def test_its_data_key_can_be_replaced_before_it_is_lifted(self, app: App) -> None:
        """Whoever sealed it because that key was seen wants nothing more under it."""
        ada = await app.caller("admin")
        sealed = await make_key(ada)
        await seal(app, ada)
        answer = await ada.http.post("/api/v1/data-keys/rotate")
        assert (answer.status_code, answer.json()["version"]) == (201, 2)
        refused = await ada.http.post("/api/v1/keys/orders/decrypt", json={"ciphertext": sealed})
        assert (refused.status_code, refused.json()["code"]) == (503, "security.sealed")
        await unseal(app, ada)
        opened = await ada.http.post("/api/v1/keys/orders/decrypt", json={"ciphertext": sealed})
        assert opened.json()["plaintext"] == PLAIN

    async def test_one_tenants_trouble_is_not_the_others(
        self, app: App, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A key that cannot be rotated does not keep the others from it."""
        database, security = app.platform.database, app.platform.of(SecurityManager)
        callers = [await app.caller("admin") for _ in range(2)]
        for caller in callers:
            await make_key(caller, rotate_after_seconds=3600)
            async with database.transaction(Scope("test", caller.tenant.id)) as tx:
                for row in await tx.scalars(sa.select(KeyRow)):
                    row.rotates_at = tx.now()
        add = Keys.add_version

        async def sealed(keys: Keys, tx: Tx, row: KeyRow, *, because: str) -> None:
            if tx.tenant_id == callers[0].tenant.id:
                raise KeyDisabledError
            await add(keys, tx, row, because=because)

        monkeypatch.setattr(Keys, "add_version", sealed)
        assert await security.rotate_due(database) == 1


class TestMail:
    """What a sealed tenant's worker needs waits, and others' mail goes on."""

    async def test_waits_until_the_tenant_is_unsealed(self, mailing: Mailing) -> None:
        ada, eve = await mailing.caller(), await mailing.caller()
        mail = {"to": ["bob@example.test"], "subject": "Hello", "text": "Hello"}
        later = (mailing.platform.database.clock() + timedelta(seconds=1)).isoformat()
        sent = [
            (await one.http.post("/api/v1/emails", json=mail | {"send_at": later})).json()
            for one in (ada, eve)
        ]
        await seal(mailing, ada)
        await mailing.settled(eve, sent[1]["id"], "accepted")
        job = (await ada.http.get(f"/api/v1/jobs/{sent[0]['job_id']}")).json()
        assert job["state"] == "ready"
        await unseal(mailing, ada)
        await mailing.settled(ada, sent[0]["id"], "accepted")

    async def test_what_was_claimed_before_is_put_off_and_not_lost(
        self, mailing: Mailing, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """As if the worker had taken the job before the seal held it."""

        async def held_by_nothing(*_: object) -> None:
            return None

        monkeypatch.setattr(mailing.platform.of(TenantManager).lifecycle, "tell", held_by_nothing)
        ada = await mailing.caller()
        later = (mailing.platform.database.clock() + timedelta(seconds=1)).isoformat()
        mail = {"to": ["bob@example.test"], "subject": "Hello", "text": "Hello", "send_at": later}
        sent = (await ada.http.post("/api/v1/emails", json=mail)).json()
        await seal(mailing, ada)
        async with asyncio.timeout(60):
            while (found := await recipient(mailing, ada)).state != "deferred":
                await asyncio.sleep(0.05)
        assert "sealed" in str(found.response)
        # What it is about is sealed too.
        assert (await ada.http.get(f"/api/v1/emails/{sent['id']}")).status_code == 503
        job = (await ada.http.get(f"/api/v1/jobs/{sent['job_id']}")).json()
        assert job["state"] == "ready"
        assert await ada.audit(mailing.platform, "email.bounced") == []
