"""The console's only door to the platform: a typed client of the public HTTP API.

``models``, ``VALUES`` and the methods of ``Api`` are written by ``scripts/generate-client`` from
the API's document; ``transport`` is what they speak through, and ``sink`` asks the one thing that
is no part of that document.
"""

from dashboard.client import models
from dashboard.client.operations import VALUES, Api
from dashboard.client.sink import SinkCopy, read_sink_copies
from dashboard.client.transport import (
    EXPORT_LIMIT,
    PAGE_LIMIT,
    ApiProblem,
    Connection,
    FieldProblem,
    Gate,
    Page,
    Tagged,
    open_gate,
    walk,
)

__all__ = [
    "EXPORT_LIMIT",
    "PAGE_LIMIT",
    "VALUES",
    "Api",
    "ApiProblem",
    "Connection",
    "FieldProblem",
    "Gate",
    "Page",
    "SinkCopy",
    "Tagged",
    "models",
    "open_gate",
    "read_sink_copies",
    "walk",
]
