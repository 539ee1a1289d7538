"""What says that a data key is gone: a statement in canonical JSON, signed with Ed25519 (RFC 8032).

The signing key is derived from the root key by HKDF (RFC 5869) under a label of its own, so there
is nothing more to keep, and whoever holds the public key can check a record without us.
"""

import base64
import hashlib
import json
from collections.abc import Mapping
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from backend.managers.security._root import RootKeys, derived

_RETIREMENTS: Final = b"email-sender/retirement-records/1"
_SINK: Final = b"email-sender/sink-copies/1"


def sink_key(root_key: bytes) -> bytes:
    """What seals the copies that the local mail sink keeps."""
    return derived(root_key, _SINK)


def sink_keys(root: RootKeys) -> tuple[bytes, ...]:
    """The same of each root key."""
    return root.derive(_SINK)


class RetirementSigner:
    """Signs retirement records with a key of this installation."""

    def __init__(self, root: RootKeys) -> None:
        """With another root key, it is another key that signs."""
        self._root = root

    @property
    def _key(self) -> Ed25519PrivateKey:
        return Ed25519PrivateKey.from_private_bytes(self._root.derive(_RETIREMENTS)[0])

    @property
    def _public(self) -> bytes:
        return self._key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)

    @property
    def public_key(self) -> str:
        """The 32 bytes that check a signature, in base64."""
        return base64.b64encode(self._public).decode()

    @property
    def key_id(self) -> str:
        """The first digits of the public key's SHA-256."""
        return hashlib.sha256(self._public).hexdigest()[:16]

    def sign(self, statement: Mapping[str, Any]) -> tuple[str, str]:
        """The statement as it is signed (keys sorted, no blanks, UTF-8), and the signature."""
        text = json.dumps(statement, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return text, base64.b64encode(self._key.sign(text.encode())).decode()
