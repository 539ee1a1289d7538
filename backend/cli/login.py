"""Log-in: whom the commands that speak to an API act as, and where."""

import argparse
import sys
from pathlib import Path
from typing import Any, Final

from backend.cli._api import Api, Profile, Profiles, add_profile, api_command, ask_api
from backend.cli.command import Command, CommandError
from backend.settings import Settings


def _login(settings: Settings, options: argparse.Namespace) -> None:
    secret = _secret(settings, options.secret_file)
    profile = Profile(options.url, options.client_id or "", secret)

    async def keep(api: Api) -> None:
        me = await api.get("me")
        # Kept once it has proven good: a slip would otherwise be found by the next command.
        Profiles(settings.cli.profiles).put(options.profile, profile)
        sys.stdout.write(f"{_who(me)}\n")

    ask_api(settings, profile, keep)


def _secret(settings: Settings, file: Path | None) -> str:
    if file is None:
        given = settings.cli.secret
        if given is None:
            raise CommandError(
                "no secret is given: --secret-file FILE, - for standard input, or "
                "EMAIL_SENDER__CLI__SECRET"
            )
        return given.get_secret_value()
    text = sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8")
    secret = text.strip()
    if not secret or not secret.isascii() or not secret.isprintable():
        raise CommandError("the file does not hold a secret, which is one line of ASCII")
    return secret


def _login_options(parser: argparse.ArgumentParser) -> None:
    add_profile(parser)
    parser.add_argument("--url", required=True, help="the API, as https://mail.example.org")
    parser.add_argument("--client-id", help="of an API client; without it the secret is an API key")
    parser.add_argument("--secret-file", type=Path, help="holds the secret; - is standard input")


def _logout(settings: Settings, options: argparse.Namespace) -> None:
    Profiles(settings.cli.profiles).remove(options.profile)


async def _whoami(api: Api, _: argparse.Namespace) -> None:
    me = await api.get("me")
    sys.stdout.write(f"{_who(me)}\n")
    for permission in me["permissions"]:
        sys.stdout.write(f"  {permission}\n")


def _who(me: dict[str, Any]) -> str:
    return f"{me['name']} ({me['subject']}), {me['role']} in {me['tenant']['slug']}"


COMMANDS: Final = (
    Command(
        "login",
        "act by an API client or an API key from now on",
        _login,
        _login_options,
        "needs none",
    ),
    Command("logout", "forget a profile", _logout, add_profile, "needs none"),
    api_command("whoami", "say as whom one acts, where, and what one may do", _whoami),
)
