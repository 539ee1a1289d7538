"""Webhooks of the tenant that one is logged in to, from a shell."""

import argparse
import sys
from typing import Any, Final

from backend.cli._api import Api, api_command, print_rows, segment
from backend.cli._times import time


def _state(one: dict[str, Any]) -> str:
    if one["stopped_why"]:
        return "stopped"
    if not one["enabled"]:
        return "disabled"
    return "failing" if one["failing_since"] else "delivering"


async def _list(api: Api, _: argparse.Namespace) -> None:
    """A webhook a line: id, state, name, host, events behind it, since when it fails and why."""
    found = await api.items("webhooks")
    told = [
        {**one, "state": _state(one), "why": one["stopped_why"] or one["last_error"]}
        for one in found
    ]
    print_rows(told, "id", "state", "name", "host", "behind", "failing_since", "why")


async def _create(api: Api, options: argparse.Namespace) -> None:
    """Make one; its id and the secret of its signatures, which is shown this once."""
    body = {
        "name": options.name,
        "url": options.url,
        "kinds": options.kinds,
        "subject": options.subject,
        "since_seq": options.since_seq,
    }
    _show(await api.post("webhooks", body))


async def _deliveries(api: Api, options: argparse.Namespace) -> None:
    """A try a line, the newest first: when, what came of it, status, try, kind, subject, why."""
    query = {"failed": "true"} if options.failed else {}
    found = await api.items(f"webhooks/{segment(options.webhook_id)}/deliveries", **query)
    print_rows(found, "at", "outcome", "status", "attempt", "seq", "kind", "subject", "error")


async def _replay(api: Api, options: argparse.Namespace) -> None:
    since = options.since and options.since.isoformat()
    body = {"after_seq": options.after_seq, "since": since}
    told = await api.post(f"webhooks/{segment(options.webhook_id)}/replay", body)
    print_rows([told], "id", "seq", "behind")


async def _test(api: Api, options: argparse.Namespace) -> None:
    """Send a test: what came of it, the status, milliseconds, and why not."""
    found = await api.post(f"webhooks/{segment(options.webhook_id)}/test")
    print_rows([found], "outcome", "status", "milliseconds", "error")


async def _rotate(api: Api, options: argparse.Namespace) -> None:
    """Sign with another secret, shown this once; the one before signs for a day more."""
    _show(await api.post(f"webhooks/{segment(options.webhook_id)}/rotate"))


async def _remove(api: Api, options: argparse.Namespace) -> None:
    await api.delete(f"webhooks/{segment(options.webhook_id)}")


def _show(made: dict[str, Any]) -> None:
    sys.stdout.write(f"id\t{made['id']}\nsecret\t{made['secret']}\n")


def _one(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("webhook_id", metavar="WEBHOOK")


def _create_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name")
    parser.add_argument("url", help="an https address")
    parser.add_argument("kinds", nargs="+", metavar="KIND", help="as in alert.fired")
    parser.add_argument("--subject", default="", help="what it is about begins so: alert:")
    parser.add_argument(
        "--since-seq", type=int, metavar="NUMBER", help="events after this one; else from now on"
    )


def _deliveries_options(parser: argparse.ArgumentParser) -> None:
    _one(parser)
    parser.add_argument("--failed", action="store_true", help="only what was not taken")


def _replay_options(parser: argparse.ArgumentParser) -> None:
    _one(parser)
    since = parser.add_mutually_exclusive_group(required=True)
    since.add_argument("--after-seq", type=int, metavar="NUMBER", help="all events after this one")
    since.add_argument("--since", type=time, metavar="WHEN", help="or since this time: RFC 3339")


COMMANDS: Final = (
    api_command("webhooks-list", "print programs that are told of events", _list),
    api_command("webhooks-create", "have a program told of events", _create, _create_options),
    api_command(
        "webhooks-deliveries", "print what was tried in a week", _deliveries, _deliveries_options
    ),
    api_command("webhooks-replay", "tell one again", _replay, _replay_options),
    api_command("webhooks-test", "send one a test", _test, _one),
    api_command("webhooks-rotate", "sign with another secret", _rotate, _one),
    api_command("webhooks-remove", "tell one nothing more", _remove, _one),
)
