"""A drill on the trail's owner: tampered with in every way there is, and taken to an auditor.

The ways are those of ``tests/support/tampering.py``. There they are tried on a database of
the test's; here on an installation with keys of its own, whose auditor has nothing but an export,
the stand-alone verifier, the public key and a checkpoint that was kept elsewhere.
"""

import asyncio
import os
import random
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from pydantic import SecretStr

from backend.app import Platform, compose
from backend.core.audit import AuditHead, sequence
from backend.core.context import Scope, SystemScope
from backend.managers.audit import VERIFY, AuditManager, AuditSettings, offline
from backend.managers.security import SecuritySettings
from backend.managers.tenant import PLATFORM, TenantManager
from backend.migrations import runner
from backend.settings import DatabaseSettings, Settings
from scripts.drills.rig import DrillError, Where
from scripts.installation import ROOT, Installation
from tests.support.tampering import CASES, EARLY_SIZE, KEPT_SIZE, SIZE, Workshop

_SIGNED_EVERY: Final = 1.0
_VERIFIER: Final = ROOT / "docs/formats/audit_verify.py"
_LEAST_WAYS: Final = 40


@dataclass(frozen=True, slots=True)
class Found:
    """What came of one way of tampering; each names what finds it, in words."""

    way: str
    alone: Sequence[str]
    """By the stand-alone verifier, with the public key and a checkpoint from before."""
    with_key: Sequence[str]
    """By the same, with the tenant's MAC key as well."""
    in_database: Sequence[str]
    """By whoever has the database and the keys: what is in no export, as the tree's tiles."""


@dataclass(frozen=True, slots=True)
class TamperingReport:
    """Every way, and who found it."""

    found: Sequence[Found]
    unexpected: Sequence[str]

    @property
    def alone(self) -> int:
        """Ways that the public key and a checkpoint are enough for."""
        return sum(bool(one.alone) for one in self.found)

    def problems(self) -> list[str]:
        """What is wrong; nothing, when all is well."""
        said = list(self.unexpected[:3])
        said += [
            f"nobody finds {one.way}"
            for one in self.found
            if not (one.alone or one.with_key or one.in_database)
        ]
        if self.alone < _LEAST_WAYS:
            said.append(f"the public key and a checkpoint find only {self.alone}")
        return said

    def __str__(self) -> str:
        """A line and a table for people."""
        with_key = sum(bool(one.with_key) and not one.alone for one in self.found)
        rest = len(self.found) - self.alone - with_key
        table = [
            f"     {one.way.replace('_', ' '):<62} {told}"
            for one in self.found
            for told in [_first(one)]
        ]
        head = (
            f"{len(self.found)} ways: {self.alone} found by the stand-alone verifier with the "
            f"public key and a checkpoint from before, {with_key} more with the MAC key, {rest} in "
            "the database alone, as they leave the records as they were"
        )
        return "\n".join([head, *table])


def _first(found: Found) -> str:
    if found.alone:
        return found.alone[0]
    if found.with_key:
        return f"{found.with_key[0]} (MAC key)"
    return f"{found.in_database[0]} (database)" if found.in_database else "NOT FOUND"


async def tamper(where: Where, _: random.Random, folder: Path) -> TamperingReport:
    """Tamper in every way, and have an auditor look each time."""
    # Nothing of it runs: nobody may number and grow while the owner is at it.
    settings = await asyncio.to_thread(where.settings, f"drill_{os.urandom(6).hex()}")
    with Installation(folder, settings) as installation:
        key_file = installation.root_key_file
        platform = compose(
            Settings(
                data_dir=key_file.parent,
                database=DatabaseSettings(url=SecretStr(installation.database_url)),
                security=SecuritySettings(root_key_file=key_file),
                audit=AuditSettings(checkpoint_seconds=_SIGNED_EVERY),
            )
        )
        owner = sa.create_engine(
            runner.sync_url(settings.get("DATABASE__OWNER_URL", installation.database_url)),
            poolclass=sa.StaticPool,
        )
        try:
            workshop = await _set_up(installation, platform, owner)
            return await _tamper(_Auditor(installation, platform, workshop), workshop)
        finally:
            owner.dispose()
            await platform.database.aclose()


async def _set_up(installation: Installation, platform: Platform, owner: sa.Engine) -> Workshop:
    """Two tenants with trails, signed at three sizes; the checkpoint of the middle one is kept."""
    database, audit = platform.database, platform.of(AuditManager)
    made = []
    for slug in ("drilled", "beside"):
        async with database.transaction(SystemScope(PLATFORM)) as tx:
            tenants = platform.of(TenantManager)
            made.append((await tenants.create_tenant(tx, slug=slug, name=slug)).id)
    tenant, other = made
    early: dict[str, Any] = {}
    await _number_all(platform)
    begun = (await _head(platform, tenant)).get("seq", 0)
    for size in (EARLY_SIZE, KEPT_SIZE, SIZE):
        await _act(platform, tenant, size - begun)
        await _act(platform, other, 5)
        await _number_all(platform)
        await audit.checkpoints.grow(database)
        begun = size
        early = early or await _head(platform, tenant)
        # Once a period, by a lease.
        await asyncio.sleep(_SIGNED_EVERY)
        if not await audit.checkpoints.sign_due(database):
            raise DrillError("nothing was signed")
    async with database.read(SystemScope(VERIFY, tenant_id=tenant)) as view:
        kept = (await audit.checkpoints.get(view, KEPT_SIZE)).note
    key = await asyncio.to_thread(installation.command, "audit-keys", "--tenant", tenant)
    gate: Any = platform
    return Workshop(gate, owner, tenant, other, early, kept, offline.Key(key))


