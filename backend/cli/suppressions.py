"""Suppressions: a tenant's list, printed, filled from a file, and let go of."""

import argparse
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final, TypeVar

from backend.app import Platform, compose
from backend.cli.command import Command, CommandError, find_tenant, run_async
from backend.core.context import Scope
from backend.core.errors import AppError
from backend.managers.email import EmailManager, Imported, SuppressionList
from backend.settings import Settings

_T = TypeVar("_T")
_PART: Final = 500


def _list(settings: Settings, options: argparse.Namespace) -> None:
    """One address a line, then its reason, expiry and comment, between tabs."""

    async def read(platform: Platform, scope: Scope, held: SuppressionList) -> None:
        before, more = None, True
        while more:
            async with platform.database.read(scope) as tx:
                rows = await held.list(tx, limit=_PART, before_id=before, address=options.address)
            more = len(rows) > _PART
            before = rows[_PART - 1].id if more else None
            for one in rows[:_PART]:
                until = one.expires_at.isoformat() if one.expires_at else "never"
                words = " ".join(one.comment.split())
                sys.stdout.write(f"{one.address}\t{one.reason}\t{until}\t{words}\n")

    _run(settings, options, read)


def _import(settings: Settings, options: argparse.Namespace) -> None:
    data = options.file.read_bytes()

    async def take(platform: Platform, scope: Scope, held: SuppressionList) -> str:
        try:
            lines = await held.read_file(scope.tenant_id, data)
            found = Imported()
            for part in held.in_parts(lines, platform.database.clock()):
                async with platform.database.transaction(scope) as tx:
                    found += await held.import_part(tx, part)
        except AppError as exc:
            wrong = [str(one["detail"]) for one in exc.extra.get("errors", [])]
            raise CommandError("; ".join([exc.detail, *wrong[:3]])) from None
        return f"{found.added} added, {found.known} were on the list\n"

    sys.stdout.write(_run(settings, options, take))


def _remove(settings: Settings, options: argparse.Namespace) -> None:
    async def remove(platform: Platform, scope: Scope, held: SuppressionList) -> None:
        async with platform.database.transaction(scope) as tx:
            await held.remove_address(tx, options.address)

    _run(settings, options, remove)


def _run(
    settings: Settings,
    options: argparse.Namespace,
    work: Callable[[Platform, Scope, SuppressionList], Awaitable[_T]],
) -> _T:
    platform = compose(settings)

    async def run() -> _T:
        async with platform.running():
            tenant = await find_tenant(platform, options.tenant)
            scope = Scope(actor="system:operator", tenant_id=tenant.id)
            return await work(platform, scope, platform.of(EmailManager).suppressions)

    found: _T = run_async(run())
    return found


def _options(
    *more: tuple[str, dict[str, object]],
) -> Callable[[argparse.ArgumentParser], None]:
    def add(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--tenant", required=True, help="slug")
        for name, how in more:
            parser.add_argument(name, **how)  # type: ignore[arg-type]  # argparse's own words

    return add


COMMANDS: Final = (
    Command(
        "suppression-list",
        "print the addresses that a tenant never mails",
        _list,
        _options(("--address", {"help": "exact, or a prefix with *"})),
    ),
    Command(
        "suppression-import",
        "never mail the addresses of a CSV file",
        _import,
        _options(("file", {"type": Path})),
    ),
    Command(
        "suppression-remove",
        "let a tenant mail an address again",
        _remove,
        _options(("address", {})),
    ),
)
