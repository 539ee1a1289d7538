"""The tree of RFC 6962: published vectors, and a naive tree beside ours."""

import hashlib
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.managers.audit import _tree, offline
from backend.managers.audit._tree import Frontier, OutOfTreeError, TileId

# The leaves and roots that the tests of Certificate Transparency's implementations share.
LEAVES = [
    bytes.fromhex(text)
    for text in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
ROOTS = (
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
)


def leaf(data: bytes) -> bytes:
    return hashlib.sha256(b"\0" + data).digest()


def naive_root(leaves: list[bytes]) -> bytes:
    """MTH of RFC 6962, section 2.1, word for word."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    return hashlib.sha256(b"\1" + naive_root(leaves[:k]) + naive_root(leaves[k:])).digest()


def naive_path(m: int, leaves: list[bytes]) -> list[bytes]:
    """PATH of section 2.1.1."""
    if len(leaves) == 1:
        return []
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    if m < k:
        return [*naive_path(m, leaves[:k]), naive_root(leaves[k:])]
    return [*naive_path(m - k, leaves[k:]), naive_root(leaves[:k])]


def naive_proof(m: int, leaves: list[bytes], *, whole: bool = True) -> list[bytes]:
    """SUBPROOF of section 2.1.2."""
    if m == len(leaves):
        return [] if whole else [naive_root(leaves)]
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    if m <= k:
        return [*naive_proof(m, leaves[:k], whole=whole), naive_root(leaves[k:])]
    return [*naive_proof(m - k, leaves[k:], whole=False), naive_root(leaves[:k])]


def some_leaves(count: int) -> list[bytes]:
    return [leaf(str(number).encode()) for number in range(count)]


def grown(leaves: list[bytes], *steps: int) -> dict[TileId, bytes]:
    """Tiles of a tree that grew by these steps, and then by the rest at once."""
    tiles: dict[TileId, bytes] = {}
    size = 0
    for step in [*steps, len(leaves) - sum(steps)]:
        edge = {tile: tiles[tile] for tile in _tree.edge_of(size)}
        tiles |= _tree.append(size, edge, leaves[size : size + step])
        size += step
    return tiles


TREE = some_leaves(1200)
TILES = grown(TREE, 1, 30, 1, 500, 0, 7)


class TestVectors:
    def test_roots_are_as_published(self) -> None:
        hashes = [leaf(data) for data in LEAVES]
        frontier = Frontier()
        assert frontier.root() == _tree.hash_of(_tree.Span(0, 0), {}) == naive_root([])
        for size, root in enumerate(ROOTS, 1):
            frontier.add(hashes[size - 1])
            tiles = grown(hashes[:size])
            assert frontier.root().hex() == root, size
            assert _tree.hash_of(_tree.Span(0, size), tiles).hex() == root, size

    def test_proofs_of_the_rfcs_example(self) -> None:
        """The tree of seven leaves that RFC 6962, section 2.1.3, proves about, by its names."""
        d = [leaf(data) for data in LEAVES[:7]]
        a, b, c, e, f, j = d[0], d[1], d[2], d[4], d[5], d[6]
        g, h, i = (_tree.hash_children(d[at], d[at + 1]) for at in (0, 2, 4))
        k = _tree.hash_children(g, h)
        l = _tree.hash_children(i, j)  # noqa: E741 - the RFC's own
        tiles = grown(d)

        def told(spans: list[_tree.Span]) -> list[bytes]:
            return [_tree.hash_of(span, tiles) for span in spans]

        assert told(_tree.inclusion_spans(0, 7)) == [b, h, l]
        assert told(_tree.inclusion_spans(3, 7)) == [c, g, l]
        assert told(_tree.inclusion_spans(4, 7)) == [f, j, k]
        assert told(_tree.inclusion_spans(6, 7)) == [i, k]
        assert told(_tree.consistency_spans(3, 7)) == [c, d[3], g, l]
        assert told(_tree.consistency_spans(4, 7)) == [l]
        assert told(_tree.consistency_spans(6, 7)) == [i, j, k]
        assert a
        assert e


class TestAgainstANaiveTree:
    def test_every_small_tree_and_proof(self) -> None:
        for size in range(1, 70):
            leaves, root = TREE[:size], naive_root(TREE[:size])
            assert _tree.hash_of(_tree.Span(0, size), TILES) == root, size
            for index in range(size):
                proof = [_tree.hash_of(s, TILES) for s in _tree.inclusion_spans(index, size)]
                assert proof == naive_path(index, leaves), (index, size)
                assert offline.root_of_inclusion(index, size, leaves[index], proof) == root
            for old in range(1, size):
                proof = [_tree.hash_of(s, TILES) for s in _tree.consistency_spans(old, size)]
                assert proof == naive_proof(old, leaves), (old, size)
                assert offline.proves_consistency(old, naive_root(TREE[:old]), size, root, proof)

    @given(st.integers(1, 1200), st.data())
    def test_any_tree_and_proof(self, size: int, data: st.DataObject) -> None:
        index = data.draw(st.integers(0, size - 1))
        old = data.draw(st.integers(1, size))
        root, old_root = naive_root(TREE[:size]), naive_root(TREE[:old])
        path = _tree.inclusion_spans(index, size)
        proof = _tree.consistency_spans(old, size)
        # No more than these tiles are needed, and they are few.
        needed = _tree.tiles_of([*path, *proof])
        tiles = {tile: TILES[tile] for tile in needed}
        assert len(needed) <= 4 * 3
        inclusion = [_tree.hash_of(span, tiles) for span in path]
        assert offline.root_of_inclusion(index, size, TREE[index], inclusion) == root
        consistency = [_tree.hash_of(span, tiles) for span in proof]
        assert consistency == (naive_proof(old, TREE[:size]) if old < size else [])
        assert offline.proves_consistency(old, old_root, size, root, consistency)

    @given(st.lists(st.integers(0, 90), max_size=8))
    def test_tiles_are_the_same_however_the_tree_grew(self, steps: list[int]) -> None:
        count = sum(steps) + 3
        assert grown(TREE[:count], *steps) == grown(TREE[:count])

    @given(st.integers(0, 1200), st.integers(0, 1200))
    def test_a_frontier_goes_on_where_another_was(self, one: int, other: int) -> None:
        first, last = sorted((one, other))
        begun = Frontier()
        for value in TREE[:first]:
            begun.add(value)
        resumed = Frontier(first, begun.parts)
        for value in TREE[first:last]:
            resumed.add(value)
        assert (resumed.size, resumed.root()) == (last, naive_root(TREE[:last]))


class TestRefusals:
    def test_what_the_tree_does_not_have(self) -> None:
        for index, size in ((-1, 3), (3, 3), (0, 0)):
            with pytest.raises(OutOfTreeError):
                _tree.inclusion_spans(index, size)
            assert offline.root_of_inclusion(index, size, TREE[0], []) is None
        for old, size in ((-1, 3), (4, 3)):
            with pytest.raises(OutOfTreeError):
                _tree.consistency_spans(old, size)
            assert not offline.proves_consistency(old, TREE[0], size, TREE[0], [])
        with pytest.raises(OutOfTreeError):
            _tree.hash_of(_tree.Span(0, 40), {TileId(0, 0): TILES[TileId(0, 0)]})
        with pytest.raises(OutOfTreeError):
            Frontier(3, bytes(32))

    def test_an_edge_that_is_not_as_long_as_the_size_says(self) -> None:
        for tiles in ({}, {TileId(0, 0): bytes(64)}, {TileId(0, 0): bytes(31)}):
            with pytest.raises(OutOfTreeError):
                _tree.append(1, tiles, [TREE[0]])

    def test_no_altered_proof_proves_anything(self) -> None:
        choose = random.Random(7)
        for _ in range(300):
            size = choose.randrange(2, 300)
            index, old = choose.randrange(size), choose.randrange(1, size)
            root, old_root = naive_root(TREE[:size]), naive_root(TREE[:old])
            path, proof = naive_path(index, TREE[:size]), naive_proof(old, TREE[:size])
            at = choose.randrange(len(path))
            wrong = [*path]
            wrong[at] = bytes([wrong[at][0] ^ 1]) + wrong[at][1:]
            for bad in (wrong, path[:-1], [*path, TREE[0]]):
                assert offline.root_of_inclusion(index, size, TREE[index], bad) != root
            other = (index + 1) % size
            assert offline.root_of_inclusion(other, size, TREE[index], path) != root
            at = choose.randrange(len(proof))
            wrong = [*proof]
            wrong[at] = bytes([wrong[at][0] ^ 1]) + wrong[at][1:]
            for bad in (wrong, proof[:-1], [*proof, TREE[0]], []):
                assert not offline.proves_consistency(old, old_root, size, root, bad)
            assert not offline.proves_consistency(old, root, size, root, proof)
            assert not offline.proves_consistency(old, old_root, size, old_root, proof)
        assert offline.proves_consistency(0, naive_root([]), 5, naive_root(TREE[:5]), [])
        assert not offline.proves_consistency(0, TREE[0], 5, naive_root(TREE[:5]), [])
        assert offline.proves_consistency(5, TREE[0], 5, TREE[0], [])
        assert not offline.proves_consistency(5, TREE[0], 5, TREE[1], [])
