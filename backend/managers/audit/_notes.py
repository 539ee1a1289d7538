"""Signed notes and checkpoints in the formats of C2SP: what is signed about a tenant's tree.

A note (c2sp.org/signed-note) is a text, an empty line, and a line for each signature: an em dash,
the key's name, and base64 of the key's id (4 bytes) and an Ed25519 signature (RFC 8032) over the
text. A checkpoint (c2sp.org/tlog-checkpoint) is a note whose text is three lines: origin, size,
and root in base64. The origin is the key's name, so a key of one tenant signs nothing of another.

Pure: no database, no clock.
"""

import base64
import hashlib
import re
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

_ED25519: Final = b"\x01"
_DASH: Final = "\u2014"
_ID_BYTES: Final = 4
_SIGNATURE_BYTES: Final = 64
_BODY: Final = re.compile(r"([^\n]+)\n(0|[1-9][0-9]{0,18})\n([A-Za-z0-9+/]{43}=)\n")


class NoteInvalidError(ValueError):
    """It is no note, or none that this key signed."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a note says of a tree: whose, how large, and its root."""

    origin: str
    size: int
    root: bytes


class Verifier:
    """A public key with its name."""

    def __init__(self, name: str, public: bytes) -> None:
        self.name = name
        self.public = public
        self.id = hashlib.sha256(name.encode() + b"\n" + _ED25519 + public).digest()[:_ID_BYTES]

    @property
    def text(self) -> str:
        """The key as one line: name, id and key, as a vkey is written."""
        key = base64.b64encode(_ED25519 + self.public).decode()
        return f"{self.name}+{self.id.hex()}+{key}"

    def open(self, note: str) -> str:
        """The text of a note that this key signed.

        Other keys' signatures are passed over, as the format asks: witnesses add theirs.

        Raises:
            NoteInvalidError: Not signed by this key, or altered since.
        """
        text, gap, lines = note.rpartition("\n\n")
        text += "\n"
        if not gap or not lines.endswith("\n"):
            raise NoteInvalidError("no note")
        for line in lines.splitlines():
            dash, _, rest = line.partition(" ")
            name, _, coded = rest.partition(" ")
            if dash != _DASH or name != self.name:
                continue
            try:
                signed = base64.b64decode(coded, validate=True)
            except ValueError:
                continue
            whole = len(signed) == _ID_BYTES + _SIGNATURE_BYTES
            # Of several spellings of the same bytes one is ours.
            if (
                not whole
                or signed[:_ID_BYTES] != self.id
                or base64.b64encode(signed) != coded.encode()
            ):
                continue
            key = Ed25519PublicKey.from_public_bytes(self.public)
            try:
                key.verify(signed[_ID_BYTES:], text.encode())
            except InvalidSignature:
                raise NoteInvalidError("the signature does not hold") from None
            return text
        raise NoteInvalidError(f"not signed by {self.name}")

    def checkpoint(self, note: str) -> Checkpoint:
        """What a checkpoint says that this key signed.

        Raises:
            NoteInvalidError: As :meth:`open`; or it says something else, or of another tree.
        """
        parts = _BODY.fullmatch(self.open(note))
        if parts is None or parts[1] != self.name:
            raise NoteInvalidError(f"no checkpoint of {self.name}")
        return Checkpoint(parts[1], int(parts[2]), base64.b64decode(parts[3]))


class Signer:
    """A private key with its name."""

    def __init__(self, name: str, seed: bytes) -> None:
        self._key = Ed25519PrivateKey.from_private_bytes(seed)
        public = self._key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        self.verifier = Verifier(name, public)

    def sign(self, text: str) -> str:
        """The text as a note; it ends with a newline, and has no line that is empty."""
        signed = base64.b64encode(self.verifier.id + self._key.sign(text.encode())).decode()
        return f"{text}\n{_DASH} {self.verifier.name} {signed}\n"

    def sign_checkpoint(self, size: int, root: bytes) -> str:
        """A signed statement that the tree has this root at this size."""
        return self.sign(f"{self.verifier.name}\n{size}\n{base64.b64encode(root).decode()}\n")
