"""Open an es1 ciphertext, given the key: needs this file and the package `cryptography`.

    es1_decrypt.py MATERIAL CIPHERTEXT [CONTEXT]

MATERIAL is the exported version of the key, 32 bytes in base64; CIPHERTEXT is a text `es1:...`, or
`-` for one on standard input; CONTEXT is the text that was given when it was encrypted. What was
encrypted goes to standard output, byte by byte. Ends with 1, and says no more than that, when it
does not open. The format is in es1.md beside this file.
"""

import base64
import hashlib
import hmac
import sys

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

HEADER, TAG = 84, 16


class DoesNotOpenError(Exception):
    """Another key, another context, altered, or no such ciphertext: it is not told which."""


def derive(material: bytes, label: bytes, who: bytes) -> bytes:
    """HKDF-Expand of RFC 5869 with SHA-256, one block."""
    return hmac.new(material, b"es1 " + label + b"\0" + who + b"\x01", hashlib.sha256).digest()


def from_text(text: str) -> bytes:
    """The bytes of a text; one text for one ciphertext."""
    prefix, _, body = text.partition(":")
    try:
        sealed = base64.urlsafe_b64decode(body + "=" * (-len(body) % 4))
    except ValueError as exc:
        raise DoesNotOpenError from exc
    if prefix != "es1" or base64.urlsafe_b64encode(sealed).rstrip(b"=").decode() != body:
        raise DoesNotOpenError
    return sealed


def decrypt(material: bytes, sealed: bytes, context: bytes = b"") -> bytes:
    """What was encrypted."""
    header, body = sealed[:HEADER], sealed[HEADER:]
    who, commitment, nonce = header[:40], header[40:72], header[72:]
    if len(material) != 32 or len(body) < TAG or who[:4] != b"es1\x01":
        raise DoesNotOpenError
    if not hmac.compare_digest(commitment, derive(material, b"commitment", who)):
        raise DoesNotOpenError
    try:
        return AESGCM(derive(material, b"encryption", who)).decrypt(nonce, body, header + context)
    except InvalidTag as exc:
        raise DoesNotOpenError from exc


def main(arguments: list[str]) -> int:
    """Open what the arguments name."""
    if not 2 <= len(arguments) <= 3:
        sys.stderr.write(f"{__doc__}\n")
        return 2
    material, text, context = [*arguments, ""][:3]
    try:
        sealed = from_text(sys.stdin.read().strip() if text == "-" else text)
        opened = decrypt(base64.b64decode(material, validate=True), sealed, context.encode())
    except (DoesNotOpenError, ValueError):
        sys.stderr.write("It does not open\n")
        return 1
    sys.stdout.buffer.write(opened)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
