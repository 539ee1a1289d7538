"""Audit: the trail, proved and printed."""

import argparse
import dataclasses
import json
import sys
from typing import Final

from backend.app import Platform
from backend.cli.command import Command, CommandError, find_tenant, run_on_platform
from backend.core.context import SystemScope
from backend.core.ids import PLATFORM_TENANT
from backend.managers.audit import VERIFY, AuditEntry, AuditManager
from backend.managers.tenant import PLATFORM, TenantManager
from backend.settings import Settings


def _audit_verify(settings: Settings, options: argparse.Namespace) -> None:
    async def verify(platform: Platform) -> bool:
        async with platform.database.read(SystemScope(PLATFORM)) as view:
            found = await platform.of(TenantManager).list_tenants(view, limit=100_000)
        chains = [("platform", PLATFORM_TENANT), *((one.slug, one.id) for one in found)]
        if options.tenant:
            chains = [(slug, id_) for slug, id_ in chains if slug == options.tenant]
            if not chains:
                msg = f"no tenant {options.tenant!r}"
                raise CommandError(msg)
        valid = True
        for slug, tenant_id in chains:
            scope = SystemScope(VERIFY, tenant_id=tenant_id)
            async with platform.database.read(scope) as view:
                report = await platform.of(AuditManager).verify_chain(view)
            valid = valid and report.valid
            broken = "" if report.valid else f"  first invalid seq {report.first_invalid_seq}"
            sys.stdout.write(
                f"{'ok  ' if report.valid else 'FAIL'} {slug:<24} {report.records} records"
                f"  head {report.head_hash or '-'}{broken}\n"
            )
        return valid

    if not run_on_platform(settings, verify):
        msg = "an audit chain does not hold"
        raise CommandError(msg)


def _audit_list(settings: Settings, options: argparse.Namespace) -> None:
    """One JSON object a line, ready for a log shipper or jq."""

    async def read(platform: Platform) -> list[AuditEntry]:
        tenant_id = PLATFORM_TENANT
        if options.tenant != "platform":
            tenant_id = (await find_tenant(platform, options.tenant)).id
        scope = SystemScope(VERIFY, tenant_id=tenant_id)
        async with platform.database.read(scope) as view:
            return await platform.of(AuditManager).list_records(
                view,
                limit=options.limit,
                action=options.action,
                actor=options.actor,
                target=options.target,
            )

    found = run_on_platform(settings, read)
    if len(found) > options.limit:
        sys.stderr.write(
            f"email-sender: these are the newest {options.limit}; there are older ones (--limit)\n"
        )
    for entry in reversed(found[: options.limit]):
        record = {**dataclasses.asdict(entry), "at": entry.at.isoformat()}
        sys.stdout.write(json.dumps(record, ensure_ascii=False) + "\n")


def _list_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--tenant", required=True, help="slug, or 'platform'")
    for name in ("target", "action", "actor"):
        parser.add_argument(f"--{name}", help="exact, or a prefix with *")
    parser.add_argument(
        "--limit", type=_positive, default=200, help="the newest so many (200); more are told of"
    )


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError
    return number


COMMANDS: Final = (
    Command(
        "audit-verify",
        "recompute the audit chain of every tenant",
        _audit_verify,
        lambda parser: parser.add_argument("--tenant", help="slug of one tenant"),
        installation="looks",
    ),
    Command(
        "audit-list",
        "print a tenant's audit records, oldest first",
        _audit_list,
        _list_options,
        installation="looks",
    ),
)
