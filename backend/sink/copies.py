"""What a stored copy is, sealed or in the clear, and reading it: a folder of files.

A sealed copy is ``ESSINK1`` and a line's end, a random 96-bit nonce, and AES-256-GCM over the whole
file as it would stand in the clear. The associated data is those first eight bytes and the digest
in the file's name, so that a copy does not open as another message's.
"""

import email
import hashlib
import logging
import os
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import default as modern_policy
from pathlib import Path
from typing import Any, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

FILE_NAME: Final = re.compile(r"([0-9a-f]{32})\.(\d{1,20})-[0-9a-f]+\.eml")
_HASH_DIGITS: Final = 32
_MAX_COPIES: Final = 100
_ENVELOPE_HEADERS: Final = 3
_SEALED: Final = b"ESSINK1\n"
_NONCE: Final = 12


@dataclass(frozen=True, slots=True)
class SinkCopy:
    """One received message; ``size_bytes`` counts it as it was sent, ``headers`` are decoded."""

    received_at: datetime
    envelope_from: str
    envelope_to: list[str]
    headers: list[tuple[str, str]]
    text: str | None
    html: str | None
    size_bytes: int


def seal_copy(key: bytes, digest: str, copy: bytes) -> bytes:
    """A file's bytes as they are kept, under 32 bytes of key."""
    nonce = os.urandom(_NONCE)
    return _SEALED + nonce + AESGCM(key).encrypt(nonce, copy, _SEALED + digest.encode())


def is_sealed(stored: bytes) -> bool:
    """Whether a file begins as a sealed one does; one in the clear begins with a header."""
    return stored.startswith(_SEALED)


def open_copy(key: bytes | None, digest: str, stored: bytes) -> bytes | None:
    """A file's bytes in the clear; None for a sealed one that this key does not open."""
    if not is_sealed(stored):
        return stored
    if key is None:
        return None
    start = len(_SEALED) + _NONCE
    nonce = stored[len(_SEALED) : start]
    try:
        return AESGCM(key).decrypt(nonce, stored[start:], _SEALED + digest.encode())
    except (InvalidTag, ValueError):
        return None


def read_copies(directory: Path, message_id: str, key: bytes | None = None) -> list[SinkCopy]:
    """Return the stored copies of a message, oldest first, at most 100. Reads files.

    Whatever a sender put into a message, its parts are returned as far as they can be read and
    None where they cannot; a damaged message does not raise. Nor does a sealed one that ``key``
    does not open: it is there, and nothing can be read of it.
    """
    digest = hash_message_id(message_id)
    found: list[tuple[int, Path]] = []
    for path in (directory / digest[:2]).glob(f"{digest}.*.eml"):
        match = FILE_NAME.fullmatch(path.name)
        if match is not None:
            found.append((int(match[2]), path))
    copies: list[SinkCopy] = []
    for nanoseconds, path in sorted(found)[:_MAX_COPIES]:
        try:
            raw = path.read_bytes()
        except FileNotFoundError:
            continue  # expired between listing and reading
        clear = open_copy(key, digest, raw)
        if clear is None:
            logging.getLogger(__name__).warning("sink_copy_unreadable")
            copies.append(SinkCopy(_time_of(nanoseconds), "", [], [], None, None, 0))
            continue
        copies.append(_parse_copy(clear, nanoseconds))
    return copies


def count_copies(directory: Path) -> dict[str, int]:
    """Return how many copies of each message are stored, by ``hash_message_id``. Opens no file."""
    counts: dict[str, int] = {}
    for path in directory.glob("??/*.eml"):
        match = FILE_NAME.fullmatch(path.name)
        if match is not None:
            counts[match[1]] = counts.get(match[1], 0) + 1
    return counts


def hash_message_id(message_id: str) -> str:
    """Return the key under which copies of a message are filed; ``message_id`` has its brackets."""
    return hash_key(message_id.encode("utf-8", "surrogateescape"))


def hash_key(key: bytes) -> str:
    """Return the first digits of SHA-256 under which a copy is filed."""
    return hashlib.sha256(key).hexdigest()[:_HASH_DIGITS]


def _time_of(nanoseconds: int) -> datetime:
    return datetime.fromtimestamp(nanoseconds / 1e9, UTC)


def _parse_copy(raw: bytes, nanoseconds: int) -> SinkCopy:
    *envelope, content = raw.split(b"\r\n", _ENVELOPE_HEADERS)
    values = [line.partition(b": ")[2].decode("utf-8", "replace") for line in envelope]
    values += [""] * (_ENVELOPE_HEADERS - len(values))
    headers: list[tuple[str, str]] = []
    text = html = None
    # The e-mail package promises not to raise and does all the same (unknown charsets, odd
    # encoded words, deep nesting); a message somebody sent must not take the reader down.
    try:
        message = email.message_from_bytes(content, policy=modern_policy)
        headers = _read_headers(message)
        if isinstance(message, EmailMessage):
            text, html = _read_body(message, "plain"), _read_body(message, "html")
    except Exception:
        logging.getLogger(__name__).debug("A stored message cannot be parsed", exc_info=True)
    return SinkCopy(
        received_at=_time_of(nanoseconds),
        envelope_from=values[0],
        envelope_to=[address for address in values[1].split(",") if address],
        headers=headers,
        text=text,
        html=html,
        size_bytes=len(content),
    )


def _read_headers(message: Any) -> list[tuple[str, str]]:
    headers: list[tuple[str, str]] = []
    for name, raw in message.raw_items():
        try:
            value = str(message.policy.header_fetch_parse(name, raw))
        except Exception:  # noqa: BLE001 - see _parse_copy
            value = str(raw)
        headers.append((name, _printable(value)))
    return headers


def _read_body(message: EmailMessage, kind: str) -> str | None:
    try:
        part = message.get_body((kind,))
    except Exception:  # noqa: BLE001 - see _parse_copy
        return None
    if part is None:
        return None
    try:
        return _printable(str(part.get_content()).replace("\r\n", "\n"))
    except Exception:  # noqa: BLE001 - see _parse_copy
        payload = part.get_payload(decode=True)
        return payload.decode("utf-8", "replace") if isinstance(payload, bytes) else None


def _printable(text: str) -> str:
    """Replace lone surrogates, which no JSON encoder takes."""
    return text.encode("utf-8", "replace").decode()
