"""Password hashing: Argon2id (RFC 9106) with OWASP's 19 MiB, two passes, one lane."""

import os
from typing import Final

from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

_MEMORY_KIB: Final = 19456
_PASSES: Final = 2


def hash_password(password: str) -> str:
    """A PHC string with its own salt. About 25 ms: call it off the event loop."""
    argon = Argon2id(
        salt=os.urandom(16), length=32, iterations=_PASSES, lanes=1, memory_cost=_MEMORY_KIB
    )
    return argon.derive_phc_encoded(password.encode())
