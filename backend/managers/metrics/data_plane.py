"""Recording metrics, on the data plane: a batch a request, answered when it is on disk."""

from typing import Annotated, Final

import msgspec

from backend.core.database import Tx
from backend.core.errors import InvalidInputError
from backend.http.data_route import Call, DataRoute, Reply
from backend.managers.metrics._recording import MAX_ITEMS, MAX_POINTS, Item, Recorded
from backend.managers.metrics.errors import (
    InvalidItemError,
    KindDiffersError,
    MetricBudgetError,
    TooManySeriesError,
)
from backend.managers.metrics.manager import MetricsManager

_EXAMPLE: Final = [
    {"name": "orders_total", "kind": "counter", "value": 1, "labels": {"shop": "berlin"}},
]


class MetricsIn(msgspec.Struct, forbid_unknown_fields=True):
    """Up to a thousand items, with ten thousand values at most."""

    items: Annotated[
        list[Item],
        msgspec.Meta(
            min_length=1, max_length=MAX_ITEMS, extra_json_schema={"examples": [_EXAMPLE]}
        ),
    ]


class RefusedItem(msgspec.Struct):
    """An item that was not recorded, by its place in the request, and why."""

    index: int
    code: str
    title: str
    detail: str


class MetricsOut(msgspec.Struct):
    """How many items are recorded, and what became of the others."""

    accepted: int
    refused: int
    items: list[RefusedItem]


async def record_metrics(metrics: MetricsManager, call: Call[MetricsIn]) -> Reply:
    """Record what can be."""
    items = call.body.items
    if sum(len(item.values or "1") for item in items) > MAX_POINTS:
        raise InvalidInputError(f"A batch has at most {MAX_POINTS} values").at("items")

    def answer(tx: Tx, recorded: Recorded) -> Reply:
        refused = [
            RefusedItem(index, error.code, error.title, error.detail)
            for index, error in sorted(recorded.refused.items())
        ]
        return call.reply(tx, MetricsOut(recorded.accepted, len(refused), refused))

    done: Reply = await metrics.recording.record(
        call.database, call.scope, items, contends=call.is_keyed, answer=answer
    )
    return done


DATA_ROUTES: Final = (
    DataRoute(
        method="POST",
        path="/api/v1/metrics",
        permission="metric:write",
        handler=record_metrics,
        summary="Record up to a thousand observations.",
        tags=("metric",),
        body=MetricsIn,
        answer=MetricsOut,
        once=True,
        errors=(
            InvalidInputError,
            InvalidItemError,
            KindDiffersError,
            TooManySeriesError,
            MetricBudgetError,
        ),
    ),
)
"""What this manager serves on the data plane."""
