"""What series there are, and what each came to."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from backend.core.database import ReadTx
from backend.managers.metrics.models import SeriesRow


@dataclass(frozen=True, slots=True)
class SeriesView:
    """One series, and what it came to since it is there."""

    id: str
    name: str
    kind: str
    labels: Mapping[str, str]
    created_at: datetime
    last_at: datetime
    observations: int
    total: float
    last_value: float | None


@dataclass(frozen=True, slots=True)
class MetricView:
    """A metric: all series of a name; labels and value are those of the one heard of last."""

    name: str
    kind: str
    series: int
    last_at: datetime
    last_labels: Mapping[str, str]
    last_value: float | None


async def list_metrics(
    tx: ReadTx, *, limit: int, after_name: str | None = None, prefix: str = ""
) -> Sequence[MetricView]:
    """The tenant's metrics by name, one more than ``limit``."""
    newest_first = sa.func.row_number().over(
        partition_by=SeriesRow.name, order_by=(SeriesRow.last_at.desc(), SeriesRow.id)
    )
    ranked = sa.select(
        SeriesRow.name,
        SeriesRow.kind,
        sa.func.count().over(partition_by=SeriesRow.name).label("series"),
        SeriesRow.last_at,
        SeriesRow.labels,
        SeriesRow.last_value,
        newest_first.label("place"),
    ).where(SeriesRow.tenant_id == tx.tenant_id)
    if after_name is not None:
        ranked = ranked.where(SeriesRow.name > after_name)
    if prefix:
        ranked = ranked.where(SeriesRow.name.startswith(prefix, autoescape=True))
    found = ranked.subquery()
    columns = (one for one in found.c if one.key != "place")
    rows = await tx.execute(
        sa.select(*columns).where(found.c.place == 1).order_by(found.c.name).limit(limit + 1)
    )
    return [MetricView(*row) for row in rows]


async def list_series(tx: ReadTx, name: str, *, limit: int) -> Sequence[SeriesView]:
    """The series of a metric, the one that was heard of last first."""
    rows = await tx.scalars(
        sa.select(SeriesRow)
        .where(SeriesRow.tenant_id == tx.tenant_id, SeriesRow.name == name)
        .order_by(SeriesRow.last_at.desc(), SeriesRow.id)
        .limit(limit)
    )
    return [_series_view(row) for row in rows]


def _series_view(row: SeriesRow) -> SeriesView:
    return SeriesView(
        str(row.id),
        row.name,
        row.kind,
        row.labels,
        row.created_at,
        row.last_at,
        row.observations,
        row.total,
        row.last_value,
    )


async def expose(tx: ReadTx) -> str:
    """What each series came to since it is there, in Prometheus' text format 0.0.4.

    Counters are their sums, gauges their newest values; a histogram is a summary without quantiles,
    whose `_sum` and `_count` lead to rates and means.
    """
    rows = await tx.scalars(
        sa.select(SeriesRow)
        .where(SeriesRow.tenant_id == tx.tenant_id)
        .order_by(SeriesRow.name, SeriesRow.id)
    )
    out: list[str] = []
    name = ""
    for row in rows:
        if row.name != name:
            name = row.name
            out.append(f"# TYPE {name} {'summary' if row.kind == 'histogram' else row.kind}")
        labels = ",".join(f'{key}="{_escaped(value)}"' for key, value in row.labels.items())
        where = f"{{{labels}}}" if labels else ""
        if row.kind == "histogram":
            out += [f"{name}_sum{where} {row.total!r}", f"{name}_count{where} {row.observations}"]
        elif row.kind == "counter":
            out.append(f"{name}{where} {row.total!r}")
        elif row.last_value is not None:
            out.append(f"{name}{where} {row.last_value!r}")
    return "".join(f"{line}\n" for line in out)


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
