"""JSON that every database keeps, and that can be shown again as it was said."""

import json
from math import isfinite
from typing import Any, Final

_DEEPEST: Final = 100
"""Whatever shows a value wraps it in a few levels more, and gives up at 255."""


class UnsoundError(ValueError):
    """It is JSON, and not such that it is kept."""


def refuse_unsound(data: Any) -> None:
    """Refuse what cannot be kept, wherever in parsed JSON it stands.

    Raises:
        UnsoundError: There is a NUL, half of a surrogate pair or a number beyond all that are kept,
            or more than a hundred lists and objects are nested.
    """
    level, depth = [data], 0
    while level:
        inner: list[Any] = []
        for item in level:
            if isinstance(item, str):
                _refuse_text(item)
            elif isinstance(item, (dict, list)):
                if depth == _DEEPEST:
                    raise UnsoundError(f"more than {_DEEPEST} lists and objects are nested")
                inner += item
                inner += item.values() if isinstance(item, dict) else ()
            elif isinstance(item, float) and not isfinite(item):
                raise UnsoundError("a number is beyond all that are kept")
        level, depth = inner, depth + 1


def read_json(body: bytes | bytearray) -> Any:
    """Read JSON that somebody else has written.

    Raises:
        UnsoundError: It is not such that it is kept.
        ValueError: It is no JSON.
    """
    try:
        said = json.loads(body, parse_constant=_refuse_constant)
    except RecursionError:
        raise UnsoundError("it is nested too deeply") from None
    refuse_unsound(said)
    return said


def _refuse_text(text: str) -> None:
    if "\x00" in text:
        raise UnsoundError("a text may not contain the character U+0000")
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as exc:
            raise UnsoundError("a text may not contain half of a surrogate pair") from exc


def _refuse_constant(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")
