"""Data keys: a tenant's, or the platform's own, seen and replaced, and sealing anew."""

import argparse
import sys
from collections.abc import Awaitable, Callable
from typing import Final

from backend.app import Platform
from backend.cli.command import (
    OPERATOR,
    Command,
    CommandError,
    Installation,
    Options,
    find_tenant,
    run_on_platform,
)
from backend.core.context import Scope
from backend.core.ids import PLATFORM_TENANT
from backend.managers.security import Rewrap, SecurityManager
from backend.settings import Settings

_Work = Callable[[Platform, Scope, argparse.Namespace], Awaitable[None]]


async def _list(platform: Platform, scope: Scope, _: argparse.Namespace) -> None:
    """A version a line, then its state, the time from which it seals, and what is left."""
    async with platform.database.read(scope) as view:
        found = await platform.of(SecurityManager).rotation.list_versions(view)
    for one in found:
        left = "-" if one.left is None else str(one.left)
        sys.stdout.write(f"{one.version}\t{one.state}\t{one.seals_from.isoformat()}\t{left}\n")


async def _rotate(platform: Platform, scope: Scope, _: argparse.Namespace) -> None:
    async with platform.database.transaction(scope) as tx:
        made = await platform.of(SecurityManager).rotate_data_key(tx)
    sys.stdout.write(f"version {made.version} seals from {made.seals_from.isoformat()}\n")


async def _rewrap(platform: Platform, scope: Scope, options: argparse.Namespace) -> None:
    """The walk after the act, in a line: its state, version, round, progress and what is left."""
    security = platform.of(SecurityManager)
    rewraps = security.rewraps
    async with platform.database.transaction(scope) as tx:
        now = await rewraps.find(tx)
        if options.act == "start":
            now = await security.start_rewrap(tx)
        elif now is None:
            raise CommandError("nothing was sealed anew so far: --start")
        elif options.act is not None:
            acts = {"pause": rewraps.pause, "resume": rewraps.resume, "cancel": rewraps.cancel}
            now = await acts[options.act](tx, now.id)
    sys.stdout.write(f"{_told(now)}\n")


def _told(walk: Rewrap) -> str:
    rows = f"{walk.seen} of {'?' if walk.total is None else walk.total} rows"
    left = "not counted" if walk.left is None else str(sum(walk.left.values()))
    waits = "" if walk.waits_until is None else f", waits until {walk.waits_until.isoformat()}"
    return (
        f"{walk.state}: version {walk.version}, round {walk.round}, {rows}, "
        f"{walk.written} sealed anew, left: {left}{waits}"
    )


def _act_options(parser: argparse.ArgumentParser) -> None:
    acts = parser.add_mutually_exclusive_group()
    for act, text in (
        ("start", "begin at the beginning"),
        ("pause", "stop after the rows that are being written"),
        ("resume", "go on from there"),
        ("cancel", "end it"),
    ):
        acts.add_argument(f"--{act}", dest="act", action="store_const", const=act, help=text)


def command(
    name: str,
    text: str,
    work: _Work,
    options: Options = lambda _: None,
    installation: Installation = "changes",
) -> Command:
    """A command for a tenant, or for what is the platform's own."""

    def run(settings: Settings, chosen: argparse.Namespace) -> None:
        async def act(platform: Platform) -> None:
            tenant_id = PLATFORM_TENANT
            if not chosen.platform:
                tenant_id = (await find_tenant(platform, chosen.tenant)).id
            await work(platform, Scope(actor=OPERATOR, tenant_id=tenant_id), chosen)

        run_on_platform(settings, act)

    def add(parser: argparse.ArgumentParser) -> None:
        whose = parser.add_mutually_exclusive_group(required=True)
        whose.add_argument("--tenant", help="slug")
        whose.add_argument("--platform", action="store_true", help="the platform's own")
        options(parser)

    return Command(name, text, run, add, installation)


COMMANDS: Final = (
    command(
        "data-key-list",
        "print the versions of a data key, and what is left under each",
        _list,
        installation="looks",
    ),
    command("data-key-rotate", "replace a data key, and seal everything anew", _rotate),
    command("rewrap", "see, start, pause, resume or cancel sealing anew", _rewrap, _act_options),
)
