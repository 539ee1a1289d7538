"""Root keys: where they come from, and how one takes the place of another while all runs."""

import asyncio
import base64
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from pydantic import SecretStr, ValidationError

from backend.app import compose
from backend.core.audit import AuditRecord
from backend.core.context import Scope, SystemScope
from backend.core.database import Database
from backend.core.ids import uuid7
from backend.managers.security import (
    ROTATE_ROOT,
    KeyUnavailableError,
    RootKeys,
    RootKeysHeldError,
    SecurityManager,
    SecuritySettings,
    changing_root_keys,
    load_root_keys,
    manager,
    write_root_keys,
)
from backend.managers.security import _root as root
from backend.managers.security.models import DataKey
from backend.settings import Settings
from tests.support.errands import EVERYTHING

OLD, NEW = bytes(range(32)), bytes(range(1, 33))


def text(key: bytes) -> str:
    return base64.b64encode(key).decode()


def printing(code: str) -> SecuritySettings:
    return SecuritySettings(root_key_command=(sys.executable, "-c", code))


async def seal(database: Database, security: SecurityManager, tenant_id: str) -> bytes:
    async with database.transaction(Scope("user:ada", tenant_id)) as tx:
        return (await security.keyring(tx)).seal("place", b"plain")


async def opened(
    database: Database, security: SecurityManager, tenant_id: str, sealed: bytes
) -> bytes:
    async with database.transaction(Scope("user:ada", tenant_id)) as tx:
        return (await security.keyring(tx)).open("place", sealed)


async def rewrap(database: Database, security: SecurityManager) -> int:
    done = 0
    while True:
        async with database.transaction(SystemScope(ROTATE_ROOT)) as tx:
            bite = await security.rewrap_data_keys(tx)
        if not bite:
            return done
        done += bite


async def left(database: Database, security: SecurityManager) -> int:
    async with database.read(SystemScope(ROTATE_ROOT)) as view:
        return await security.count_old_data_keys(view)


