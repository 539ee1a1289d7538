"""Format ``es1``: a ciphertext that says whose it is, and proves it.

Byte by byte in ``docs/formats/es1.md``; vectors beside it. The fixed header::

     0   3  "es1"
     3   1  algorithm: 1 = AES-256-GCM with a random 96-bit nonce
     4  16  tenant
    20  16  key
    36   4  version of the key, big-endian, from 1
    40  32  commitment of the version
    72  12  nonce
    84   n  ciphertext, then the tag of 16 bytes

Associated data is the header and, right behind it, the caller's context: the header's length is
fixed by the algorithm, so no byte can wander from one to the other.

AES-GCM commits to no key: who holds two keys can make one ciphertext that opens, differently,
under both (Albertini and others, *How to Abuse and Fix Authenticated Encryption Without Key
Commitment*, USENIX Security 2022). So a version's material is never used itself: HKDF-Expand (RFC
5869) makes of it the key that encrypts and a value that is put into the header and compared before
anything is opened. Both are bound to algorithm, tenant, key and version.
"""

import hashlib
import hmac
import os
import uuid
from typing import Final

from backend.kit import base64url
from backend.managers.security._gcm import NONCE_BYTES, TAG_BYTES, Gcm
from backend.managers.security.errors import SealBrokenError

MAGIC: Final = b"es1"
PREFIX: Final = "es1:"
AES_256_GCM: Final = 1
MATERIAL_BYTES: Final = 32
HEADER_BYTES: Final = 84
MAX_VERSION: Final = 2**32 - 1
_IDENTITY: Final = slice(0, 40)
_COMMITMENT: Final = slice(40, 72)
_NONCE: Final = slice(72, 84)


def identity(tenant_id: str, key_id: str, version: int) -> bytes:
    """The first 40 bytes of every ciphertext of one version."""
    if not 1 <= version <= MAX_VERSION:
        raise ValueError(f"{version} is no version")
    return b"".join(
        (
            MAGIC,
            bytes([AES_256_GCM]),
            uuid.UUID(tenant_id).bytes,
            uuid.UUID(key_id).bytes,
            version.to_bytes(4, "big"),
        )
    )


def derive(material: bytes, label: bytes, who: bytes) -> bytes:
    """HKDF-Expand with SHA-256 to 32 bytes, which is a single block (RFC 5869, section 2.3)."""
    return hmac.digest(material, b"es1 " + label + b"\0" + who + b"\x01", hashlib.sha256)


class VersionCipher:
    """One version of one key: encrypts, and opens what it has encrypted.

    Kept and used by many: making it costs more than using it.

    Attributes:
        commitment: What the header of each of its ciphertexts holds, 32 bytes; no secret.
    """

    __slots__ = ("_cipher", "_identity", "_prefix", "commitment")

    def __init__(self, tenant_id: str, key_id: str, version: int, material: bytes) -> None:
        if len(material) != MATERIAL_BYTES:
            raise ValueError("the material of a version has 32 bytes")
        self._identity = identity(tenant_id, key_id, version)
        self.commitment = derive(material, b"commitment", self._identity)
        self._prefix = self._identity + self.commitment
        self._cipher = Gcm(derive(material, b"encryption", self._identity))

    def encrypt(self, plaintext: bytes, context: bytes) -> bytes | bytearray:
        """A ciphertext in binary form: 100 bytes longer than ``plaintext``.

        A fresh random nonce each time, so one version is good for 2^32 of them (NIST SP 800-38D,
        section 8.3): whoever calls this has counted it.
        """
        nonce = os.urandom(NONCE_BYTES)
        header = self._prefix + nonce
        return self._cipher.seal(header, nonce, plaintext, header + context)

    def decrypt(self, sealed: bytes, context: bytes) -> bytes:
        """What was encrypted, with this version and for this context.

        Raises:
            SealBrokenError: It was not, or a bit has changed; nothing says which.
        """
        header = sealed[:HEADER_BYTES]
        if len(sealed) < HEADER_BYTES + TAG_BYTES or not hmac.compare_digest(
            header[: _COMMITMENT.stop], self._prefix
        ):
            raise SealBrokenError
        return self._cipher.open(
            header[_NONCE], memoryview(sealed)[HEADER_BYTES:], header + context
        )


def new_cipher(tenant_id: str, key_id: str) -> VersionCipher:
    """The first version of a key that lives in memory alone: for measuring, and for trying."""
    return VersionCipher(tenant_id, key_id, 1, os.urandom(MATERIAL_BYTES))


def version_of(sealed: bytes, tenant_id: str, key_id: str) -> int:
    """The version that a ciphertext of this key names: a hint until it has been opened.

    Raises:
        SealBrokenError: It is no ciphertext of this format, or another key's, or another tenant's.
    """
    who = sealed[_IDENTITY]
    expected = identity(tenant_id, key_id, 1)[:36]
    if len(sealed) < HEADER_BYTES + TAG_BYTES or not hmac.compare_digest(who[:36], expected):
        raise SealBrokenError
    return int.from_bytes(who[36:], "big")


def to_text(sealed: bytes | bytearray) -> str:
    """The text form: ``es1:`` and base64url without padding (RFC 4648, section 5)."""
    return PREFIX + base64url.encode(sealed)


def from_text(text: str) -> bytes:
    """The binary form of a text.

    One text for one ciphertext: padding, foreign characters and spare bits that are not zero are
    refused, so that who compares texts compares ciphertexts.

    Raises:
        SealBrokenError: It is no text of this format.
    """
    if not text.startswith(PREFIX):
        raise SealBrokenError
    try:
        return base64url.decode(text[len(PREFIX) :])
    except ValueError as exc:
        raise SealBrokenError from exc
