"""Secrets: those of the tenant that one is logged in to. Values come by a file, never as arguments.

An argument is read by whoever lists the processes of a machine, and kept by the history of a shell.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any, Final

from backend.cli._api import Api, api_command, print_rows, segment
from backend.cli.command import CommandError

_STANDARD: Final = "-"


async def _list(api: Api, options: argparse.Namespace) -> None:
    """One a line: path, version, state, end, description."""
    query = {"environment": options.environment, "folder": options.folder}
    rows = await api.items("secrets", **query)
    print_rows(rows, "path", "newest_version", "state", "expires_at", "description")


async def _get(api: Api, options: argparse.Namespace) -> None:
    """The value as JSON; one key of it, or one text, as it is."""
    found = await api.get(
        "secrets/by-path/value",
        path=options.path,
        environment=options.environment,
        version=options.version,
    )
    value = found["value"]
    if options.key is not None:
        if not isinstance(value, dict) or options.key not in value:
            raise CommandError(f"{options.path} has no key {options.key!r}")
        value = value[options.key]
    _print_value(value)


async def _set(api: Api, options: argparse.Namespace) -> None:
    body: dict[str, Any] = {
        "path": options.path,
        "environment": options.environment,
        "value": _value(options.file, as_text=options.text),
        "cas": options.cas,
        "ttl_seconds": options.ttl,
    }
    made = await api.post("secrets", {name: one for name, one in body.items() if one is not None})
    sys.stdout.write(f"version\t{made['version']}\n")


async def _delete(api: Api, options: argparse.Namespace) -> None:
    if options.destroy and options.version is None:
        raise CommandError("--destroy is of one --version; without both the whole secret goes")
    secret_id = await _id(api, options)
    if options.version is None:
        await api.delete(f"secrets/{secret_id}")
    elif options.destroy:
        await api.post(f"secrets/{secret_id}/versions/{options.version}/destroy")
    else:
        await api.delete(f"secrets/{secret_id}/versions/{options.version}")


async def _patch(api: Api, options: argparse.Namespace) -> None:
    changes: dict[str, str | None] = dict.fromkeys(options.remove)
    if options.file is not None:
        changes |= _value(options.file, as_text=False)
    if not changes:
        raise CommandError("say what to change: --file, --remove, or both")
    body = {"value": changes, "cas": options.cas, "ttl_seconds": options.ttl}
    made = await api.post(
        f"secrets/{await _id(api, options)}/patch",
        {name: one for name, one in body.items() if one is not None},
    )
    sys.stdout.write(f"version\t{made['version']}\n")


async def _versions(api: Api, options: argparse.Namespace) -> None:
    """One a line, newest first: version, state, when and by whom it was written, its end."""
    rows = await api.items(f"secrets/{await _id(api, options)}/versions")
    print_rows(rows, "version", "state", "created_at", "created_by", "expires_at")


async def _redeem(api: Api, options: argparse.Namespace) -> None:
    """The value as JSON, or one text as it is."""
    body = {"workflow_id": options.workflow, "execution_id": options.execution}
    token = _value(options.file, as_text=True)
    found = await api.post("secrets/tokens/redeem", {"token": token, **body})
    _print_value(found["value"])


async def _undelete(api: Api, options: argparse.Namespace) -> None:
    secret_id = await _id(api, options)
    await api.post(f"secrets/{secret_id}/versions/{options.version}/undelete")


async def _token(api: Api, options: argparse.Namespace) -> None:
    body = {
        "path": options.path,
        "environment": options.environment,
        "workflow_id": options.workflow,
        "execution_id": options.execution,
        "ttl_seconds": options.ttl,
    }
    made = await api.post("secrets/tokens", body)
    sys.stdout.write(f"id\t{made['id']}\ntoken\t{made['token']}\nends\t{made['expires_at']}\n")


async def _id(api: Api, options: argparse.Namespace) -> str:
    query = {"path": options.path, "environment": options.environment}
    # The list takes `b*` for a beginning, and its first secret would not be what was meant.
    found = [one for one in await api.items("secrets", **query) if one["path"] == options.path]
    if not found:
        raise CommandError(f"there is no secret {options.path} in {options.environment}")
    return segment(str(found[0]["id"]))


def _print_value(value: Any) -> None:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=2)
    sys.stdout.write(f"{text}\n")


def _value(file: str, *, as_text: bool) -> Any:
    """What the file holds: a JSON object, or one text without the line's end behind it."""
    try:
        text = sys.stdin.read() if file == _STANDARD else Path(file).read_text(encoding="utf-8")
    except OSError as error:
        raise CommandError(f"{file} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise CommandError("a secret is UTF-8 text") from None
    if as_text:
        return text.removesuffix("\n").removesuffix("\r")
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        # Not quoted: what was read may be a secret all the same.
        raise CommandError("that is no JSON object; with --text it is taken as one text")
    return value


def _place(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("path", help="folders and name, such as billing/smtp")
    _environment(parser)


def _environment(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--environment", default="default", help="default: default")


def _list_options(parser: argparse.ArgumentParser) -> None:
    _environment(parser)
    parser.add_argument("--folder", help="only below it")


def _get_options(parser: argparse.ArgumentParser) -> None:
    _place(parser)
    parser.add_argument("--version", type=int, help="default: the newest")
    parser.add_argument("--key", help="this key alone")


def _set_options(parser: argparse.ArgumentParser) -> None:
    _place(parser)
    parser.add_argument(
        "--file", default=_STANDARD, help="holds a JSON object of texts; default: standard input"
    )
    parser.add_argument("--text", action="store_true", help="what it holds is one text")
    _write_options(parser)


def _write_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--cas", type=int, metavar="VERSION", help="replaces this one; 0: none")
    parser.add_argument("--ttl", type=int, metavar="SECONDS", help="default: as the secret says")


def _patch_options(parser: argparse.ArgumentParser) -> None:
    _place(parser)
    parser.add_argument(
        "--file", help="holds a JSON object of the keys to set; `-`: standard input"
    )
    parser.add_argument(
        "--remove", action="append", default=[], metavar="KEY", help="takes it away"
    )
    _write_options(parser)


def _redeem_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--file", default=_STANDARD, help="holds the token; default: standard input"
    )
    parser.add_argument("--workflow", required=True, metavar="ID", help="as n8n calls it")
    parser.add_argument("--execution", required=True, metavar="ID", help="as n8n calls it")


def _delete_options(parser: argparse.ArgumentParser) -> None:
    _place(parser)
    parser.add_argument("--version", type=int, help="this one, which can be undeleted")
    parser.add_argument("--destroy", action="store_true", help="its value is destroyed for good")


def _undelete_options(parser: argparse.ArgumentParser) -> None:
    _place(parser)
    parser.add_argument("--version", type=int, required=True)


def _token_options(parser: argparse.ArgumentParser) -> None:
    _place(parser)
    parser.add_argument("--workflow", required=True, metavar="ID", help="as n8n calls it")
    parser.add_argument("--execution", metavar="ID", help="default: whichever comes first")
    parser.add_argument("--ttl", type=int, default=300, metavar="SECONDS", help="at most 3600")


COMMANDS: Final = (
    api_command("secret-list", "print the secrets of an environment", _list, _list_options),
    api_command("secret-get", "print the value of a secret", _get, _get_options),
    api_command(
        "secret-set",
        "write a secret, or its next version, from a file or standard input",
        _set,
        _set_options,
    ),
    api_command(
        "secret-patch",
        "write a secret's next version by some of its keys; the others stay",
        _patch,
        _patch_options,
    ),
    api_command("secret-versions", "print the versions of a secret", _versions, _place),
    api_command(
        "secret-delete",
        "destroy a secret, or delete or destroy one version of it",
        _delete,
        _delete_options,
    ),
    api_command("secret-undelete", "let a version be read again", _undelete, _undelete_options),
    api_command(
        "secret-token",
        "let one n8n execution read a secret once; prints the token, once",
        _token,
        _token_options,
    ),
    api_command(
        "secret-redeem",
        "read a secret by a token from a file or standard input, once, as an execution",
        _redeem,
        _redeem_options,
    ),
)
