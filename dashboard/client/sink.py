"""What the local mail sink received; it is no part of v1, for only a platform with it answers."""

from __future__ import annotations

from datetime import datetime

from dashboard.client.transport import Connection, uuid_segment
from dashboard.client.wire import Wire


class SinkCopy(Wire, frozen=True, kw_only=True):
    """A message as it arrived over SMTP: proof of what left the platform."""

    received_at: datetime | None
    envelope_from: str
    envelope_to: list[str]
    headers: list[tuple[str, str]]
    text: str | None
    html: str | None
    size_bytes: int


class _SinkCopies(Wire, frozen=True, kw_only=True):
    copies: list[SinkCopy]


def read_sink_copies(connection: Connection, email_id: str) -> list[SinkCopy]:
    """Return the sink's copies of one message.

    Raises:
        ApiProblem: As everywhere; its status is 404 where there is no sink.
    """
    path = f"/sink/emails/{uuid_segment(email_id)}"
    return connection.ask("GET", path, _SinkCopies).copies
