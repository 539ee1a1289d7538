"""AES-256-GCM as all of this room uses it: NIST SP 800-38D, nonces of 96 bits, tags of 128.

Other sizes are not taken. A nonce of another length goes through GHASH, and may then meet one that
was used (section 8.2); a tag that is shorter is guessed sooner than its length says (appendix C).
"""

from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from backend.managers.security.errors import SealBrokenError

KEY_BYTES: Final = 32
NONCE_BYTES: Final = 12
TAG_BYTES: Final = 16
# Up to here joining head and ciphertext is the fastest. Beyond it the copy is what takes the time
# (six times the encryption, for a megabyte), so it is written where it belongs at once.
_JOINED_BYTES: Final = 32 * 1024


class Gcm:
    """One key, its schedule made once.

    Raises:
        ValueError: The key has not 32 bytes.
    """

    __slots__ = ("_aead",)

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise ValueError("the key has 32 bytes")
        self._aead = AESGCM(key)

    def seal(self, head: bytes, nonce: bytes, plaintext: bytes, data: bytes) -> bytes | bytearray:
        """``head``, the ciphertext, and the tag, which holds for ``plaintext`` and ``data``.

        ``head`` is what stands in front, and holds when it is in ``data`` as well.

        Raises:
            ValueError: The nonce has not 12 bytes.
        """
        if len(nonce) != NONCE_BYTES:
            raise ValueError("the nonce has 12 bytes")
        if len(plaintext) <= _JOINED_BYTES:
            return head + self._aead.encrypt(nonce, plaintext, data)
        sealed = bytearray(len(head) + len(plaintext) + TAG_BYTES)
        sealed[: len(head)] = head
        self._aead.encrypt_into(nonce, plaintext, data, memoryview(sealed)[len(head) :])
        return sealed

    def open(self, nonce: bytes, sealed: bytes | memoryview, data: bytes) -> bytes:
        """The plaintext of a ciphertext with its tag.

        Raises:
            SealBrokenError: It does not open, for whatever reason.
        """
        if len(nonce) != NONCE_BYTES:
            raise SealBrokenError
        try:
            return self._aead.decrypt(nonce, sealed, data)
        except InvalidTag as exc:
            raise SealBrokenError from exc
