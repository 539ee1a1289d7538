"""References: ``${secret:path#key}`` within a value stands for that key of another secret.

Without ``#key`` it stands for a secret that is one text. ``$${secret:...}`` is the text itself,
without its first dollar. What a reference leads to may hold references as well: in the same
environment, at most eight deep, sixty-four secrets altogether, and never in a circle. Bounds are on
what is read and on what comes out, so that a few secrets that name each other twice over cannot
make gigabytes.
"""

import re
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping
from typing import Final

from backend.managers.secrets._values import KEY, SEGMENT, Value
from backend.managers.secrets.errors import ReferenceBrokenError, SecretTooLargeError

_DEPTH: Final = 8
_SECRETS: Final = 64
_MAX_RESOLVED: Final = 256 * 1024
_REFERENCE: Final = re.compile(rf"(\$?)\$\{{secret:({SEGMENT}(?:/{SEGMENT})*)(?:\#({KEY}))?\}}")

Node = tuple[str, str | None]
"""A path and one key of the secret there, or None where it is one text."""
Load = Callable[[Collection[str]], Awaitable[Mapping[str, Value]]]
"""The values at these paths that can be read; refuses what the reader may not."""


async def resolve(path: str, value: Value, load: Load) -> Value:
    """The value with each reference replaced by what it leads to.

    Args:
        path: Where the value is, so that a circle through it is seen.
        value: As it is kept.
        load: Asked once for each depth; never twice for a path.

    Raises:
        ReferenceBrokenError: One leads nowhere, in a circle or too deep, or there are too many.
        SecretTooLargeError: More than 256 KiB would come out.
    """
    known: dict[str, Value] = {path: value}
    texts = value.values() if isinstance(value, dict) else (value,)
    reached: set[Node] = set()
    waiting = {node for text in texts for node in _nodes(text)}
    for _ in range(_DEPTH):
        if not waiting:
            break
        reached |= waiting
        missing = {one for one, _ in waiting} - known.keys()
        if len(known) + len(missing) > _SECRETS:
            raise ReferenceBrokenError(f"References lead to more than {_SECRETS} secrets")
        if missing:
            known.update(await load(missing))
        waiting = {one for node in waiting for one in _nodes(_text(known, node))} - reached
    if waiting:
        raise _too_deep(min(waiting, key=str))
    return _Resolution(known).whole(path)


def paths_in(value: Value) -> set[str]:
    """The secrets that a value refers to."""
    texts = value.values() if isinstance(value, dict) else (value,)
    return {path for text in texts for path, _ in _nodes(text)}


def _nodes(text: str) -> Iterator[Node]:
    for literal, path, key in _REFERENCE.findall(text):
        if not literal:
            yield path, key or None


def _text(known: Mapping[str, Value], node: Node) -> str:
    path, key = node
    value = known.get(path)
    if isinstance(value, dict) and key is not None and key in value:
        return value[key]
    if isinstance(value, str) and key is None:
        return value
    raise ReferenceBrokenError(f"{_written(node)} leads to nothing that can be read")


def _too_deep(node: Node) -> ReferenceBrokenError:
    return ReferenceBrokenError(f"References are more than {_DEPTH} deep at {_written(node)}")


def _written(node: Node) -> str:
    path, key = node
    return path if key is None else f"{path}#{key}"


class _Resolution:
    """Replaces, each text once, and remembers what it is in the middle of."""

    def __init__(self, known: Mapping[str, Value]) -> None:
        self._known = known
        self._done: dict[Node, tuple[str, int]] = {}
        self._under_way: list[Node] = []
        self._size = 0

    def whole(self, path: str) -> Value:
        value = self._known[path]
        if isinstance(value, str):
            return self._count(self._of((path, None))[0])
        return {key: self._count(self._of((path, key))[0]) for key in value}

    def _count(self, text: str) -> str:
        self._size += len(text.encode())
        if self._size > _MAX_RESOLVED:
            raise SecretTooLargeError("The references make the value too large")
        return text

    def _of(self, node: Node) -> tuple[str, int]:
        """What a node comes to, and how deep it leads."""
        if node in self._done:
            return self._done[node]
        if node in self._under_way:
            circle = [*self._under_way[self._under_way.index(node) :], node]
            raise ReferenceBrokenError(f"A circle: {' -> '.join(map(_written, circle))}")
        # What was loaded breadth first may still be strung on one thread, a node a frame.
        if len(self._under_way) > _DEPTH:
            raise _too_deep(node)
        self._under_way.append(node)
        parts: list[str] = []
        size, at, deep, text = 0, 0, 0, _text(self._known, node)
        for found in _REFERENCE.finditer(text):
            literal, path, key = found.groups()
            part = found[0][1:]
            if not literal:
                part, below = self._of((path, key or None))
                deep = max(deep, below + 1)
            # Beside the look at what is under way: one that is done is not walked again.
            if len(self._under_way) - 1 + deep > _DEPTH:
                raise _too_deep(node)
            parts += [text[at : found.start()], part]
            size += len(part)
            if size > _MAX_RESOLVED:
                raise SecretTooLargeError("The references make the value too large")
            at = found.end()
        self._under_way.pop()
        self._done[node] = "".join([*parts, text[at:]]), deep
        return self._done[node]
