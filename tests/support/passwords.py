"""A password that costs little to check: few of the tests that log people in are about hashing."""

import os
from typing import Final

from cryptography.hazmat.primitives.kdf.argon2 import Argon2id


def quick_hash(password: str) -> str:
    """As :func:`backend.managers.tenant.hash_password`, without what makes guessing dear."""
    argon = Argon2id(salt=os.urandom(16), length=32, iterations=1, lanes=1, memory_cost=8)
    return argon.derive_phc_encoded(password.encode())


PASSWORD: Final = "correct horse battery"
PASSWORD_HASH: Final = quick_hash(PASSWORD)
