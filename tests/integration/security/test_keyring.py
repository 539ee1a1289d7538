"""Data keys: made once, wrapped, one tenant's each; and where the root key comes from."""

import asyncio
import base64
import os

import pytest
import sqlalchemy as sa
from pydantic import SecretStr

from backend.core.audit import AuditRecord
from backend.core.context import Scope, SystemScope
from backend.core.ids import uuid7
from backend.managers.security import (
    CHECK_KEYS,
    KeyUnavailableError,
    SealBrokenError,
    SecurityManager,
    SecuritySettings,
    load_root_key,
)
from backend.managers.security.models import DataKey

ROOT = bytes(range(32))


async def ring(database, security, tenant_id):
    async with database.transaction(Scope("user:ada", tenant_id)) as tx:
        return await security.keyring(tx)


class TestKeyring:
    async def test_is_made_once_and_audited(self, database, tenant_id):
        one, two = SecurityManager(ROOT), SecurityManager(ROOT)
        sealed = (await ring(database, one, tenant_id)).seal("place", b"plain")
        assert (await ring(database, two, tenant_id)).open("place", sealed) == b"plain"
        async with database.read(Scope("a", tenant_id)) as tx:
            (key,) = await tx.scalars(sa.select(DataKey))
            (act,) = await tx.scalars(sa.select(AuditRecord))
        assert (act.action, act.target) == ("data_key.created", f"data_key:{key.id}")

    async def test_first_uses_at_the_same_time_share_one_key(self, database, tenant_id):
        managers = [SecurityManager(ROOT) for _ in range(4)]
        rings = await asyncio.gather(*(ring(database, each, tenant_id) for each in managers))
        sealed = [each.seal("place", b"plain") for each in rings]
        assert all(each.open("place", one) == b"plain" for each in rings for one in sealed)
        async with database.read(Scope("a", tenant_id)) as tx:
            assert len(await tx.scalars(sa.select(DataKey))) == 1

    async def test_is_forgotten_when_its_making_is_rolled_back(self, database, tenant_id):
        security = SecurityManager(ROOT)
        with pytest.raises(ZeroDivisionError):
            async with database.transaction(Scope("a", tenant_id)) as tx:
                lost = (await security.keyring(tx)).seal("place", b"plain")
                raise ZeroDivisionError
        kept = await ring(database, security, tenant_id)
        with pytest.raises(SealBrokenError):
            kept.open("place", lost)

    async def test_seen_by_the_next_act_is_forgotten_with_its_commit(self, database, tenant_id):
        security, rings = SecurityManager(ROOT), []

        async def make(tx):
            rings.append(await security.keyring(tx))

        async def fail(_):
            raise ZeroDivisionError

        outcomes = await asyncio.gather(
            *(database.together(Scope("a", tenant_id), act) for act in (make, make, fail)),
            return_exceptions=True,
        )
        assert [type(each) for each in outcomes] == [type(None), type(None), ZeroDivisionError]
        # Two of the group that was undone, two of the acts that ran again.
        assert len(rings) == 4
        kept = await ring(database, security, tenant_id)
        assert kept.open("place", rings[-1].seal("place", b"plain")) == b"plain"
        with pytest.raises(SealBrokenError):
            kept.open("place", rings[0].seal("place", b"plain"))

    async def test_another_tenants_does_not_open_it(self, database, tenant_id):
        security = SecurityManager(ROOT)
        sealed = (await ring(database, security, tenant_id)).seal("place", b"plain")
        with pytest.raises(SealBrokenError):
            (await ring(database, security, uuid7())).open("place", sealed)

    async def test_a_wrapped_key_moved_to_another_tenant_does_not_open(self, database, tenant_id):
        other = uuid7()
        await ring(database, SecurityManager(ROOT), tenant_id)
        async with database.transaction(SystemScope(CHECK_KEYS)) as tx:
            await tx.execute(sa.update(DataKey).values(tenant_id=other))
        with pytest.raises(KeyUnavailableError):
            await ring(database, SecurityManager(ROOT), other)

    async def test_a_read_cannot_make_it(self, database, tenant_id):
        async with database.read(Scope("a", tenant_id)) as tx:
            with pytest.raises(KeyUnavailableError):
                await SecurityManager(ROOT).keyring(tx)


class TestCheckKeys:
    async def test_counts_what_the_root_key_opens(self, database):
        security = SecurityManager(ROOT)
        async with database.read(SystemScope(CHECK_KEYS)) as tx:
            assert await security.check_keys(tx) == 0
        for _ in range(3):
            await ring(database, security, uuid7())
        async with database.read(SystemScope(CHECK_KEYS)) as tx:
            assert await security.check_keys(tx) == 3

    async def test_refuses_another_installations_root_key(self, database, tenant_id):
        await ring(database, SecurityManager(ROOT), tenant_id)
        async with database.read(SystemScope(CHECK_KEYS)) as tx:
            with pytest.raises(KeyUnavailableError):
                await SecurityManager(os.urandom(32)).check_keys(tx)


class TestLoadRootKey:
    def test_makes_a_private_file_once(self, tmp_path):
        path = tmp_path / "new" / "root.key"
        made = load_root_key(SecuritySettings(), path)
        assert len(made) == 32
        assert path.stat().st_mode & 0o777 == 0o600
        assert load_root_key(SecuritySettings(), path) == made
        assert load_root_key(SecuritySettings(root_key_file=path), tmp_path / "other") == made
        assert not (tmp_path / "other").exists()

    def test_the_environment_wins_and_leaves_no_file(self, tmp_path):
        settings = SecuritySettings(root_key=SecretStr(base64.b64encode(ROOT).decode()))
        assert load_root_key(settings, tmp_path / "root.key") == ROOT
        assert not (tmp_path / "root.key").exists()

    @pytest.mark.parametrize(
        "text", ["", "short", base64.b64encode(bytes(31)).decode(), "!" * 44, "é" * 44]
    )
    def test_refuses_what_is_not_32_bytes_of_base64(self, tmp_path, text):
        path = tmp_path / "root.key"
        path.write_text(text)
        path.chmod(0o600)
        with pytest.raises(ValueError, match="32 bytes in base64"):
            load_root_key(SecuritySettings(), path)

    def test_refuses_a_file_that_others_may_read(self, tmp_path):
        path = tmp_path / "root.key"
        load_root_key(SecuritySettings(), path)
        path.chmod(0o640)
        with pytest.raises(ValueError, match="chmod 600"):
            load_root_key(SecuritySettings(), path)
