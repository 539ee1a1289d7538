"""Base64 for addresses and tokens: RFC 4648, section 5, without padding, one text for one value."""

import base64


def encode(value: bytes | bytearray) -> str:
    """The text of a value."""
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def decode(text: str) -> bytes:
    """The value of a text that :func:`encode` gives.

    Who compares texts, or keeps those that were used, compares values: padding, foreign characters
    and spare bits that are not zero are refused (RFC 4648, sections 3.3 and 3.5).

    Raises:
        ValueError: No value has this text.
    """
    value = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    # The decoder skips foreign characters and does not look at spare bits, whatever its mode.
    if encode(value) != text:
        raise ValueError("no base64url of one value")
    return value
