"""Password hashing: Argon2id (RFC 9106) with OWASP's 19 MiB, two passes, one lane."""

import os
from typing import Final

from cryptography.exceptions import InvalidKey
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

_MEMORY_KIB: Final = 19456
_PASSES: Final = 2


def hash_password(password: str) -> str:
    """A PHC string with its own salt. About 25 ms: call it off the event loop."""
    argon = Argon2id(
        salt=os.urandom(16), length=32, iterations=_PASSES, lanes=1, memory_cost=_MEMORY_KIB
    )
    return argon.derive_phc_encoded(password.encode())


DUMMY_HASH: Final = hash_password(os.urandom(16).hex())
"""Verified against for unknown users, so that time does not tell who exists."""


def verify_password(encoded: str | None, password: str) -> bool:
    """Whether ``password`` made ``encoded``; None takes as long as a real hash and is false."""
    try:
        Argon2id.verify_phc_encoded(password.encode(), encoded or DUMMY_HASH)
    except InvalidKey:
        return False
    return encoded is not None
