"""Audit: the trail, proved, exported and printed."""

import argparse
import dataclasses
import json
import os
import sys
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, Final, TypeVar
from uuid import UUID

from backend.app import Platform
from backend.cli.command import Command, CommandError, find_tenant, run_on_platform
from backend.core.context import SystemScope
from backend.core.database import ReadTx
from backend.core.ids import PLATFORM_TENANT
from backend.managers.audit import (
    ENUMERATE,
    FORMATS,
    VERIFY,
    AuditEntry,
    AuditManager,
    CannotLookError,
    Wanted,
    say,
    verify_files,
    verify_proof_file,
)
from backend.managers.tenant import PLATFORM, TenantManager
from backend.settings import Settings

_T = TypeVar("_T")
_PLATFORM: Final = "platform"


# --- verifying --------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, slots=True)
class _Verify(Command):
    """Asks for an installation only when it is one that is verified."""

    def settings_for(self, settings: Settings) -> Settings:
        """The settings as they are: an export is verified wherever it was taken to."""
        return settings


def _audit_verify(settings: Settings, options: argparse.Namespace) -> None:
    taken = options.export or options.proof
    if taken is None:
        if options.key or options.checkpoint or options.mac_key:
            raise CommandError("--key, --checkpoint and --mac-key go with --export or --proof")
        _verify_installation(_INSTALLATION.settings_for(settings), options)
        return
    if options.key is None:
        raise CommandError("--export and --proof need --key, the public key that audit-keys prints")
    if options.proof and options.mac_key:
        raise CommandError("--mac-key goes with --export: a proof says nothing of MACs")
    try:
        if options.proof:
            report = verify_proof_file(options.proof, options.key, options.checkpoint)
        else:
            report = verify_files(options.export, options.key, options.checkpoint, options.mac_key)
    except CannotLookError as exc:
        raise CommandError(str(exc)) from None
    sys.stdout.write(say(report) + "\n")
    if report.findings:
        raise CommandError(f"the {'proof' if options.proof else 'exported trail'} does not hold")


def _verify_installation(settings: Settings, options: argparse.Namespace) -> None:
    async def verify(platform: Platform) -> bool:
        audit = platform.of(AuditManager)
        async with platform.database.read(SystemScope(PLATFORM)) as view:
            found = await platform.of(TenantManager).list_tenants(view, limit=100_000)
        names = {PLATFORM_TENANT: _PLATFORM} | {one.id: one.slug for one in found}
        async with platform.database.read(SystemScope(ENUMERATE)) as view:
            # Also of tenants that are gone, or were taken off the list: their trails are not.
            names |= {id_: id_ for id_ in await audit.list_trails(view) if id_ not in names}
        if options.tenant:
            names = {id_: name for id_, name in names.items() if options.tenant in {id_, name}}
            if not names:
                raise CommandError(f"no tenant {options.tenant!r}")
        valid = True
        for tenant_id, name in names.items():
            async with platform.database.read(SystemScope(VERIFY, tenant_id=tenant_id)) as view:
                report = await audit.verify_chain(view)
            valid = valid and report.valid
            broken = "" if report.valid else f"  first invalid seq {report.first_invalid_seq}"
            sys.stdout.write(
                f"{'ok  ' if report.valid else 'FAIL'} {name:<24} {report.records} records"
                f"  head {report.head_hash or '-'}{broken}\n"
            )
            for one in report.findings:
                sys.stdout.write(f"     {one.by:<12} {one.detail}\n")
        return valid

    if not run_on_platform(settings, verify):
        msg = "an audit chain does not hold"
        raise CommandError(msg)


def _verify_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--tenant", help="slug or id of one tenant, or 'platform'")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--export", type=Path, help="verify this file of audit-trail instead")
    what.add_argument("--proof", type=Path, help="verify this file of audit-proof instead")
    parser.add_argument(
        "--key", type=Path, help="with --export or --proof: file with the public key"
    )
    parser.add_argument(
        "--checkpoint",
        type=Path,
        action="append",
        default=[],
        help="with either: file with a checkpoint that was kept elsewhere; may be repeated",
    )
    parser.add_argument("--mac-key", type=Path, help="with --export: file with the MAC key")


# --- taking it elsewhere ----------------------------------------------------------------------


def _in_trail(
    settings: Settings,
    options: argparse.Namespace,
    work: Callable[[AuditManager, ReadTx], Awaitable[_T]],
) -> _T:
    """Do something with the trail that ``--tenant`` names: by slug, or by id once it is gone."""

    async def read(platform: Platform) -> _T:
        tenant_id = await _tenant_id(platform, options.tenant)
        async with platform.database.read(SystemScope(VERIFY, tenant_id=tenant_id)) as view:
            return await work(platform.of(AuditManager), view)

    return run_on_platform(settings, read)


async def _tenant_id(platform: Platform, named: str) -> str:
    if named == _PLATFORM:
        return PLATFORM_TENANT
    try:
        return str(UUID(named))
    except ValueError:
        return (await find_tenant(platform, named)).id


def _audit_trail(settings: Settings, options: argparse.Namespace) -> None:
    async def write(audit: AuditManager, view: ReadTx) -> None:
        async for line in audit.lines.all(view):
            sys.stdout.write(line)

    _in_trail(settings, options, write)


def _audit_keys(settings: Settings, options: argparse.Namespace) -> None:
    async def read(audit: AuditManager, view: ReadTx) -> str:
        if options.mac:
            return audit.lines.mac_key(view.tenant_id).hex()
        return audit.checkpoints.public_key(view).vkey

    sys.stdout.write(_in_trail(settings, options, read) + "\n")