class TestLoadRootKeys:
    def test_from_a_command_that_prints_it(self, tmp_path: Path) -> None:
        settings = printing(f"print({text(OLD)!r})")
        assert load_root_keys(settings, tmp_path / "root.key") == [OLD]
        both = printing(f"print({text(NEW)!r}); print({text(OLD)!r})")
        assert load_root_keys(both, tmp_path / "root.key") == [NEW, OLD]
        assert not (tmp_path / "root.key").exists()

    def test_a_command_gets_its_arguments_and_no_shell(self, tmp_path: Path) -> None:
        code = "import sys, base64; sys.exit(sys.argv[1:] != ['$HOME; true', '*']) or print()"
        settings = SecuritySettings(
            root_key_command=(sys.executable, "-c", code, "$HOME; true", "*")
        )
        with pytest.raises(ValueError, match="does not hold 32 bytes"):
            load_root_keys(settings, tmp_path / "root.key")

    @pytest.mark.parametrize(
        ("code", "said"),
        [
            ("print('c2VjcmV0')", "does not hold 32 bytes"),
            ("print('secret!')", "does not hold 32 bytes"),
            ("", "does not hold 32 bytes"),
            ("import sys; print('c2VjcmV0'); sys.exit(3)", "ended with 3"),
            ("import sys; sys.stdout.buffer.write(b'\\xff\\xfe')", "does not hold 32 bytes"),
            ("while True: print('c2VjcmV0' * 1000)", "does not hold 32 bytes"),
        ],
        ids=["short", "no base64", "nothing", "failed", "no text", "without end"],
    )
    def test_a_command_that_does_not_give_one_is_told_without_what_it_said(
        self, tmp_path: Path, code: str, said: str
    ) -> None:
        with pytest.raises(ValueError, match=said) as refused:
            load_root_keys(printing(code), tmp_path / "root.key")
        assert "c2VjcmV0" not in str(refused.value)
        assert "secret" not in str(refused.value)

    def test_a_command_that_is_not_there(self, tmp_path: Path) -> None:
        settings = SecuritySettings(root_key_command=(str(tmp_path / "none"),))
        with pytest.raises(ValueError, match="FileNotFoundError"):
            load_root_keys(settings, tmp_path / "root.key")

    def test_a_command_has_ten_seconds(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert root.COMMAND_SECONDS == 10
        monkeypatch.setattr(root, "COMMAND_SECONDS", 0.2)
        began = time.monotonic()
        with pytest.raises(ValueError, match="took more than"):
            load_root_keys(printing("import time; time.sleep(60)"), tmp_path / "root.key")
        assert time.monotonic() - began < 30

    def test_what_a_command_leaves_running_holds_nobody_up(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It has the command's output open, which else is read until the last one closes it."""
        monkeypatch.setattr(root, "COMMAND_SECONDS", 0.5)
        pid = tmp_path / "pid"
        shell = f"sleep 100 & echo $! > {pid}; wait"
        began = time.monotonic()
        with pytest.raises(ValueError, match="took more than"):
            load_root_keys(
                SecuritySettings(root_key_command=("sh", "-c", shell)), tmp_path / "root.key"
            )
        assert time.monotonic() - began < 30
        with pytest.raises(ProcessLookupError):
            for _ in range(200):
                os.kill(int(pid.read_text()), 0)
                time.sleep(0.05)  # until whoever inherited it has reaped it

    def test_a_file_that_is_the_key_itself_is_not_quoted(self, tmp_path: Path) -> None:
        path = tmp_path / "root.key"
        path.write_bytes(bytes(range(200, 232)))
        path.chmod(0o600)
        with pytest.raises(ValueError, match=r"root\.key does not hold 32 bytes") as refused:
            load_root_keys(SecuritySettings(), path)
        assert "0xc8" not in repr(refused.value)

    def test_a_first_start_that_dies_in_the_middle_leaves_no_empty_file(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = tmp_path / "root.key"
        with monkeypatch.context() as dying:
            dying.setattr(os, "fsync", lambda _: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                load_root_keys(SecuritySettings(), path)
        assert not path.exists()
        made = load_root_keys(SecuritySettings(), path)
        assert load_root_keys(SecuritySettings(), path) == made

    def test_first_starts_at_once_read_one_key(self, tmp_path: Path) -> None:
        with ThreadPoolExecutor(8) as starts:
            found = list(
                starts.map(
                    lambda _: load_root_keys(SecuritySettings(), tmp_path / "root.key"), range(32)
                )
            )
        assert all(one == found[0] for one in found)

    def test_one_changes_the_file_at_a_time(self, tmp_path: Path) -> None:
        path = tmp_path / "root.key"
        with changing_root_keys(path):
            with pytest.raises(RootKeysHeldError), changing_root_keys(path):
                pytest.fail("two at once")
            # Nobody but whoever changes it waits.
            write_root_keys(path, [OLD])
            assert load_root_keys(SecuritySettings(), path) == [OLD]
        with changing_root_keys(path):
            pass

    def test_from_the_environment_two(self, tmp_path: Path) -> None:
        settings = SecuritySettings(
            root_key=SecretStr(text(NEW)), root_key_previous=SecretStr(text(OLD))
        )
        assert load_root_keys(settings, tmp_path / "root.key") == [NEW, OLD]

    def test_from_a_file_two(self, tmp_path: Path) -> None:
        path = tmp_path / "root.key"
        write_root_keys(path, [NEW, OLD])
        assert path.stat().st_mode & 0o777 == 0o600
        assert load_root_keys(SecuritySettings(), path) == [NEW, OLD]
        write_root_keys(path, [NEW])
        assert load_root_keys(SecuritySettings(), path) == [NEW]
        assert [one.name for one in tmp_path.iterdir()] == ["root.key"]

    def test_a_crash_beside_the_file_leaves_the_file(self, tmp_path: Path) -> None:
        path = tmp_path / "root.key"
        write_root_keys(path, [OLD])
        (tmp_path / "root.key.new").write_text("half")
        assert load_root_keys(SecuritySettings(), path) == [OLD]
        write_root_keys(path, [NEW, OLD])
        assert load_root_keys(SecuritySettings(), path) == [NEW, OLD]

    @pytest.mark.parametrize(
        "given",
        [
            {"root_key": "a", "root_key_command": ("b",)},
            {"root_key_previous": "a"},
        ],
        ids=["two sources", "previous alone"],
    )
    def test_settings_that_contradict_themselves(self, given: dict[str, Any]) -> None:
        with pytest.raises(ValidationError):
            SecuritySettings(**given)


class TestRotateRoot:
    async def test_rewraps_everything_and_the_old_key_opens_nothing_more(
        self, database: Database
    ) -> None:
        before = SecurityManager(OLD)
        tenants = [uuid7() for _ in range(5)]
        sealed = [await seal(database, before, one) for one in tenants]
        both = SecurityManager(RootKeys([NEW, OLD]))
        assert await left(database, both) == 5
        assert await rewrap(database, both) == 5
        assert await left(database, both) == 0
        assert await rewrap(database, both) == 0
        after = SecurityManager(NEW)
        for tenant_id, one in zip(tenants, sealed, strict=True):
            assert await opened(database, after, tenant_id, one) == b"plain"
            with pytest.raises(KeyUnavailableError):
                await opened(database, SecurityManager(OLD), tenant_id, one)
        async with database.read(SystemScope(EVERYTHING)) as view:
            acts = await view.scalars(
                sa.select(AuditRecord).where(AuditRecord.action == "data_key.rewrapped")
            )
        assert {act.tenant_id for act in acts} == set(tenants)
        assert {act.data["root_key"] for act in acts} == {RootKeys([NEW]).current_id}

    async def test_a_crash_in_the_middle_leaves_all_of_it_open(
        self, database: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        before, both = SecurityManager(OLD), SecurityManager(RootKeys([NEW, OLD]))
        tenants = [uuid7() for _ in range(4)]
        sealed = [await seal(database, before, one) for one in tenants]
        monkeypatch.setattr("backend.managers.security.manager._REWRAPPED", 2)
        async with database.transaction(SystemScope(ROTATE_ROOT)) as tx:
            assert await both.rewrap_data_keys(tx) == 2
        for tenant_id, one in zip(tenants, sealed, strict=True):
            found = await opened(database, SecurityManager(RootKeys([NEW, OLD])), tenant_id, one)
            assert found == b"plain"
        assert await left(database, both) == 2
        assert await rewrap(database, both) == 2

    async def test_what_a_process_makes_meanwhile_with_the_old_key_is_found(
        self, database: Database
    ) -> None:
        late, both = SecurityManager(OLD), SecurityManager(RootKeys([NEW, OLD]))
        await seal(database, late, uuid7())
        assert await rewrap(database, both) == 1
        # It has not heard of the new key: a tenant's first data key, wrapped with the old one.
        tenant_id = uuid7()
        one = await seal(database, late, tenant_id)
        assert await left(database, both) == 1
        assert await rewrap(database, both) == 1
        assert await opened(database, SecurityManager(NEW), tenant_id, one) == b"plain"

    async def test_keys_from_before_it_was_written_down_count_as_old(
        self, database: Database
    ) -> None:
        security = SecurityManager(OLD)
        await seal(database, security, uuid7())
        async with database.transaction(SystemScope(EVERYTHING)) as tx:
            await tx.execute(sa.update(DataKey).values(root_id=None))
        assert await left(database, security) == 1
        assert await rewrap(database, security) == 1

    async def test_refuses_a_data_key_that_no_root_key_opens(self, database: Database) -> None:
        await seal(database, SecurityManager(OLD), uuid7())
        with pytest.raises(KeyUnavailableError):
            await rewrap(database, SecurityManager(os.urandom(32)))
        async with database.read(SystemScope(EVERYTHING)) as view:
            (row,) = await view.scalars(sa.select(DataKey))
        assert row.root_id == RootKeys([OLD]).current_id


class TestRootKeys:
    async def test_a_running_process_reads_the_file_again_when_told(
        self, database: Database, tmp_path: Path
    ) -> None:
        path = tmp_path / "root.key"
        write_root_keys(path, [OLD])
        keys = RootKeys([OLD], lambda: load_root_keys(SecuritySettings(), path))
        running = SecurityManager(keys)
        tenant_id = uuid7()
        one = await seal(database, running, tenant_id)
        keys.refresh()
        assert keys.ids == RootKeys([OLD]).ids
        write_root_keys(path, [NEW, OLD])
        await rewrap(database, SecurityManager(RootKeys([NEW, OLD])))
        running.forget(tenant_id)
        # Nobody has told it: what it finds tells it, and the next look knows.
        with pytest.raises(KeyUnavailableError):
            await opened(database, running, tenant_id, one)
        assert keys.is_stale
        async with running.serving(database):
            for _ in range(200):
                if keys.current_id == RootKeys([NEW]).current_id:
                    break
                await asyncio.sleep(0.05)
        assert keys.current_id == RootKeys([NEW]).current_id
        assert await opened(database, running, tenant_id, one) == b"plain"

    def test_keeps_what_it_has_when_the_source_is_broken(self, tmp_path: Path) -> None:
        path = tmp_path / "root.key"
        keys = RootKeys([OLD], lambda: load_root_keys(SecuritySettings(), path))
        path.write_text("nonsense")
        path.chmod(0o600)
        keys.hear()
        assert not keys.refresh()
        assert keys.ids == RootKeys([OLD]).ids
        # Told once and failed once, it would go on wrapping with a key that is about to go.
        assert keys.is_stale
        write_root_keys(path, [NEW, OLD])
        assert keys.refresh()
        assert keys.current_id == RootKeys([NEW]).current_id
        assert not keys.is_stale

    async def test_a_process_does_not_take_a_lost_file_for_a_first_start(
        self, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It would wrap with a key of its own, which the file is not when it is back."""
        monkeypatch.setattr(manager, "_READ_AGAIN_SECONDS", 0.05)
        settings = Settings(data_dir=tmp_path)
        platform = compose(settings)
        path, security = tmp_path / "root.key", platform.of(SecurityManager)
        before = security.root.current_id
        path.rename(tmp_path / "elsewhere")
        security.root.hear()
        async with security.serving(database):
            await asyncio.sleep(1)
            assert security.root.current_id == before
            assert not path.exists()
            write_root_keys(
                path, [NEW, *load_root_keys(SecuritySettings(), tmp_path / "elsewhere")]
            )
            for _ in range(200):
                if security.root.current_id == RootKeys([NEW]).current_id:
                    break
                await asyncio.sleep(0.05)
        assert security.root.current_id == RootKeys([NEW]).current_id
        await platform.database.aclose()

    def test_without_a_source_there_is_nothing_to_read(self) -> None:
        keys = RootKeys([OLD])
        keys.hear()
        assert not keys.is_stale
        keys.refresh()

    def test_has_a_name_that_says_nothing_of_the_key(self) -> None:
        assert RootKeys([OLD]).current_id != RootKeys([NEW]).current_id
        assert RootKeys([OLD]).current_id not in OLD.hex()

    @pytest.mark.parametrize("keys", [[], [b"short"], [OLD, b""]], ids=["none", "short", "second"])
    def test_refuses_keys_of_another_size(self, keys: list[bytes]) -> None:
        with pytest.raises(ValueError, match="32 bytes"):
            RootKeys(keys)


class TestDerived:
    """Keys of single uses stay what they are while root keys come and go."""

    def test_by_a_file(self, tmp_path: Path) -> None:
        path = tmp_path / "root.key"
        write_root_keys(path, [OLD])
        first = load_root_keys(SecuritySettings(), path)
        expected = RootKeys(first).derive(b"use")
        write_root_keys(path, [NEW, *first])
        both = load_root_keys(SecuritySettings(), path)
        assert RootKeys(both).derive(b"use") == expected
        write_root_keys(path, [NEW], root.derivation_of(both))
        alone = load_root_keys(SecuritySettings(), path)
        assert (alone, RootKeys(alone).derive(b"use")) == ([NEW], expected)
        # And once more: it is what was kept, not what the next one would give.
        write_root_keys(path, [bytes(32), *alone], alone.derivation)
        assert RootKeys(load_root_keys(SecuritySettings(), path)).derive(b"use") == expected
        assert RootKeys([NEW]).derive(b"use") != expected
        assert RootKeys(alone).derive(b"other use") != expected

    def test_by_the_environment_and_by_a_command(self, tmp_path: Path) -> None:
        expected = RootKeys([OLD]).derive(b"use")
        kept = text(root.derivation_of([OLD]))
        by_environment = SecuritySettings(
            root_key=SecretStr(text(NEW)), root_key_derivation=SecretStr(kept)
        )
        by_command = printing(f"print({text(NEW)!r}); print('derives:' + {kept!r})")
        for settings in (by_environment, by_command):
            found = load_root_keys(settings, tmp_path / "root.key")
            assert (found, RootKeys(found).derive(b"use")) == ([NEW], expected)

    def test_refuses_what_is_none(self, tmp_path: Path) -> None:
        for code in ("print('derives:AAAA')", f"print({text(NEW)!r}); print('derives:AAAA')"):
            with pytest.raises(ValueError, match="32 bytes"):
                load_root_keys(printing(code), tmp_path / "root.key")
        with pytest.raises(ValidationError, match="goes with root_key"):
            SecuritySettings(root_key_derivation=SecretStr(text(OLD)))
