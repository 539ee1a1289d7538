"""Silences, and who is on call, of the tenant that one is logged in to, from a shell."""

import argparse
import re
from datetime import timedelta
from typing import Any, Final

from backend.cli._api import Api, api_command, print_rows, segment
from backend.cli._times import time
from backend.core.clock import system_clock

_UNITS: Final = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_LASTS: Final = re.compile(r"(\d{1,5})([mhdw])", re.ASCII)


async def _list(api: Api, options: argparse.Namespace) -> None:
    """A silence a line: id, state, kind, matchers, from when to when, by whom, and why."""
    found = await api.items("silences", state=options.state, matchers=options.labels)
    print_rows(
        found, "id", "state", "kind", "matchers", "starts_at", "ends_at", "created_by", "reason"
    )


async def _add(api: Api, options: argparse.Namespace) -> None:
    """Silence alerts, and print the silence's id."""
    starts_at = options.at or system_clock()
    body: dict[str, Any] = {
        "matchers": options.matchers,
        "starts_at": starts_at.isoformat(),
        "ends_at": (starts_at + options.lasts).isoformat(),
        "reason": options.reason,
    }
    if options.announce_hours is not None:
        body |= {"kind": "maintenance", "announce_hours": options.announce_hours}
    print_rows([await api.post("silences", body)], "id")


async def _expire(api: Api, options: argparse.Namespace) -> None:
    await api.post(f"silences/{segment(options.silence_id)}/expire")


async def _on_call(api: Api, _: argparse.Namespace) -> None:
    """A schedule a line: its name, who is on call, until when, and who is next."""
    found = await api.get("on-call")
    print_rows(found["items"], "name", "person", "until", "next_person")


def _lasts(text: str) -> timedelta:
    found = _LASTS.fullmatch(text)
    if found is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no time like 30m, 2h, 3d or 1w")
    return timedelta(**{_UNITS[found[2]]: int(found[1])})


def _list_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--state", choices=("scheduled", "active", "expired"))
    parser.add_argument("--labels", metavar="MATCHERS", help="what their own matchers say")


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("matchers", help='as in team="db",zone!="test"')
    parser.add_argument("--reason", required=True, help="why nobody is told")
    parser.add_argument(
        "--for", dest="lasts", type=_lasts, default="2h", metavar="TIME", help="2h unless said"
    )
    parser.add_argument("--at", type=time, metavar="WHEN", help="when it begins: RFC 3339; now")
    parser.add_argument(
        "--announce-hours", type=int, metavar="HOURS", help="maintenance, announced so long before"
    )


COMMANDS: Final = (
    api_command("silences-list", "print silences, the newest first", _list, _list_options),
    api_command("silences-add", "have nobody told of some alerts for a while", _add, _add_options),
    api_command(
        "silences-expire",
        "end a silence",
        _expire,
        lambda parser: parser.add_argument("silence_id", metavar="SILENCE"),
    ),
    api_command("oncall", "print who is on call", _on_call),
)
