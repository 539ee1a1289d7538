"""API clients: those of the tenant that one is logged in to."""

import argparse
import sys
from typing import Any, Final

from backend.cli._api import Api, api_command, print_rows, segment


async def _list(api: Api, _: argparse.Namespace) -> None:
    """One a line: id, client id, role, whether it is disabled, name."""
    rows = await api.items("clients")
    print_rows(rows, "id", "client_id", "role", "disabled", "name")


async def _create(api: Api, options: argparse.Namespace) -> None:
    _show(await api.post("clients", {"name": options.name, "role": options.role}))


async def _rotate(api: Api, options: argparse.Namespace) -> None:
    _show(await api.post(f"clients/{segment(options.id)}/rotate"))


def _show(made: dict[str, Any]) -> None:
    sys.stdout.write(f"id\t{made['id']}\n")
    sys.stdout.write(f"client_id\t{made['client_id']}\nclient_secret\t{made['client_secret']}\n")


async def _delete(api: Api, options: argparse.Namespace) -> None:
    await api.delete(f"clients/{segment(options.id)}")


def _create_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name")
    parser.add_argument("--role", required=True)


def _of_one(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("id", help="as client-list prints it first")


COMMANDS: Final = (
    api_command("client-list", "print the tenant's API clients", _list),
    api_command(
        "client-create", "make an API client; prints its secret, once", _create, _create_options
    ),
    api_command("client-rotate", "give an API client a new secret, printed once", _rotate, _of_one),
    api_command("client-delete", "delete an API client; it is refused at once", _delete, _of_one),
)
