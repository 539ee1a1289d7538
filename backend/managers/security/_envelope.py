"""The sealed envelope: AES-256-GCM with its whole header, and its place, as associated data.

Layout, 34 bytes of header then ciphertext and 16-byte tag::

    0   2   magic "ES"
    2   1   format version, 1
    3   1   algorithm, 1 = AES-256-GCM
    4   2   reserved, zero
    6  16   id of the data key
   22  12   random nonce

Associated data is the header followed by the context, which names where the value lives
(``email.content:<id>``): bytes moved to another row, tenant or column do not open. Random 96-bit
nonces bound one key to 2^32 messages (NIST SP 800-38D, section 8.3); rotation comes long before.
"""

import os
import uuid
from typing import Final

from backend.managers.security._gcm import NONCE_BYTES, TAG_BYTES, Gcm
from backend.managers.security.errors import SealBrokenError

_PREFIX: Final = b"ES\x01\x01\x00\x00"
_HEADER: Final = len(_PREFIX) + 16 + NONCE_BYTES


def seal(cipher: Gcm, key_id: str, context: str, plaintext: bytes) -> bytes:
    """Encrypt ``plaintext`` for the place ``context``."""
    nonce = os.urandom(NONCE_BYTES)
    header = _PREFIX + uuid.UUID(key_id).bytes + nonce
    # Bytes, whatever the size: what takes a column's value compares and hashes it.
    return bytes(cipher.seal(header, nonce, plaintext, header + context.encode()))


def key_id_of(sealed: bytes) -> str:
    """The data key an envelope names; a hint until the tag has been verified.

    Raises:
        SealBrokenError: These bytes are no envelope of ours.
    """
    if len(sealed) < _HEADER + TAG_BYTES or not sealed.startswith(_PREFIX):
        raise SealBrokenError
    return str(uuid.UUID(bytes=sealed[6:22]))


def unseal(cipher: Gcm, context: str, sealed: bytes) -> bytes:
    """Decrypt an envelope found at the place ``context``.

    Raises:
        SealBrokenError: Wrong key, wrong place, or altered bytes.
    """
    header = sealed[:_HEADER]
    return cipher.open(header[22:], memoryview(sealed)[_HEADER:], header + context.encode())
