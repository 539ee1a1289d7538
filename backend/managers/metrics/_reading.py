"""Reading chunks: of many questions at once, as far as they are about the same stretch of time."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby, starmap
from operator import attrgetter
from typing import Final

import numpy as np
import sqlalchemy as sa

from backend.core.database import ReadTx
from backend.managers.metrics import _windows
from backend.managers.metrics._windows import Array, Chunk
from backend.managers.metrics.errors import InvalidQueryError
from backend.managers.metrics.models import ChunkRow

MAX_SERIES: Final = 1000
MAX_BYTES: Final = 16 * 2**20
"""Of the windows that a question is about: some 350 000, or fewer with many buckets."""


@dataclass(frozen=True, slots=True)
class Grid:
    """Where points lie: ``size`` of them, ``step`` seconds each, from the second ``start`` on."""

    start: int
    step: int
    size: int
    end: int
    level: int

    @property
    def start_at(self) -> datetime:
        """The first moment."""
        return datetime.fromtimestamp(self.start, UTC)

    @property
    def seconds(self) -> Array:
        """How long each point lasts: the last one may not be over."""
        begins = self.start + np.arange(self.size) * self.step
        return np.minimum(self.step, np.maximum(self.end - begins, 1)).astype(float)

    def whole(self) -> "Grid":
        """The same time as one point."""
        return Grid(self.start, self.end - self.start, 1, self.end, self.level)

    def moved(self, seconds: int) -> "Grid":
        """The same points at another time."""
        return Grid(self.start + seconds, self.step, self.size, self.end + seconds, self.level)


@dataclass(frozen=True, slots=True)
class Read:
    """Chunks of some series that a grid touches."""

    grid: Grid
    ids: Array
    with_buckets: bool


async def read_many(
    tx: ReadTx, reads: Sequence[Read]
) -> Sequence[Sequence[Chunk] | InvalidQueryError]:
    """What each of them reads, by series and time; or that it is more than anybody may at once.

    Those of the same stretch of time are read together, as far as their series are no more than
    one question may be about.
    """
    found: list[Sequence[Chunk] | InvalidQueryError] = [()] * len(reads)
    alike: dict[tuple[int, int, int, bool], list[tuple[list[int], set[int]]]] = {}
    for number, read in enumerate(reads):
        grid = read.grid
        key = (grid.level, grid.start, grid.end, read.with_buckets)
        some = alike.setdefault(key, [([], set())])
        ids = set(read.ids.tolist())
        if some[-1][1] and len(some[-1][1] | ids) > MAX_SERIES:
            some.append(([], set()))
        some[-1][0].append(number)
        some[-1][1].update(ids)
    for some in alike.values():
        for numbers, ids in some:
            await _read_alike(tx, {number: reads[number] for number in numbers}, ids, found)
    return found


async def _read_alike(
    tx: ReadTx,
    reads: Mapping[int, Read],
    ids: Collection[int],
    found: list[Sequence[Chunk] | InvalidQueryError],
) -> None:
    first = next(iter(reads.values()))
    grid, with_buckets = first.grid, first.with_buckets
    span = _windows.span_of(grid.level)
    of_grid = (
        ChunkRow.tenant_id == tx.tenant_id,
        ChunkRow.step_seconds == grid.level,
        ChunkRow.series_id.in_(sorted(ids)),
        ChunkRow.start_seconds >= grid.start - grid.start % span,
        ChunkRow.start_seconds < grid.end,
    )
    size: sa.ColumnElement[int] = sa.func.length(ChunkRow.windows)
    if with_buckets:
        size += sa.func.length(ChunkRow.buckets)
    # Neither database reads what it is asked the length of.
    sizes = {
        row.series_id: row.size
        for row in await tx.execute(
            sa.select(ChunkRow.series_id, sa.func.sum(size).label("size"))
            .where(*of_grid)
            .group_by(ChunkRow.series_id)
        )
    }
    taken: dict[int, list[int]] = {}
    for number, read in reads.items():
        mine = [one for one in read.ids.tolist() if one in sizes]
        if sum(sizes[one] for one in mine) > MAX_BYTES:
            found[number] = InvalidQueryError(
                "So many series over so long a time are too much at once: ask for some labels' "
                "values, a shorter window or fewer points"
            ).at("since")
        else:
            taken[number] = mine
    wanted = {one for mine in taken.values() for one in mine}
    rows = await tx.execute(
        sa.select(
            ChunkRow.series_id,
            ChunkRow.start_seconds,
            ChunkRow.windows,
            ChunkRow.buckets if with_buckets else sa.literal(b"", sa.LargeBinary),
        )
        .where(*of_grid, ChunkRow.series_id.in_(sorted(wanted)))
        .order_by(ChunkRow.series_id, ChunkRow.start_seconds)
    )
    chunks = {one: list(some) for one, some in groupby(starmap(Chunk, rows), attrgetter("series"))}
    for number, mine in taken.items():
        found[number] = [chunk for one in mine for chunk in chunks.get(one, ())]
