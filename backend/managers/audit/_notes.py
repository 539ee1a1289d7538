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


_REMOVAL: Final = "email-sender audit removal v1"
_GONE: Final = re.compile(
    rf"{_REMOVAL}\n([^\n]+)\n([1-9][0-9]{{0,18}})\n([A-Za-z0-9+/]{{43}}=)\n([A-Za-z0-9+/]{{43}}=)\n"
    r"([1-9][0-9]{0,18})\n([A-Za-z0-9+/]{43}=)\n([0-9T:.-]+Z)\n"
)


class NoteInvalidError(ValueError):
    """It is no note, or none that this key signed."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a note says of a tree: whose, how large, and its root."""

    origin: str
    size: int
    root: bytes


@dataclass(frozen=True, slots=True)
class Removal:
    """What a note says of records that retention let go.

    Attributes:
        seq: Records up to this number are gone; their leaf hashes stay.
        root: Of the tree over them.
        link: The last one's chain hash, which the next record follows.
        size: Of the checkpoint that covers them.
        size_root: The root that it signs.
        at: When they went, RFC 3339 in UTC.
    """

    seq: int
    root: bytes
    link: bytes
    size: int
    size_root: bytes
    at: str


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

    def removal(self, note: str) -> Removal:
        """What a note of this key says of records that are gone.

        Raises:
            NoteInvalidError: As :meth:`open`; or it says something else, or of another tree.
        """
        parts = _GONE.fullmatch(self.open(note))
        if parts is None or parts[1] != self.name or int(parts[2]) > int(parts[5]):
            raise NoteInvalidError(f"no removal of {self.name}")
        root, link, size_root = (base64.b64decode(parts[at]) for at in (3, 4, 6))
        return Removal(int(parts[2]), root, link, int(parts[5]), size_root, parts[7])


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

    def sign_removal(self, gone: Removal) -> str:
        """A signed statement of what retention let go; no verifier takes it for a checkpoint."""
        root, link, size_root = (
            base64.b64encode(one).decode() for one in (gone.root, gone.link, gone.size_root)
        )
        return self.sign(
            f"{_REMOVAL}\n{self.verifier.name}\n{gone.seq}\n{root}\n{link}\n"
            f"{gone.size}\n{size_root}\n{gone.at}\n"
        )
