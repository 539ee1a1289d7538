"""Undoing gzip (RFC 1952) of strangers: what is made and what is done are bounded."""

import zlib
from typing import Final

MAGIC: Final = b"\x1f\x8b"
"""What gzip begins with."""
_PIECE: Final = 64 * 1024
_MAX_MEMBERS: Final = 1000
_WINDOW: Final = 16 + zlib.MAX_WBITS


class GzipDamagedError(ValueError):
    """It is no gzip, is cut short, or its checksum is another."""


class GzipTooLargeError(ValueError):
    """Unpacked it is more than may be."""


def gunzip(body: bytes, limit: int) -> bytes:
    """What was packed, of all members one after the other (RFC 1952, 2.2), up to ``limit`` bytes.

    Raises:
        GzipDamagedError: It cannot be unpacked, or something else than zeros stands behind it.
        GzipTooLargeError: There is more; or it has over a thousand members, of which each costs a
            decompressor, and none makes many bytes.
    """
    out = bytearray()
    held = memoryview(body)
    at = members = 0
    while at < len(held):
        if held[at] == 0:
            # Tapes and block devices pad with zeros.
            if bytes(held[at:]).strip(b"\x00"):
                raise GzipDamagedError("Something else stands behind the gzip")
            break
        members += 1
        if members > _MAX_MEMBERS:
            raise GzipTooLargeError(f"At most {_MAX_MEMBERS} members of gzip")
        unpacker = zlib.decompressobj(wbits=_WINDOW)
        while not unpacker.eof:
            # In pieces: what stands behind a member is copied when it ends, all there is of it.
            piece = held[at : at + _PIECE]
            if not piece:
                raise GzipDamagedError("The gzip ends early")
            try:
                out += unpacker.decompress(piece, limit + 1 - len(out))
            except zlib.error:
                raise GzipDamagedError("Not gzip") from None
            if len(out) > limit:
                raise GzipTooLargeError(f"At most {limit} bytes, once unpacked")
            at += len(piece) - len(unpacker.unused_data)
    return bytes(out)
