"""What says that a data key is gone: a statement in canonical JSON, signed with Ed25519 (RFC 8032).

The signing key is derived from the root key by HKDF (RFC 5869) under a label of its own, so there
is nothing more to keep, and whoever holds the public key can check a record without us.
"""

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from backend.managers.security._root import RootKeys, derived

_RETIREMENTS: Final = b"email-sender/retirement-records/1"
SINK: Final = b"email-sender/sink-copies/1"


def sink_key(root_keys: Sequence[bytes]) -> bytes:
    """What seals the copies that the local mail sink keeps."""
    return derived(root_keys, SINK)


class RetirementSigner:
    """Signs retirement records with a key of this installation."""

    def __init__(self, root: RootKeys) -> None:
        """The key follows from what outlives root keys."""
        self._key = Ed25519PrivateKey.from_private_bytes(root.derive(_RETIREMENTS))
        public = self._key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        self.public_key = base64.b64encode(public).decode()
        """The 32 bytes that check a signature, in base64."""
        self.key_id = hashlib.sha256(public).hexdigest()[:16]
        """The first digits of its SHA-256."""

    def sign(self, statement: Mapping[str, Any]) -> tuple[str, str]:
        """The statement as it is signed (keys sorted, no blanks, UTF-8), and the signature."""
        text = json.dumps(statement, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return text, base64.b64encode(self._key.sign(text.encode())).decode()
