"""What is done with a key, one value at a time: pure, on what the process holds in memory."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final

import msgspec

from backend.core.errors import AppError
from backend.managers.security import _format
from backend.managers.security._material import read_signature, signature_text
from backend.managers.security._use import HeldKey
from backend.managers.security.errors import SealBrokenError

MAX_BATCH: Final = 1000
_DATA_KEY_BYTES: Final = 32
_MACS: Final = frozenset({"hmac-sha256"})
_SIGNERS: Final = frozenset({"ed25519", "ecdsa-p256"})


def _said(text: str, **more: Any) -> msgspec.Meta:
    return msgspec.Meta(description=text, extra_json_schema=more or None)


EXAMPLE: Final = "YXR0YWNrIGF0IGRhd24="
"""The document's example of a value, in base64: "attack at dawn"."""
# A format says that it is not free text.
Bytes = Annotated[bytes, _said("Base64", format="byte", examples=[EXAMPLE])]
Context = Annotated[
    str,
    msgspec.Meta(
        max_length=1024, description="Where the value lives; the same is needed to open it"
    ),
]
Ciphertext = Annotated[
    str,
    _said("`es1:...`", format="es1", examples=["es1:ZXMx"]),
]
Signature = Annotated[
    str,
    msgspec.Meta(
        max_length=200,
        description="`v<version>.<base64url>`",
        extra_json_schema={"format": "signature", "examples": ["v1.AAAA"]},
    ),
]


class EncryptBody(msgspec.Struct, forbid_unknown_fields=True):
    """What to encrypt, and for where."""

    plaintext: Bytes
    context: Context = ""


class EncryptOut(msgspec.Struct):
    """A ciphertext, and the version of the key that made it."""

    ciphertext: str
    version: int


class DecryptBody(msgspec.Struct, forbid_unknown_fields=True):
    """What to open, for where it was encrypted."""

    ciphertext: Ciphertext
    context: Context = ""


class DecryptOut(msgspec.Struct):
    """What was encrypted, and with which version."""

    plaintext: bytes
    version: int


class RewrapBody(msgspec.Struct, forbid_unknown_fields=True):
    """What to encrypt anew with the newest version; nobody sees what is in it."""

    ciphertext: Ciphertext
    context: Context = ""


class RewrapOut(msgspec.Struct):
    """The new ciphertext, with its version and the one before."""

    ciphertext: str
    version: int
    previous_version: int


class DataKeyBody(msgspec.Struct, forbid_unknown_fields=True):
    """A key for data that the caller encrypts: 32 random bytes."""

    context: Context = ""
    wrapped_only: Annotated[
        bool, msgspec.Meta(description="Do not show it: for whoever only stores it")
    ] = False


class DataKeyOut(msgspec.Struct, omit_defaults=True):
    """The data key in the clear, unless only the wrapped one was asked for, and wrapped."""

    ciphertext: str
    version: int
    plaintext: bytes | None = None


class MessageBody(msgspec.Struct, forbid_unknown_fields=True):
    """What to sign."""

    message: Bytes


class HmacOut(msgspec.Struct):
    """The MAC of a message."""

    hmac: str
    version: int


class SignOut(msgspec.Struct):
    """The signature of a message."""

    signature: str
    version: int


class VerifyBody(msgspec.Struct, forbid_unknown_fields=True):
    """A message and its signature, or its MAC."""

    message: Bytes
    signature: Signature


class VerifyOut(msgspec.Struct):
    """Whether the key made this signature of this message, and its version may still be used.

    What is no signature at all was not made by it either: that is no error.
    """

    valid: bool


class RandomBody(msgspec.Struct, forbid_unknown_fields=True):
    """How many random bytes."""

    # JSON knows numbers alone: 32.0 is the integer 32, which the decoder of integers refuses.
    size_bytes: Annotated[
        float,
        msgspec.Meta(ge=1, le=4096, multiple_of=1, extra_json_schema={"type": "integer"}),
    ] = 32


class RandomOut(msgspec.Struct):
    """Random bytes of the operating system's generator."""

    random: bytes


class ItemError(msgspec.Struct):
    """Why an item failed: as the problem of a single request would say it."""

    code: str
    title: str
    detail: str


@dataclass(frozen=True, slots=True)
class Operation:
    """One thing that keys do.

    Attributes:
        name: As the trail has it.
        run: Does it with one item; raises what is wrong with the item.
        counts: Whether each of it is an operation of the newest version's budget.
        names_version: Reads from an item the version that it needs beside the newest.
        slow: Whether many of it are to be done off the event loop.
        opened: Of an item and what became of it, the version whose work was opened, if one was.
    """

    name: str
    run: Callable[[HeldKey, Any], Any]
    counts: bool = False
    names_version: Callable[[HeldKey, Any], int | None] = lambda _, __: None
    slow: bool = False
    opened: Callable[[Any, Any], int | None] = lambda _, __: None


