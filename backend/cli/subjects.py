"""People: forgetting one, and the certificates of it."""

import argparse
import dataclasses
import json
import sys
from typing import Final
from uuid import UUID

from backend.app import Platform
from backend.cli.command import CommandError
from backend.cli.data_keys import command
from backend.core.context import Scope
from backend.core.paging import in_parts
from backend.kit.mime import parse_address
from backend.managers.compliance import ComplianceManager, Erasure


async def _erase(platform: Platform, scope: Scope, options: argparse.Namespace) -> None:
    """The certificate, a JSON object in a line; of an earlier erasure when nothing was left."""
    wanted = options.address or options.user
    if wanted is None:
        raise CommandError("whom? --address, --user, or both")
    if options.confirm != wanted:
        raise CommandError(f"it cannot be undone: --confirm {wanted}")
    address = None if options.address is None else parse_address(options.address).address
    async with platform.database.transaction(scope) as tx:
        made, is_new = await platform.of(ComplianceManager).erase_subject(
            tx, user_id=options.user, address=address
        )
    if not is_new:
        sys.stderr.write("email-sender: nothing was left of them; this is what went before\n")
    sys.stdout.write(_line(made))


async def _list(platform: Platform, scope: Scope, _: argparse.Namespace) -> None:
    """The certificates, newest first, a JSON object a line."""
    read = platform.of(ComplianceManager).list_erasures
    async for rows in in_parts(platform.database, scope, read):
        sys.stdout.writelines(map(_line, rows))


def _line(made: Erasure) -> str:
    told = dataclasses.asdict(made) | {"erased_at": made.erased_at.isoformat()}
    return json.dumps(told, ensure_ascii=False) + "\n"


def _id(text: str) -> str:
    return str(UUID(text))


def _erase_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--user", type=_id, help="id of who was a member")
    parser.add_argument("--address", help="their e-mail address, or a recipient's")
    parser.add_argument("--confirm", required=True, help="the address, or the id, once more")


COMMANDS: Final = (
    command(
        "subject-erase",
        "forget a person, for good, and print the certificate",
        _erase,
        _erase_options,
    ),
    command(
        "subject-erasures",
        "print the certificates of people who were erased",
        _list,
        installation="looks",
    ),
)
