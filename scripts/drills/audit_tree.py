"""A tree of many leaves: what another one costs, and what a proof does, as the tree grows.

Leaves are made up; tiles are stored, read and proved from as for a trail, in a real database.
"""

import asyncio
import hashlib
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from backend.core.context import SystemScope
from backend.core.database import Database, make_engine
from backend.core.ids import uuid7
from backend.managers.audit import GROW, offline
from backend.managers.audit import _tree as tree
from backend.managers.audit._checkpoints import load_tiles, store_leaves
from backend.migrations import runner
from scripts.drills.rig import Where
from tests.support.trail import audit_row

_BITE: Final = 500
_BITES_A_COMMIT: Final = 20
_PROOFS: Final = 200
_MOST_PROOF_SECONDS: Final = 0.005
_MOST_GROWTH: Final = 1.5


@dataclass(slots=True)
class TreeReport:
    """Processor time of growing and of proving, by the tree's size."""

    leaves: int = 0
    a_leaf: dict[int, float] = field(default_factory=dict)
    """Microseconds a leaf, of a stretch that ends at this size."""
    inclusion: float = 0.0
    consistency: float = 0.0
    """Seconds: the slowest tenth of proofs takes longer."""
    wrong: int = 0

    def problems(self) -> list[str]:
        """What is wrong; nothing, when all is well."""
        found = []
        if self.wrong:
            found.append(f"{self.wrong} proofs do not prove it")
        slowest = max(self.inclusion, self.consistency)
        if slowest > _MOST_PROOF_SECONDS:
            found.append(f"a proof costs {slowest * 1e3:.1f} ms")
        costs = list(self.a_leaf.values())
        if costs[-1] > _MOST_GROWTH * costs[0]:
            found.append(f"a leaf costs {costs[-1] / costs[0]:.1f} times what it did at first")
        return found

    def __str__(self) -> str:
        """One line for people."""
        costs = ", ".join(f"{cost:.1f} us at {size:,}" for size, cost in self.a_leaf.items())
        return (
            f"{self.leaves:,} leaves; a leaf costs {costs}; of {_PROOFS} proofs each nine in ten "
            f"took at most {self.inclusion * 1e3:.2f} ms (inclusion), "
            f"{self.consistency * 1e3:.2f} ms (consistency) of processor time"
        )


async def grow_and_prove(where: Where, rng: random.Random, folder: Path, leaves: int) -> TreeReport:
    """Grow a tree leaf by leaf as the tick does, and prove at its end."""
    await asyncio.to_thread(folder.mkdir)
    url, owner = f"sqlite:///{folder / 'tree.db'}", None
    if where.server is not None:
        made = where.server.create_database("audit_tree")
        url, owner = made.url, made.owner_url
    role = None if owner is None else url.split("//")[1].split("@")[0].split(":")[0]
    runner.upgrade(owner or url, role=role)
    database = Database(make_engine(url, pool_size=2), audit_row=audit_row)
    report, tenant_id = TreeReport(leaves), uuid7()
    try:
        await _grow(database, tenant_id, report)
        await _prove(database, tenant_id, report, rng)
    finally:
        await database.aclose()
    return report


def _leaf(number: int) -> bytes:
    return hashlib.sha256(b"\x00" + number.to_bytes(8, "big")).digest()


def _stretches(leaves: int) -> Iterator[int]:
    size = 10_000
    while size < leaves:
        yield size
        size *= 10
    yield leaves


async def _grow(database: Database, tenant_id: str, report: TreeReport) -> None:
    size = 0
    for end in _stretches(report.leaves):
        # The last part of a stretch: where the tree is as large as that.
        measured = max(size, end - 10_000)
        spent = 0.0
        while size < end:
            counts = size >= measured
            began = time.process_time()
            async with database.transaction(SystemScope(GROW)) as tx:
                for _ in range(_BITES_A_COMMIT):
                    bite = [_leaf(one) for one in range(size, min(size + _BITE, end))]
                    if not bite:
                        break
                    await store_leaves(tx, tenant_id, size, bite)
                    size += len(bite)
            if counts:
                spent += time.process_time() - began
        report.a_leaf[end] = spent / min(10_000, end) * 1e6


async def _prove(
    database: Database, tenant_id: str, report: TreeReport, rng: random.Random
) -> None:
    size, root = report.leaves, b""
    inclusion, consistency = [], []
    async with database.read(SystemScope(GROW)) as view:
        for number in range(_PROOFS):
            index, old = rng.randrange(size), rng.randrange(1, size)
            began = time.process_time()
            spans = [*tree.inclusion_spans(index, size), tree.Span(0, size)]
            tiles = await load_tiles(view, tenant_id, tree.tiles_of(spans))
            *path, root = [tree.hash_of(span, tiles) for span in spans]
            inclusion.append(time.process_time() - began)
            report.wrong += offline.root_of_inclusion(index, size, _leaf(index), path) != root
            began = time.process_time()
            spans = [*tree.consistency_spans(old, size), tree.Span(0, old)]
            tiles = await load_tiles(view, tenant_id, tree.tiles_of(spans))
            *path, old_root = [tree.hash_of(span, tiles) for span in spans]
            consistency.append(time.process_time() - began)
            report.wrong += not offline.proves_consistency(old, old_root, size, root, path)
            if number == 0:
                # A tree of another hand: the verifier's own, that knows no tiles.
                begin = tree.Span(0, min(size, 100_000))
                tiles = await load_tiles(view, tenant_id, tree.tiles_of([begin]))
                report.wrong += _independent_root(begin.end) != tree.hash_of(begin, tiles)
    report.inclusion = sorted(inclusion)[int(_PROOFS * 0.9)]
    report.consistency = sorted(consistency)[int(_PROOFS * 0.9)]


def _independent_root(size: int) -> bytes:
    frontier = tree.Frontier()
    for number in range(size):
        frontier.add(_leaf(number))
    return frontier.root()