def run_all(operation: Operation, held: HeldKey, items: Sequence[Any]) -> list[Any]:
    """What became of each item: an answer, or the error it failed with."""
    made: list[Any] = []
    for item in items:
        try:
            made.append(operation.run(held, item))
        except AppError as exc:
            made.append(exc)
    return made


def opened_versions(operation: Operation, items: Sequence[Any], made: Sequence[Any]) -> set[int]:
    """The versions whose work was opened or verified."""
    found = {
        operation.opened(item, one)
        for item, one in zip(items, made, strict=True)
        if not isinstance(one, AppError)
    }
    return {one for one in found if one is not None}


def draw_bytes(size_bytes: int) -> bytes:
    """Random bytes of the operating system's generator."""
    return os.urandom(size_bytes)


def _encrypt(held: HeldKey, item: EncryptBody) -> EncryptOut:
    sealed = held.cipher().encrypt(item.plaintext, item.context.encode())
    return EncryptOut(_format.to_text(sealed), held.latest_version)


def _opened(held: HeldKey, ciphertext: str, context: str) -> tuple[bytes, int]:
    # First, so that a key of another type says so whatever it is given.
    held.cipher()
    sealed = _format.from_text(ciphertext)
    version = _format.version_of(sealed, held.tenant_id, held.id)
    return held.cipher(version).decrypt(sealed, context.encode()), version


def _decrypt(held: HeldKey, item: DecryptBody) -> DecryptOut:
    return DecryptOut(*_opened(held, item.ciphertext, item.context))


def _rewrap(held: HeldKey, item: RewrapBody) -> RewrapOut:
    plaintext, before = _opened(held, item.ciphertext, item.context)
    sealed = held.cipher().encrypt(plaintext, item.context.encode())
    return RewrapOut(_format.to_text(sealed), held.latest_version, before)


def _make_data_key(held: HeldKey, item: DataKeyBody) -> DataKeyOut:
    plaintext = os.urandom(_DATA_KEY_BYTES)
    sealed = held.cipher().encrypt(plaintext, item.context.encode())
    shown = None if item.wrapped_only else plaintext
    return DataKeyOut(_format.to_text(sealed), held.latest_version, shown)


def _hmac(held: HeldKey, item: MessageBody) -> HmacOut:
    return HmacOut(_signed(held, item.message, _MACS), held.latest_version)


def _sign(held: HeldKey, item: MessageBody) -> SignOut:
    return SignOut(_signed(held, item.message, _SIGNERS), held.latest_version)


def _signed(held: HeldKey, message: bytes, types: frozenset[str]) -> str:
    signer = held.signer(types)
    if signer is None:
        raise SealBrokenError
    return signature_text(held.latest_version, signer.sign(message))


def _verify(held: HeldKey, item: VerifyBody) -> VerifyOut:
    # First, so that a key of another type says so whatever it is given.
    held.signer(_MACS | _SIGNERS)
    read = read_signature(item.signature)
    if read is None:
        return VerifyOut(valid=False)
    version, bare = read
    signer = held.signer(_MACS | _SIGNERS, version)
    return VerifyOut(signer is not None and signer.verify(item.message, bare))


def _version_of_ciphertext(held: HeldKey, item: Any) -> int | None:
    try:
        # The header is in the first 112 characters: the rest is decoded once, when it is opened.
        head = _format.from_text(item.ciphertext[: len(_format.PREFIX) + 136])
        return _format.version_of(head, held.tenant_id, held.id)
    except SealBrokenError:
        return None


def _version_of_signature(_: HeldKey, item: VerifyBody) -> int | None:
    read = read_signature(item.signature)
    return None if read is None else read[0]


def _verified_version(item: VerifyBody, made: VerifyOut) -> int | None:
    read = read_signature(item.signature)
    return read[0] if made.valid and read is not None else None


ENCRYPT: Final = Operation("encrypt", _encrypt, counts=True)
DECRYPT: Final = Operation(
    "decrypt",
    _decrypt,
    names_version=_version_of_ciphertext,
    opened=lambda _, made: made.version,
)
REWRAP: Final = Operation(
    "rewrap",
    _rewrap,
    counts=True,
    names_version=_version_of_ciphertext,
    opened=lambda _, made: made.previous_version,
)
DATA_KEY: Final = Operation("data_key", _make_data_key, counts=True)
HMAC: Final = Operation("hmac", _hmac, counts=True)
SIGN: Final = Operation("sign", _sign, counts=True, slow=True)
VERIFY: Final = Operation(
    "verify",
    _verify,
    names_version=_version_of_signature,
    slow=True,
    opened=_verified_version,
)