def _keys_options(parser: argparse.ArgumentParser) -> None:
    _of_tenant(parser)
    parser.add_argument(
        "--mac", action="store_true", help="the MAC key instead: a secret, for an auditor alone"
    )


def _audit_proof(settings: Settings, options: argparse.Namespace) -> None:
    async def prove(audit: AuditManager, view: ReadTx) -> Any:
        if options.record is not None:
            return await audit.checkpoints.prove_inclusion(view, options.record, options.size)
        return await audit.checkpoints.prove_consistency(view, options.old_size, options.size)

    proof = _in_trail(settings, options, prove)
    sys.stdout.write(json.dumps(dataclasses.asdict(proof), ensure_ascii=False) + "\n")


def _proof_options(parser: argparse.ArgumentParser) -> None:
    _of_tenant(parser)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--record", type=_id, help="id of a record: that it is in the tree")
    what.add_argument("--old-size", type=_positive, help="that the tree of so many only grew")
    parser.add_argument("--size", type=_positive, help="of the tree; the one signed last")


def _audit_list(settings: Settings, options: argparse.Namespace) -> None:
    """One JSON object a line, ready for a log shipper or jq."""

    async def read(audit: AuditManager, view: ReadTx) -> Sequence[AuditEntry]:
        found = await audit.search(view, _wanted(options), limit=options.limit)
        return found.entries

    found = _in_trail(settings, options, read)
    if len(found) > options.limit:
        sys.stderr.write(
            f"email-sender: these are the newest {options.limit}; there are older ones (--limit)\n"
        )
    for entry in reversed(found[: options.limit]):
        record = {**dataclasses.asdict(entry), "at": entry.at.isoformat()}
        sys.stdout.write(json.dumps(record, ensure_ascii=False) + "\n")


def _audit_export(settings: Settings, options: argparse.Namespace) -> None:
    """The records as a file, oldest first; how far it is goes to standard error."""

    async def write(platform: Platform, out: BinaryIO) -> int:
        tenant_id = await _tenant_id(platform, options.tenant)
        scope = SystemScope(VERIFY, tenant_id=tenant_id)
        exports = platform.of(AuditManager).exports
        count = told = 0
        async for content, records in exports.written(
            platform.database, scope, options.format, _wanted(options)
        ):
            out.write(content)
            count += records
            if count - told >= _TOLD:
                told = count
                sys.stderr.write(f"email-sender: {count} records\n")
        return count

    if options.output is None:
        count = run_on_platform(settings, lambda platform: write(platform, sys.stdout.buffer))
        sys.stdout.flush()
    else:
        try:
            # Whoever may read the trail is decided by roles, not by who shares this machine.
            handle = os.open(options.output, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        except OSError as exc:
            msg = f"{options.output}: {exc.strerror}"
            raise CommandError(msg) from None
        try:
            with os.fdopen(handle, "wb") as out:
                count = run_on_platform(settings, lambda platform: write(platform, out))
        except BaseException:
            # Half a file looks like a whole one.
            options.output.unlink()
            raise
    sys.stderr.write(f"email-sender: {count} records, all that were asked for\n")


def _export_options(parser: argparse.ArgumentParser) -> None:
    _filter_options(parser)
    parser.add_argument("--format", choices=sorted(FORMATS), default="ndjson")
    parser.add_argument("--output", type=Path, help="a new file; without it, standard output")


def _wanted(options: argparse.Namespace) -> Wanted:
    return Wanted(
        action=options.action,
        actor=options.actor,
        target=options.target,
        request_id=options.request,
        workflow=options.workflow,
        execution=options.execution,
        after=options.after,
        before=options.before,
    )


def _filter_options(parser: argparse.ArgumentParser) -> None:
    _of_tenant(parser)
    for name in ("target", "action", "actor", "request", "workflow", "execution"):
        parser.add_argument(f"--{name}", help="exact, or a prefix with *")
    for name, said in (("after", "then or later"), ("before", "earlier")):
        parser.add_argument(f"--{name}", type=_time, help=f"2027-01-31T12:00:00Z; {said}")


def _list_options(parser: argparse.ArgumentParser) -> None:
    _filter_options(parser)
    parser.add_argument(
        "--limit", type=_positive, default=200, help="the newest so many (200); more are told of"
    )


def _of_tenant(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--tenant", required=True, help="slug or id, or 'platform'")


def _time(text: str) -> datetime:
    moment = datetime.fromisoformat(text.upper())
    if moment.tzinfo is None:
        raise ValueError
    return moment.astimezone(UTC)


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError
    return number


def _id(text: str) -> str:
    return str(UUID(text))


_INSTALLATION: Final = Command("audit-verify", "", _verify_installation)

_TOLD: Final = 50_000
COMMANDS: Final = (
    _Verify(
        "audit-verify",
        "recompute the audit chain of every tenant, or that of an export",
        _audit_verify,
        _verify_options,
    ),
    Command(
        "audit-list",
        "print a tenant's audit records, oldest first",
        _audit_list,
        _list_options,
        installation="looks",
    ),
    Command(
        "audit-export",
        "write a tenant's audit records to a file, in a format of your choice",
        _audit_export,
        _export_options,
        installation="looks",
    ),
    Command(
        "audit-trail",
        "print a tenant's whole trail for audit-verify --export",
        _audit_trail,
        _of_tenant,
        installation="looks",
    ),
    Command(
        "audit-keys",
        "print the public key of a tenant's checkpoints",
        _audit_keys,
        _keys_options,
    ),
    Command(
        "audit-proof",
        "prove that a record is in the tree, or that the tree only grew",
        _audit_proof,
        _proof_options,
        installation="looks",
    ),
)
