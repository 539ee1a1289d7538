"""A line as Elasticsearch keeps it: a document of the Elastic Common Schema, and its template.

What a tenant's programs call their own fields is one field of the type ``flattened``: mapped one by
one, a tenant's names would use up the index's limit of fields, and the first document to say
``status: 5`` would have everybody's ``status: "ok"`` refused.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from backend.managers.logging._lines import level_of
from backend.managers.logging.models import LogRecord

ECS_VERSION: Final = "8.17.0"
_PRIORITY: Final = 500
"""Above that of Elasticsearch's own template for ``logs-*-*``, which is 100."""
WORDS: Final = "email_sender.words"
"""A message of which the standard analyzer would keep words together that are several to us."""
_WORD: Final = re.compile(r"[^\W_]+")
_JOINED: Final = re.compile(r"[^\W_](?:[^\w\s]|_)+[^\W_]")
_encode: Final = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Document:
    """What is sent of one line.

    Attributes:
        seq: The line's number among its tenant's.
        id: Its ``_id``, the same whenever and by whomever it is sent.
        action: Of the bulk, a line of JSON with its end.
        source: The document, a line of JSON with its end.
    """

    seq: int
    id: str
    action: bytes
    source: bytes

    @property
    def size_bytes(self) -> int:
        """What it has of a bulk's body."""
        return len(self.action) + len(self.source)


def document_id(tenant_id: str, seq: int, record_id: str) -> str:
    """The tenant, which no other installation has, the line's number, and what was drawn for it.

    The number alone would do until a backup is brought back: then numbers that were exported are
    given again to other lines, which Elasticsearch would take for those that it has.
    """
    return f"{tenant_id.replace('-', '')}-{seq}-{record_id[-12:]}"


def document_of(record: LogRecord) -> Document:
    """The document of a line; names that the line does not have are not there."""
    made = document_id(record.tenant_id, record.seq, record.id)
    source: dict[str, Any] = {
        "@timestamp": record.at,
        "message": record.message,
        "ecs": {"version": ECS_VERSION},
        "log": {"level": level_of(record.severity)},
        "event": {
            "id": record.id,
            "sequence": record.seq,
            "severity": record.severity,
            "created": record.received_at,
        },
        "organization": {"id": record.tenant_id},
    }
    for value, (outer, *inner) in (
        (record.source, ("service", "name")),
        (record.trace_id, ("trace", "id")),
        (record.span_id, ("span", "id")),
        (record.request_id, ("http", "request", "id")),
        (record.workflow_id, ("workflow", "id")),
        (record.execution_id, ("execution", "id")),
        (record.fields, ("fields",)),
        (_parted(record.message), tuple(WORDS.split("."))),
    ):
        if value:
            held: Any = value
            for name in reversed(inner):
                held = {name: held}
            source[outer] = held
    return Document(
        record.seq,
        made,
        _encode({"create": {"_id": made}}) + b"\n",
        _encode(source) + b"\n",
    )


def _parted(message: str) -> str | None:
    """The words of a message alone, where ``payment.failed`` or the like is in it."""
    return " ".join(_WORD.findall(message)) if _JOINED.search(message) else None


def stream_of(prefix: str, tenant_id: str, *, shared: bool) -> str:
    """The name of the data stream that a tenant's lines go to."""
    return f"{prefix}-{'shared' if shared else tenant_id.replace('-', '')}"


def template(prefix: str) -> Mapping[str, Any]:
    """The index template that makes the data streams, whoever writes to one first.

    How long an index lives is the operator's: a component template ``<prefix>@custom`` is taken
    where there is one.
    """
    keyword = {"type": "keyword", "ignore_above": 1024}
    custom = f"{prefix}@custom"
    return {
        "index_patterns": [f"{prefix}-*"],
        "priority": _PRIORITY,
        "data_stream": {},
        "composed_of": [custom],
        "ignore_missing_component_templates": [custom],
        "_meta": {"managed_by": "email-sender", "ecs_version": ECS_VERSION},
        "template": {
            "settings": {"index": {"auto_expand_replicas": "0-1"}},
            "mappings": {
                # What is not named here is kept and not indexed: no line makes a field.
                "dynamic": False,
                "date_detection": False,
                "properties": {
                    "@timestamp": {"type": "date_nanos"},
                    "message": {"type": "text", "norms": False},
                    "ecs": {"properties": {"version": keyword}},
                    "log": {"properties": {"level": keyword}},
                    "event": {
                        "properties": {
                            "id": keyword,
                            "sequence": {"type": "long"},
                            "severity": {"type": "long"},
                            "created": {"type": "date_nanos"},
                        }
                    },
                    "organization": {"properties": {"id": keyword}},
                    "service": {"properties": {"name": keyword}},
                    "trace": {"properties": {"id": keyword}},
                    "span": {"properties": {"id": keyword}},
                    "http": {"properties": {"request": {"properties": {"id": keyword}}}},
                    "workflow": {"properties": {"id": keyword}},
                    "execution": {"properties": {"id": keyword}},
                    "fields": {"type": "flattened", "ignore_above": 1024},
                    "email_sender": {"properties": {"words": {"type": "text", "norms": False}}},
                },
            },
        },
    }
