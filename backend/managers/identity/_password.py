"""Password checking: whoever is unknown takes as long as whoever is not."""

import os
from typing import Final

from cryptography.exceptions import InvalidKey
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from backend.managers.tenant import hash_password

DUMMY_HASH: Final = hash_password(os.urandom(16).hex())
"""Verified against for unknown users, so that time does not tell who exists."""


def verify_password(encoded: str | None, password: str) -> bool:
    """Whether ``password`` made ``encoded``; None takes as long as a real hash and is false.

    About 25 ms: call it off the event loop.
    """
    try:
        Argon2id.verify_phc_encoded(password.encode(), encoded or DUMMY_HASH)
    except InvalidKey:
        return False
    return encoded is not None
