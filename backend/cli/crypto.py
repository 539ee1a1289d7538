"""What named keys do, from afar. Values come by files: whoever lists processes reads arguments."""

import argparse
import base64
import sys
from pathlib import Path
from typing import Final

from backend.cli._api import Api, api_command, segment
from backend.cli.command import CommandError

_STANDARD: Final = "-"


async def _encrypt(api: Api, options: argparse.Namespace) -> None:
    """The ciphertext, a line."""
    body = {"plaintext": _base64(_read(options.file)), "context": options.context}
    made = await api.post(f"keys/{segment(options.name)}/encrypt", body)
    sys.stdout.write(f"{made['ciphertext']}\n")


async def _decrypt(api: Api, options: argparse.Namespace) -> None:
    """What was encrypted, byte by byte."""
    body = {"ciphertext": _line(options.file), "context": options.context}
    made = await api.post(f"keys/{segment(options.name)}/decrypt", body)
    sys.stdout.flush()
    sys.stdout.buffer.write(base64.b64decode(made["plaintext"]))


async def _rewrap(api: Api, options: argparse.Namespace) -> None:
    """The new ciphertext, a line."""
    body = {"ciphertext": _line(options.file), "context": options.context}
    made = await api.post(f"keys/{segment(options.name)}/rewrap", body)
    sys.stdout.write(f"{made['ciphertext']}\n")


async def _sign(api: Api, options: argparse.Namespace) -> None:
    """The signature, a line."""
    body = {"message": _base64(_read(options.file))}
    made = await api.post(f"keys/{segment(options.name)}/sign", body)
    sys.stdout.write(f"{made['signature']}\n")


async def _verify(api: Api, options: argparse.Namespace) -> None:
    """A word; exit status 2 where the signature is none of this."""
    body = {"message": _base64(_read(options.file)), "signature": options.signature}
    if not (await api.post(f"keys/{segment(options.name)}/verify", body))["valid"]:
        raise CommandError("the signature is not of this message and key")
    sys.stdout.write("valid\n")


def _read(file: str) -> bytes:
    try:
        return sys.stdin.buffer.read() if file == _STANDARD else Path(file).read_bytes()
    except OSError as error:
        raise CommandError(f"{file} cannot be read: {error.strerror}") from None


def _line(file: str) -> str:
    # What is no ASCII is no ciphertext, and the API says so; nothing of it is quoted here.
    return _read(file).decode("ascii", "replace").strip()


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _key(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", help="of the key, as orders")
    parser.add_argument("--file", default=_STANDARD, help="what to read; default: standard input")


def _place(parser: argparse.ArgumentParser) -> None:
    _key(parser)
    parser.add_argument("--context", default="", help="where the value lives, as orders/4711")


def _signature(parser: argparse.ArgumentParser) -> None:
    _key(parser)
    parser.add_argument("--signature", required=True, help="v<version>.<base64url>")


COMMANDS: Final = (
    api_command("crypto-encrypt", "encrypt a file with a named key", _encrypt, _place),
    api_command("crypto-decrypt", "print what a ciphertext holds", _decrypt, _place),
    api_command("crypto-rewrap", "encrypt anew with the newest version of a key", _rewrap, _place),
    api_command("crypto-sign", "sign a file with a named key", _sign, _key),
    api_command("crypto-verify", "check a file's signature, or its MAC", _verify, _signature),
)
