"""Reading JSON as what it is agreed to be, by as many threads as draw a page at once."""

from __future__ import annotations

from threading import Lock
from typing import Any, TypeVar

import msgspec

_T = TypeVar("_T")
_LEARNING = Lock()
_KNOWN: dict[Any, msgspec.json.Decoder[Any]] = {}


def decode(text: bytes, shape: type[_T]) -> _T:
    """Read JSON as ``shape``.

    Raises:
        msgspec.MsgspecError: It is none, or of another form.
    """
    return _learn(shape).decode(text)


def convert(value: Any, shape: type[_T]) -> _T:
    """Take plain data as ``shape``.

    Raises:
        msgspec.ValidationError: It is of another form.
    """
    _learn(shape)
    return msgspec.convert(value, shape)


def _learn(shape: type[_T]) -> msgspec.json.Decoder[_T]:
    # A type is looked into when it is first read, and two threads that do so at once end the
    # process: the one finds what the other has not filled in yet.
    with _LEARNING:
        known = _KNOWN.get(shape)
        if known is None:
            known = _KNOWN[shape] = msgspec.json.Decoder(shape)
        return known
