"""Suppressions: a tenant's list, printed, filled from a file, and let go of."""

import argparse
import sys
from functools import partial
from pathlib import Path
from typing import Final

from backend.app import Platform
from backend.cli.command import tenant_command
from backend.core.context import Scope
from backend.core.paging import in_parts
from backend.managers.email import EmailManager, Imported


async def _list(platform: Platform, scope: Scope, options: argparse.Namespace) -> None:
    """One address a line, then its reason, expiry and comment, between tabs."""
    read = partial(platform.of(EmailManager).suppressions.list, address=options.address)
    async for rows in in_parts(platform.database, scope, read):
        for one in rows:
            until = one.expires_at.isoformat() if one.expires_at else "never"
            words = " ".join(one.comment.split())
            sys.stdout.write(f"{one.address}\t{one.reason}\t{until}\t{words}\n")


async def _import(platform: Platform, scope: Scope, options: argparse.Namespace) -> None:
    held = platform.of(EmailManager).suppressions
    lines = await held.read_file(scope.tenant_id, options.file.read_bytes())
    found = Imported()
    for part in held.in_parts(lines, platform.database.clock()):
        async with platform.database.transaction(scope) as tx:
            found += await held.import_part(tx, part)
    sys.stdout.write(f"{found.added} added, {found.known} were on the list\n")


async def _remove(platform: Platform, scope: Scope, options: argparse.Namespace) -> None:
    async with platform.database.transaction(scope) as tx:
        await platform.of(EmailManager).suppressions.remove_address(tx, options.address)


COMMANDS: Final = (
    tenant_command(
        "suppression-list",
        "print the addresses that a tenant never mails",
        _list,
        lambda parser: parser.add_argument("--address", help="exact, or a prefix with *"),
        installation="looks",
    ),
    tenant_command(
        "suppression-import",
        "never mail the addresses of a CSV file",
        _import,
        lambda parser: parser.add_argument("file", type=Path),
    ),
    tenant_command(
        "suppression-remove",
        "let a tenant mail an address again",
        _remove,
        lambda parser: parser.add_argument("address"),
    ),
)
