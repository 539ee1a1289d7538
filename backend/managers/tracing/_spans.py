"""A span as this room holds it, whoever made it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

ERROR: Final = 2
"""The status of a span that failed, in OTLP's numbers; 0 is unset, 1 is OK."""
SERVER: Final = 2
CLIENT: Final = 3
CONSUMER: Final = 5
"""Kinds, in OTLP's numbers: 1 internal, 2 server, 3 client, 4 producer, 5 consumer."""
REQUEST_ID: Final = "email_sender.request_id"
WORKFLOW_ID: Final = "n8n.workflow.id"
EXECUTION_ID: Final = "n8n.execution.id"
# PostgreSQL refuses a row of which an index would have to hold more than 2704 bytes.
_MAX_SAID: Final = 512


@dataclass(slots=True)
class Span:
    """Times in nanoseconds, since the epoch and long; ids in hex, ``parent_id`` empty for none.

    ``size_bytes`` is about what its row takes.
    """

    trace_id: str
    span_id: str
    parent_id: str
    service: str
    name: str
    kind: int
    started_ns: int
    duration_ns: int
    status: int = 0
    message: str = ""
    attributes: Mapping[str, Any] = field(default_factory=dict)
    resource: Mapping[str, Any] = field(default_factory=dict)
    events: Sequence[Any] = ()
    links: Sequence[Any] = ()
    size_bytes: int = 512

    def said(self, name: str) -> str:
        """An attribute as text, short enough for an index; empty when there is none."""
        value = self.attributes.get(name, "")
        return (value if isinstance(value, str) else str(value))[:_MAX_SAID]


def local_roots(spans: Sequence[Span]) -> list[Span]:
    """Those whose parent is not among them: a process's, or a batch's, way into the trace."""
    known = {span.span_id for span in spans}
    return [span for span in spans if span.parent_id not in known]
