"""What the types of keys are made of and can do, a version at a time. No I/O, no database.

All material is 32 bytes: random for ``aes256-gcm`` and ``hmac-sha256``; the seed of RFC 8032 for
``ed25519``; the secret scalar, big-endian, for ``ecdsa-p256``. So one column and one export hold
any of them.

A signature, and a MAC, is told with the version that made it: ``v3.<base64url>``. What is behind
the point is as everybody else has it: RFC 8032 for Ed25519, the 64 bytes R and S of RFC 7518
(section 3.4) for ECDSA with SHA-256, and HMAC-SHA256 of RFC 2104.
"""

import hashlib
import hmac
import os
import re
from collections.abc import Callable
from typing import Final, Literal, Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import (
    decode_dss_signature,
    encode_dss_signature,
)
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from backend.kit import base64url
from backend.managers.security._format import MATERIAL_BYTES, VersionCipher

KeyType = Literal["aes256-gcm", "hmac-sha256", "ed25519", "ecdsa-p256"]
HARD_STOP: Final = 2**32
"""Messages that one version encrypts at most: random nonces of 96 bits (SP 800-38D, 8.3)."""
_P256_ORDER: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_SIGNATURE: Final = re.compile(r"v([1-9][0-9]{0,9})\.([A-Za-z0-9_-]{1,128})")


class Signer(Protocol):
    """A version that makes and checks signatures, or MACs."""

    def sign(self, message: bytes) -> bytes:
        """The bare signature."""

    def verify(self, message: bytes, signature: bytes) -> bool:
        """Whether it made this signature of this message."""


class MacKey:
    """HMAC with SHA-256 (RFC 2104)."""

    __slots__ = ("_material",)

    def __init__(self, material: bytes) -> None:
        self._material = material

    def sign(self, message: bytes) -> bytes:
        """32 bytes."""
        return hmac.digest(self._material, message, hashlib.sha256)

    def verify(self, message: bytes, signature: bytes) -> bool:
        """Whether the MAC is this message's, in constant time."""
        return hmac.compare_digest(self.sign(message), signature)


class Ed25519Verifier:
    """The public half of Ed25519 (RFC 8032, section 5.1)."""

    __slots__ = ("_public",)

    def __init__(self, public: ed25519.Ed25519PublicKey) -> None:
        self._public = public

    def verify(self, message: bytes, signature: bytes) -> bool:
        """Whether the signature is this message's."""
        try:
            self._public.verify(signature, message)
        except InvalidSignature:
            return False
        return True


class Ed25519Key(Ed25519Verifier):
    """Ed25519 (RFC 8032, section 5.1)."""

    __slots__ = ("_private",)

    def __init__(self, material: bytes) -> None:
        self._private = ed25519.Ed25519PrivateKey.from_private_bytes(material)
        super().__init__(self._private.public_key())

    def sign(self, message: bytes) -> bytes:
        """64 bytes."""
        return self._private.sign(message)


class EcdsaVerifier:
    """The public half of ECDSA over P-256 with SHA-256.

    A signature is R and S, 32 bytes each (RFC 7518, section 3.4).
    """

    __slots__ = ("_public",)

    def __init__(self, public: ec.EllipticCurvePublicKey) -> None:
        self._public = public

    def verify(self, message: bytes, signature: bytes) -> bool:
        """Whether the signature is this message's."""
        if len(signature) != 64:
            return False
        r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
        try:
            self._public.verify(encode_dss_signature(r, s), message, ec.ECDSA(SHA256()))
        except InvalidSignature:
            return False
        return True


class EcdsaKey(EcdsaVerifier):
    """ECDSA over P-256 with SHA-256."""

    __slots__ = ("_private",)

    def __init__(self, material: bytes) -> None:
        self._private = ec.derive_private_key(int.from_bytes(material, "big"), ec.SECP256R1())
        super().__init__(self._private.public_key())

    def sign(self, message: bytes) -> bytes:
        """64 bytes."""
        r, s = decode_dss_signature(self._private.sign(message, ec.ECDSA(SHA256())))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")


Version = VersionCipher | Signer
_SIGNERS: Final[dict[str, Callable[[bytes], Signer]]] = {
    "hmac-sha256": MacKey,
    "ed25519": Ed25519Key,
    "ecdsa-p256": EcdsaKey,
}


def make_material(key_type: KeyType) -> bytes:
    """The material of a new version: 32 bytes from the operating system's generator."""
    if key_type == "ecdsa-p256":
        # Uniform below the order, as FIPS 186-5 (A.2.2) has it: what is not is drawn again.
        while not 0 < int.from_bytes(drawn := os.urandom(MATERIAL_BYTES), "big") < _P256_ORDER:
            pass
        return drawn
    return os.urandom(MATERIAL_BYTES)


def version_from(
    key_type: str, tenant_id: str, key_id: str, version: int, material: bytes
) -> Version:
    """What a version can do, ready for use."""
    if key_type == "aes256-gcm":
        return VersionCipher(tenant_id, key_id, version, material)
    return _SIGNERS[key_type](material)


def public_key_of(key_type: KeyType, material: bytes) -> str | None:
    """The public half as PEM (RFC 8410, RFC 5480); None for a secret that has none."""
    public: ed25519.Ed25519PublicKey | ec.EllipticCurvePublicKey
    if key_type == "ed25519":
        public = ed25519.Ed25519PrivateKey.from_private_bytes(material).public_key()
    elif key_type == "ecdsa-p256":
        public = ec.derive_private_key(int.from_bytes(material, "big"), ec.SECP256R1()).public_key()
    else:
        return None
    return public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def signature_text(version: int, signature: bytes) -> str:
    """A signature with the version that made it."""
    return f"v{version}.{base64url.encode(signature)}"


def read_signature(text: str) -> tuple[int, bytes] | None:
    """The version and the bare signature; None for what :func:`signature_text` does not give."""
    found = _SIGNATURE.fullmatch(text)
    if found is None:
        return None
    try:
        bare = base64url.decode(found[2])
    except ValueError:
        return None
    version = int(found[1])
    # One text for one signature: whoever keeps those that were used must not be told two.
    return (version, bare) if signature_text(version, bare) == text else None
