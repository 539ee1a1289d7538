"""People: forgetting one, and the certificates of it."""

import argparse
import asyncio
import dataclasses
import json
import sys
from datetime import datetime
from typing import Final
from uuid import UUID

from backend.app import Platform
from backend.cli.command import CommandError
from backend.cli.data_keys import command
from backend.core.context import Scope
from backend.core.paging import in_parts
from backend.kit.mime import parse_address
from backend.managers.compliance import ComplianceManager, Erasure

_LOOK_SECONDS: Final = 1.0


async def _erase(platform: Platform, scope: Scope, options: argparse.Namespace) -> None:
    """The certificate, a JSON object in a line, once the walk is complete; else how far it is."""
    wanted = options.address or options.user
    if wanted is None:
        raise CommandError("whom? --address, --user, or both")
    if options.confirm != wanted:
        raise CommandError(f"it cannot be undone: --confirm {wanted}")
    address = None if options.address is None else parse_address(options.address).address
    compliance, database = platform.of(ComplianceManager), platform.database
    async with database.transaction(scope) as tx:
        made, is_new = await compliance.erase_subject(tx, user_id=options.user, address=address)
    if not is_new:
        sys.stderr.write("email-sender: they are being erased already; this is how far it is\n")
    told = ""
    while options.wait and made.state == "running":
        # Where no worker is at it, this is one.
        await compliance.walks.walker.run_due(database)
        async with database.read(scope) as view:
            made = await compliance.get_erasure(view, made.id)
        if (now := _progress(made)) != told:
            sys.stderr.write(f"email-sender: {now}\n")
            told = now
        if made.state == "running":
            await asyncio.sleep(_LOOK_SECONDS)
    sys.stdout.write(_line(made))


def _progress(made: Erasure) -> str:
    at = f", at {made.place}" if made.place else ""
    until = f", waits until {made.waits_until.isoformat()}" if made.waits_until else ""
    waits = f": {made.waits_for}" if made.waits_for else ""
    return (
        f"{made.state}: round {made.round}{at}, {made.looked_at} rows looked at, "
        f"{made.rewritten} rewritten{until}{waits}"
    )


async def _list(platform: Platform, scope: Scope, _: argparse.Namespace) -> None:
    """The erasures, newest first, a JSON object a line, each with what is known of it."""
    read = platform.of(ComplianceManager).list_erasures
    async for rows in in_parts(platform.database, scope, read):
        sys.stdout.writelines(map(_line, rows))


def _line(made: Erasure) -> str:
    told = {
        name: value.isoformat() if isinstance(value, datetime) else value
        for name, value in dataclasses.asdict(made).items()
    }
    return json.dumps(told, ensure_ascii=False) + "\n"


def _id(text: str) -> str:
    return str(UUID(text))


def _erase_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--user", type=_id, help="id of who was a member")
    parser.add_argument("--address", help="their e-mail address, or a recipient's")
    parser.add_argument("--confirm", required=True, help="the address, or the id, once more")
    parser.add_argument(
        "--no-wait", dest="wait", action="store_false", help="leave the rest to a worker"
    )


COMMANDS: Final = (
    command(
        "subject-erase",
        "forget a person, for good, and print the certificate when it is done",
        _erase,
        _erase_options,
    ),
    command(
        "subject-erasures",
        "print the people who were erased, or are being, with the certificates",
        _list,
        installation="looks",
    ),
)
