"""The Merkle tree of RFC 6962 over one tenant's leaves: kept in tiles, proved from tiles.

A leaf is ``SHA-256(0x00 || leaf bytes)`` and a node ``SHA-256(0x01 || left || right)`` (section
2.1). Of each complete subtree whose height is a multiple of :data:`HEIGHT` the hash is stored:
those of height ``HEIGHT * level`` in the tiles of that level, :data:`WIDTH` to a tile, in order.
Every other node is a few hashes of one tile. So a leaf costs 33 bytes, appending touches the last
tile of each level whatever the tree's size, and a proof reads a tile or two a level.

Tiles of 32 and not of 256 as in C2SP's tlog-tiles: a tile of 1 KiB stays inside its row, where one
of 8 KiB would be written out of line anew for each record that is appended alone.

Pure: no database, no clock.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

HEIGHT: Final = 5
WIDTH: Final = 1 << HEIGHT
HASH_BYTES: Final = 32
EMPTY: Final = hashlib.sha256(b"").digest()
"""The root of no leaves at all."""


class Node(NamedTuple):
    """The complete subtree of this height over leaves ``position << height`` and following."""

    height: int
    position: int


class TileId(NamedTuple):
    """Where a tile lies."""

    level: int
    number: int


class Span(NamedTuple):
    """Leaves from ``first`` up to, and not with, ``end``; the first is where a subtree begins."""

    first: int
    end: int


class OutOfTreeError(ValueError):
    """Something was asked about leaves that the tree does not have."""


def hash_children(left: bytes, right: bytes) -> bytes:
    """The node over two others."""
    return hashlib.sha256(b"\x01" + left + right).digest()


# --- which nodes answer a question ------------------------------------------------------------


def inclusion_spans(index: int, size: int) -> list[Span]:
    """What proves that leaf ``index`` is in the tree of ``size`` leaves, from the leaf upwards.

    PATH of RFC 6962, section 2.1.1.

    Raises:
        OutOfTreeError: It has no such leaf.
    """
    if not 0 <= index < size:
        raise OutOfTreeError(f"leaf {index} is not among {size}")
    found = []
    first, end = 0, size
    while end - first > 1:
        middle = first + _split(end - first)
        if index < middle:
            found.append(Span(middle, end))
            end = middle
        else:
            found.append(Span(first, middle))
            first = middle
    return found[::-1]


def consistency_spans(old: int, size: int) -> list[Span]:
    """What proves that the tree of ``old`` leaves is the beginning of that of ``size``.

    PROOF of RFC 6962, section 2.1.2. Empty when both are the same, or the old one is empty.

    Raises:
        OutOfTreeError: The old one is the larger.
    """
    if not 0 <= old <= size:
        raise OutOfTreeError(f"a tree of {size} leaves never had {old}")
    if old in {0, size}:
        return []
    found = []
    first, end = 0, size
    whole = True
    while old < end:
        middle = first + _split(end - first)
        if old <= middle:
            found.append(Span(middle, end))
            end = middle
        else:
            found.append(Span(first, middle))
            first = middle
            whole = False
    if not whole:
        found.append(Span(first, end))
    return found[::-1]


def nodes_of(span: Span) -> list[Node]:
    """The complete subtrees that make up a span, from left to right."""
    found = []
    first = span.first
    while first < span.end:
        height = (span.end - first).bit_length() - 1
        found.append(Node(height, first >> height))
        first += 1 << height
    return found


def tiles_of(spans: Iterable[Span]) -> set[TileId]:
    """The tiles that the hashes of these spans are computed from."""
    return {_place(node)[0] for span in spans for node in nodes_of(span)}


def edge_of(size: int) -> set[TileId]:
    """The tiles that the next leaf of a tree may go to, and are not empty."""
    found = set()
    level = 0
    while count := size >> (HEIGHT * level):
        if count % WIDTH:
            found.add(TileId(level, count // WIDTH))
        level += 1
    return found


def _split(count: int) -> int:
    """The largest power of two smaller than ``count``."""
    return 1 << (count - 1).bit_length() - 1


def _place(node: Node) -> tuple[TileId, int, int]:
    """The tile of a node, and which of its hashes lie below it: from, how many."""
    level, above = divmod(node.height, HEIGHT)
    number, first = divmod(node.position << above, WIDTH)
    return TileId(level, number), first, 1 << above


# --- hashes out of tiles ----------------------------------------------------------------------


def hash_of(span: Span, tiles: Mapping[TileId, bytes]) -> bytes:
    """The hash of a span (MTH of RFC 6962, section 2.1).

    Raises:
        OutOfTreeError: The tiles do not hold it.
    """
    if span.first == span.end:
        return EMPTY
    parts = [_node_hash(node, tiles) for node in nodes_of(span)]
    result = parts.pop()
    while parts:
        result = hash_children(parts.pop(), result)
    return result


def _node_hash(node: Node, tiles: Mapping[TileId, bytes]) -> bytes:
    tile, first, count = _place(node)
    begin, end = first * HASH_BYTES, (first + count) * HASH_BYTES
    below = tiles.get(tile, b"")[begin:end]
    if len(below) != end - begin:
        raise OutOfTreeError(f"tile {tile.level}/{tile.number} does not hold all of a node")
    return _fold(below)


def _fold(below: bytes | bytearray) -> bytes:
    """The hash over neighbouring nodes of one height; a power of two of them."""
    row = [bytes(below[at : at + HASH_BYTES]) for at in range(0, len(below), HASH_BYTES)]
    while len(row) > 1:
        row = [hash_children(row[at], row[at + 1]) for at in range(0, len(row), 2)]
    return row[0]


def append(
    size: int, tiles: Mapping[TileId, bytes], leaves: Sequence[bytes]
) -> dict[TileId, bytes]:
    """The tiles that change when leaves are added to a tree, whole.

    Args:
        size: How many leaves it has.
        tiles: Those of :func:`edge_of`.
        leaves: Their leaf hashes, in order.

    Raises:
        OutOfTreeError: A tile of the edge is missing, or not as long as the size says.
    """
    changed: dict[TileId, bytearray] = {}
    for tile in edge_of(size):
        count = (size >> (HEIGHT * tile.level)) % WIDTH
        known = tiles.get(tile, b"")
        if len(known) != count * HASH_BYTES:
            raise OutOfTreeError(f"tile {tile.level}/{tile.number} should hold {count} hashes")
        changed[tile] = bytearray(known)
    before = {tile: len(held) for tile, held in changed.items()}
    for leaf in leaves:
        level, index, value = 0, size, leaf
        while True:
            number, place = divmod(index, WIDTH)
            held = changed.setdefault(TileId(level, number), bytearray())
            held += value
            if place < WIDTH - 1:
                break
            value = _fold(held)
            level, index = level + 1, number
        size += 1
    return {tile: bytes(held) for tile, held in changed.items() if len(held) != before.get(tile)}


# --- a tree that only grows: what a verifier keeps --------------------------------------------


class Frontier:
    """The roots of the complete subtrees of a tree that is read from its first leaf on.

    Enough to go on and to tell the root; never more than one hash for each bit of the size.
    """

    __slots__ = ("_parts", "size")

    def __init__(self, size: int = 0, parts: bytes = b"") -> None:
        """Begin with nothing, or where :meth:`parts` of another one said.

        Raises:
            OutOfTreeError: A tree of this size has not that many parts.
        """
        if len(parts) != size.bit_count() * HASH_BYTES:
            raise OutOfTreeError(f"a tree of {size} leaves has {size.bit_count()} parts")
        self.size = size
        self._parts = [parts[at : at + HASH_BYTES] for at in range(0, len(parts), HASH_BYTES)]

    @property
    def parts(self) -> bytes:
        """The largest subtree's hash first."""
        return b"".join(self._parts)

    def add(self, leaf: bytes) -> list[bytes]:
        """Append a leaf hash; the nodes that it completes, by height, itself first."""
        size, made = self.size, [leaf]
        while size & 1:
            made.append(hash_children(self._parts.pop(), made[-1]))
            size >>= 1
        self._parts.append(made[-1])
        self.size += 1
        return made

    def root(self) -> bytes:
        """The root of what was read."""
        if not self._parts:
            return EMPTY
        result = self._parts[-1]
        for part in self._parts[-2::-1]:
            result = hash_children(part, result)
        return result
