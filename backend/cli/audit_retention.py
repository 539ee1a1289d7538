"""Audit retention: how long a trail is kept, seen and said from a shell."""

import argparse
import sys

from backend.app import Platform
from backend.cli.command import OPERATOR, Command, find_tenant, run_on_platform
from backend.core.context import AnyScope, Scope, SystemScope
from backend.managers.audit import RETAIN_PLATFORM, AuditManager
from backend.settings import Settings


def _run(settings: Settings, options: argparse.Namespace) -> None:
    run_on_platform(settings, lambda platform: _retention(platform, options))


async def _retention(platform: Platform, options: argparse.Namespace) -> None:
    """How long, and what is gone, in a line each."""
    retention = platform.of(AuditManager).retention
    scope: AnyScope = SystemScope(RETAIN_PLATFORM, actor=OPERATOR)
    if options.tenant != "platform":
        scope = Scope(OPERATOR, (await find_tenant(platform, options.tenant)).id)
    if options.keep_days is not None or options.for_ever:
        async with platform.database.transaction(scope) as tx:
            kept = await retention.put(tx, options.keep_days)
    else:
        async with platform.database.read(scope) as view:
            kept = await retention.get(view)
    time = "for ever" if kept.keep_days is None else f"{kept.keep_days} days"
    sys.stdout.write(f"kept {time} (at least {kept.least_days} days)\n")
    if kept.removed_seq:
        sys.stdout.write(f"gone up to record {kept.removed_seq}\n")


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--tenant", required=True, help="slug, or 'platform'")
    chosen = parser.add_mutually_exclusive_group()
    chosen.add_argument("--keep-days", type=int, help="older records may go")
    chosen.add_argument("--for-ever", action="store_true", help="nothing goes any more")


COMMANDS = (
    Command(
        "audit-retention",
        "say how long a tenant's audit trail is kept, or see it",
        _run,
        _options,
    ),
)
