"""API keys: those of the tenant that one is logged in to."""

import argparse
import sys
from typing import Any, Final

from backend.cli._api import Api, api_command, print_rows, segment
from backend.cli.command import time_of


async def _list(api: Api, _: argparse.Namespace) -> None:
    """One a line: id, how it begins, role, expiry, last use, name."""
    rows = await api.items("api-keys")
    print_rows(rows, "id", "prefix", "role", "expires_at", "last_used_at", "name")


async def _create(api: Api, options: argparse.Namespace) -> None:
    body: dict[str, Any] = {"name": options.name, "role": options.role}
    if options.expires is not None:
        body["expires_at"] = options.expires.isoformat()
    made = await api.post("api-keys", body)
    sys.stdout.write(f"id\t{made['id']}\nkey\t{made['key']}\n")


async def _revoke(api: Api, options: argparse.Namespace) -> None:
    await api.delete(f"api-keys/{segment(options.id)}")


def _create_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name")
    parser.add_argument("--role", required=True)
    parser.add_argument("--expires", type=time_of, metavar="TIME", help="default: never")


COMMANDS: Final = (
    api_command("key-list", "print the tenant's API keys", _list),
    api_command("key-create", "make an API key; prints it, once", _create, _create_options),
    api_command(
        "key-revoke",
        "revoke an API key; it is refused at once",
        _revoke,
        lambda parser: parser.add_argument("id", help="as key-list prints it first"),
    ),
)
