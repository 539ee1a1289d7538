"""Files that a command is given, or standard input for ``-``."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from backend.cli.command import CommandError


async def read_text(file: str) -> str:
    """All of it, meanwhile the rest goes on.

    Raises:
        CommandError: It cannot be read, and why.
    """
    try:
        return await asyncio.to_thread(_read, file)
    except (OSError, ValueError) as exc:
        raise CommandError(f"{file} cannot be read: {exc}") from None


async def read_json(file: str, what: str, member: str = "name") -> dict[str, Any]:
    """An object that has a name, as the API takes it.

    Args:
        file: Where it is.
        what: As people call it.
        member: The text in it that says which, where that is no name.

    Raises:
        CommandError: It cannot be read, or is none, and why.
    """
    try:
        body = json.loads(await read_text(file))
    except ValueError as exc:
        raise CommandError(f"{file} cannot be read: {exc}") from None
    if not isinstance(body, dict) or not isinstance(body.get(member), str):
        raise CommandError(f"{file} is no {what}: it has no {member}")
    return body


def _read(file: str) -> str:
    return sys.stdin.read() if file == "-" else Path(file).read_text("utf-8")
