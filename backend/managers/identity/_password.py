"""Passwords: checking one, where whoever is unknown takes as long as whoever is not; a new one."""

import os
from typing import Final

from cryptography.exceptions import InvalidKey
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from zxcvbn.frequency_lists import FREQUENCY_LISTS  # type: ignore[import-untyped]

from backend.managers.identity.errors import WeakPasswordError
from backend.managers.tenant import email_identity, hash_password

DUMMY_HASH: Final = hash_password(os.urandom(16).hex())
"""Verified against for unknown users, so that time does not tell who exists."""
MAX_PASSWORD_BYTES: Final = 1024
MIN_PASSWORD_CHARACTERS: Final = 12
_LEAST_DIFFERENT: Final = 4
_LEAST_LOCAL: Final = 4
_COMMON: Final = frozenset(FREQUENCY_LISTS["passwords"])


def verify_password(encoded: str | None, password: str) -> bool:
    """Whether ``password`` made ``encoded``; None takes as long as a real hash and is false.

    About 25 ms: call it off the event loop.
    """
    try:
        Argon2id.verify_phc_encoded(password.encode(), encoded or DUMMY_HASH)
    except InvalidKey:
        return False
    return encoded is not None


def refuse_weak(password: str, email: str) -> None:
    """Refuse a new password that is guessed first, by what NIST SP 800-63B, 3.1.1 asks for.

    Length is what counts; no mixture of kinds of characters is asked for, because that makes
    people write ``Password1234!``. The list is zxcvbn's of the thirty thousand most used ones; a
    password that is one of them written out twice, or with digits behind, is as common.

    Raises:
        WeakPasswordError: Says what is wrong with it.
    """
    if len(password) < MIN_PASSWORD_CHARACTERS:
        raise WeakPasswordError(f"It needs {MIN_PASSWORD_CHARACTERS} characters at least.")
    if len(password.encode()) > MAX_PASSWORD_BYTES:
        raise WeakPasswordError(f"It may have {MAX_PASSWORD_BYTES} bytes.")
    folded = password.casefold()
    bare = folded.strip("0123456789!?.-_ ")
    half = folded[: len(folded) // 2]
    tries = {folded, bare, half if half + half == folded else folded}
    if tries & _COMMON or len(set(folded)) < _LEAST_DIFFERENT:
        raise WeakPasswordError("It is among the passwords that are tried first.")
    address = email_identity(email)
    local = address.rpartition("@")[0]
    if address in folded or (len(local) >= _LEAST_LOCAL and local in folded):
        raise WeakPasswordError("It may not contain your e-mail address.")