async def _head(platform: Platform, tenant_id: str) -> dict[str, Any]:
    async with platform.database.read(SystemScope(VERIFY, tenant_id=tenant_id)) as view:
        head = await view.scalar(sa.select(AuditHead))
    names = ("seq", "chain_hash", "unsealed_seq", "mac")
    return {} if head is None else {name: getattr(head, name) for name in names}


async def _number_all(platform: Platform) -> None:
    while await sequence(platform.database):
        pass


async def _act(platform: Platform, tenant_id: str, count: int) -> None:
    for number in range(count):
        scope = Scope("user:ada", tenant_id, "req-1")
        async with platform.database.transaction(scope) as tx:
            tx.audit("thing.made", f"thing:{number}", size=number)


class _Auditor:
    """Has files; and, for what is in none, somebody who has the database and the keys."""

    def __init__(self, installation: Installation, platform: Platform, workshop: Workshop) -> None:
        self._platform = platform
        self._tenant = workshop.tenant
        self._folder = installation.logs.parent / "auditor"
        self._installation = installation
        self._kept = workshop.kept

    def begin(self) -> None:
        """Take along what is kept elsewhere, by the commands that operators use."""
        self._folder.mkdir()
        for name, options in (("key", ()), ("mac", ("--mac",))):
            command = ("audit-keys", "--tenant", self._tenant, *options)
            self._file(name).write_text(self._installation.command(*command))
        self._file("checkpoint").write_text(self._kept, "utf-8")

    def exported(self) -> str:
        """The export as it is, by the command that operators use."""
        return self._installation.command("audit-trail", "--tenant", self._tenant)

    def _file(self, name: str) -> Path:
        return self._folder / name

    async def export(self) -> str:
        """The same in this process: starting another one takes seconds, and it is done often."""
        audit = self._platform.of(AuditManager)
        scope = SystemScope(VERIFY, tenant_id=self._tenant)
        async with self._platform.database.read(scope) as view:
            lines = [line async for line in audit.lines.all(view)]
        text = "".join(lines)
        self._file("export").write_text(text, "utf-8")
        return text

    def verify(self, *, with_key: bool = False) -> list[str]:
        """What the stand-alone verifier says of the export: a finding a line.

        Raises:
            DrillError: It could not look.
        """
        arguments = [str(_VERIFIER)]
        for option in ("export", "key", "checkpoint"):
            arguments += [f"--{option}", str(self._file(option))]
        if with_key:
            arguments += ["--mac-key", str(self._file("mac"))]
        done = subprocess.run(
            [sys.executable, *arguments], capture_output=True, text=True, check=False
        )
        said = done.stdout.splitlines()
        found = [line.removeprefix("FAIL").strip() for line in said if line.startswith("FAIL")]
        if done.returncode != bool(found):
            raise DrillError(f"the verifier ended with {done.returncode}: {done.stderr[-300:]}")
        return found

    async def look(self) -> list[str]:
        """What finds something in the database, with the keys."""
        audit = self._platform.of(AuditManager)
        scope = SystemScope(VERIFY, tenant_id=self._tenant)
        async with self._platform.database.read(scope) as view:
            report = await audit.verify_chain(view)
        return [f"{one.by} {one.detail}" for one in report.findings]


async def _tamper(auditor: _Auditor, workshop: Workshop) -> TamperingReport:
    await asyncio.to_thread(auditor.begin)
    if await auditor.export() != await asyncio.to_thread(auditor.exported):
        raise DrillError("audit-trail exports something else")
    untouched = auditor.verify() or auditor.verify(with_key=True) or await auditor.look()
    if untouched:
        raise DrillError(f"nobody has tampered yet, and: {untouched[0]}")
    before = workshop.snapshot()
    found, unexpected = [], []
    for way, one in CASES.items():
        with workshop.owning(guarded=False) as trail:
            one.act(trail)
        await auditor.export()
        alone = await asyncio.to_thread(auditor.verify)
        with_key = [] if alone else await asyncio.to_thread(auditor.verify, with_key=True)
        in_database = [] if alone or with_key else await auditor.look()
        found.append(Found(way, alone, with_key, in_database))
        by = " ".join(sorted({line.split()[0] for line in alone}))
        if by != one.offline:
            unexpected.append(f"{way} is found by {by or 'nothing'}, not {one.offline}")
        workshop.restore(before)
    return TamperingReport(found, unexpected)
