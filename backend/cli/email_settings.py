"""E-mail settings: whether mail of the tenant can go out, tried and told."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any, Final

from backend.cli._api import Api, api_command
from backend.cli.command import CommandError

_ANSWER_SECONDS: Final = 75.0


async def _test(api: Api, options: argparse.Namespace) -> None:
    """The dialogue line by line, who the server proved to be, and what came of it."""
    body: dict[str, Any] = {"to": options.to}
    if options.settings is not None:
        try:
            body["settings"] = json.loads(options.settings.read_text(encoding="utf-8"))
        except ValueError:
            raise CommandError(f"{options.settings} is no JSON") from None
    found = await api.post("email-settings/test", body, seconds=_ANSWER_SECONDS)
    for step in found["steps"]:
        sys.stdout.write(f"{step['at_ms'] / 1000:8.3f}  {step['name']}\n")
        if step["sent"]:
            sys.stdout.write(f"          > {step['sent']}\n")
        said = " ".join(str(part) for part in (step["code"], step["said"]) if part)
        for line in said.splitlines():
            sys.stdout.write(f"          < {line}\n")
    proven = found["certificate"]
    if proven is not None:
        sys.stdout.write(
            f"certificate {proven['subject']}, by {proven['issuer']}, until "
            f"{proven['not_after']}; {proven['protocol']} {proven['cipher']}\n"
        )
    if found["result"] != "accepted":
        raise CommandError(f"{found['summary']} {found['advice']}")
    sys.stdout.write(f"{found['summary']} {found['advice']}\n")


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("to", help="an e-mail address")
    parser.add_argument(
        "--settings", type=Path, help="JSON as of PUT /api/v1/email-settings, to try unsaved"
    )


COMMANDS: Final = (
    api_command(
        "email-settings-test", "hand a test message over and tell every step of it", _test, _options
    ),
)
