"""Random credentials that say what they are: ``es_<tag>_<43 random base62><CRC-32 in base62>``.

The tag and the checksum let a secret scanner recognise a leaked one without asking us, and let us
refuse a mistyped one without asking the database. 43 digits hold 256 random bits: no salt and no
slow hash is needed, one SHA-256 is what the database keeps.
"""

import hashlib
import re
import secrets
import string
import zlib
from typing import Final

_ALPHABET: Final = string.digits + string.ascii_uppercase + string.ascii_lowercase
_BODY: Final = 43
_CHECK: Final = 6
_SHAPE: Final = re.compile(r"es_[a-z]{2,10}_[0-9A-Za-z]{49}\Z")
_SHOWN: Final = 4

API_KEY_TAG: Final = "key"
SECRET_TAG: Final = "secret"


def mint(tag: str) -> str:
    """A new credential with 256 random bits."""
    body = f"es_{tag}_{_base62(secrets.randbits(256), _BODY)}"
    return body + _checksum(body)


def is_well_formed(credential: str) -> bool:
    """Whether the shape and the checksum hold; false for what was cut, mistyped or made up."""
    if not _SHAPE.match(credential):
        return False
    return _checksum(credential[:-_CHECK]) == credential[-_CHECK:]


def shown_prefix(credential: str) -> str:
    """The part that lists may show: enough to tell keys apart, 24 of 256 bits."""
    return credential[: credential.rindex("_") + 1 + _SHOWN]


def digest_of(credential: str) -> bytes:
    """What the database keeps: SHA-256."""
    return hashlib.sha256(credential.encode()).digest()


def _checksum(body: str) -> str:
    return _base62(zlib.crc32(body.encode()), _CHECK)


def _base62(number: int, digits: int) -> str:
    found = []
    for _ in range(digits):
        number, digit = divmod(number, 62)
        found.append(_ALPHABET[digit])
    return "".join(reversed(found))
