"""Audit records in the words of those who read them: one record, one line, five formats.

Each line carries the record's canonical bytes (:func:`backend.core.audit.leaf_bytes`) or all that
they are made of, so that what left the house can still be proved against the chain. What a record
means in a schema of others is read from its act alone, ``<noun>.<past>``: a new act of any room
needs no line here, and is at worst told as "other".
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from backend import __version__
from backend.core.audit import AuditRecord, leaf_bytes
from backend.kit.csv_table import write_rows

_PRODUCT: Final = "Email Sender"
_CREATION = frozenset({"accepted", "added", "created", "enrolled", "issued", "opened", "submitted"})
_DELETION = frozenset({"cleared", "deleted", "ended", "purged", "removed", "revoked"})
_ACCESS = frozenset({"asked", "checked", "content_read", "exported", "read", "tested", "verified"})
_FAILURE = frozenset({"authentication_failed", "denied", "failed", "reused"})
_LOG_IN = frozenset({"login", "session", "second_factor", "recovery_code"})
_IAM = frozenset({"api_key", "client", "invitation", "member", "role", "tenant", "user"})

_ECS_VERSION: Final = "8.17.0"
_OCSF_VERSION: Final = "1.6.0"
_OCSF_SUCCESS, _OCSF_FAILURE = 1, 2
_OCSF_OTHER: Final = 99
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_CEF_MESSAGE: Final = 1023
_CEF_STRING: Final = 4000


@dataclass(frozen=True, slots=True)
class Format:
    """A way to write records.

    Attributes:
        name: As callers ask for it.
        media_type: Of a file of such lines.
        suffix: Of such a file's name.
        head: What stands before the first line.
        line: One record, with its line's end.
    """

    name: str
    media_type: str
    suffix: str
    head: bytes
    line: Callable[[AuditRecord], bytes]


def ndjson(record: AuditRecord) -> bytes:
    """The canonical members exactly as they were hashed, then ``seq`` and ``hash`` (hex).

    Newline-delimited JSON; without the last members a line is, byte for byte, what the leaf hash is
    of (RFC 8785). Where that tells of people, ``revealed`` is the data with what is sealed in it in
    the clear.
    """
    chain = record.chain_hash.hex() if record.chain_hash else None
    more: dict[str, Any] = {"seq": record.seq, "hash": chain}
    if record.shown != record.data:
        more["revealed"] = record.shown
    tail = json.dumps(more, separators=(",", ":"), ensure_ascii=False).encode()
    return leaf_bytes(record)[:-1] + b"," + tail[1:] + b"\n"


def csv_line(record: AuditRecord) -> bytes:
    """A row of RFC 4180, CRLF at its end; no cell can become a formula."""
    chain = record.chain_hash.hex() if record.chain_hash else ""
    data = json.dumps(record.shown, sort_keys=True, ensure_ascii=False)
    cells = (
        "" if record.seq is None else record.seq,
        record.id,
        _at(record),
        record.tenant_id,
        record.actor,
        record.action,
        record.target,
        record.request_id,
        data,
        chain,
    )
    return write_rows([cells])


def ecs(record: AuditRecord) -> bytes:
    """A document of the Elastic Common Schema 8.17; its data set is ``email_sender.audit``.

    ``event.kind`` is ``event``; ``event.category`` and ``event.type`` are of their allowed values;
    ``event.original`` is the canonical record and ``event.hash`` the link that proves it.
    """
    noun, verb = _words(record)
    event: dict[str, Any] = {
        "kind": "event",
        "module": "email_sender",
        "dataset": "email_sender.audit",
        "provider": "email_sender",
        "id": record.id,
        "action": record.action,
        "category": [
            "authentication" if noun in _LOG_IN else "iam" if noun in _IAM else "configuration"
        ],
        "type": _ecs_types(record, verb),
        "outcome": "failure" if verb in _FAILURE else "success",
        "original": leaf_bytes(record).decode(),
    }
    if record.seq is not None and record.chain_hash:
        event |= {"sequence": record.seq, "hash": record.chain_hash.hex()}
    document: dict[str, Any] = {
        "@timestamp": _at(record),
        "ecs": {"version": _ECS_VERSION},
        "event": event,
        "message": f"{record.actor} {record.action} {record.target}",
        "organization": {"id": record.tenant_id},
        "user": {"id": record.actor},
        "related": {"user": _users(record)},
        "http": {"request": {"id": record.request_id}},
        "observer": {"product": _PRODUCT, "vendor": _PRODUCT, "version": __version__},
        # A prefix of our own, capitalised as the guide for custom fields asks.
        "EmailSender": {"target": record.target},
    }
    if record.shown != record.data:
        document["EmailSender"]["revealed"] = record.shown
    return _json_line(document)


def ocsf(record: AuditRecord) -> bytes:
    """An event of OCSF 1.6.0: Authentication (3002) for log-ins, Entity Management (3004) else.

    ``type_uid`` is ``class_uid * 100 + activity_id``; the tenant is ``metadata.tenant_uid``; the
    canonical record is ``raw_data``, and what has no attribute stands in ``unmapped``. The version
    is pinned: 1.7.0 moves the source's id, 1.9.0 the actor's application.
    """
    noun, verb = _words(record)
    failed = verb in _FAILURE
    event: dict[str, Any] = {
        "category_uid": 3,
        "category_name": "Identity & Access Management",
        "time": _milliseconds(record.at),
        "severity_id": 2 if failed else 1,
        "severity": "Low" if failed else "Informational",
        "status_id": _OCSF_FAILURE if failed else _OCSF_SUCCESS,
        "status": "Failure" if failed else "Success",
        "message": f"{record.actor} {record.action} {record.target}",
        "metadata": {
            "version": _OCSF_VERSION,
            "product": {"name": _PRODUCT, "vendor_name": _PRODUCT, "version": __version__},
            "uid": record.id,
            "event_code": record.action,
            "log_name": "audit",
            "original_time": _at(record),
            "correlation_uid": record.request_id,
            "tenant_uid": record.tenant_id,
        },
        "actor": {"user": _ocsf_user(record.actor)},
        "raw_data": leaf_bytes(record).decode(),
    }
    if record.seq is not None and record.chain_hash:
        event["metadata"]["sequence"] = record.seq
        event["unmapped"] = {"chain_hash": record.chain_hash.hex()}
    if record.shown != record.data:
        event["unmapped"] = event.get("unmapped", {}) | {"revealed": record.shown}
    if noun == "login":
        event |= _ocsf_class(3002, "Authentication", 1, "Logon")
        event["user"] = _ocsf_user(record.target)
    else:
        event |= _ocsf_class(3004, "Entity Management", *_ocsf_activity(verb))
        kind, _, uid = record.target.partition(":")
        event["entity"] = {"uid": uid or kind, "type": kind}
    return _json_line(event)


def cef(record: AuditRecord) -> bytes:
    """A message of ArcSight's Common Event Format, version 0, without a syslog prefix.

    Severity is 3 (low) for what succeeded and 6 (medium) for what did not. Keys are those of the
    dictionary; of our own there are tenant, target, request, hash and data (``cs1`` to ``cs5``) and
    the number (``cn1``). ``cs5`` is cut at 4000 characters, as the dictionary has it: for the whole
    record take another format.
    """
    _, verb = _words(record)
    failed = verb in _FAILURE
    head = "|".join(
        _cef_head(part)
        for part in (
            _PRODUCT,
            _PRODUCT,
            __version__,
            record.action,
            record.action.replace(".", " ").replace("_", " "),
            "6" if failed else "3",
        )
    )
    data = json.dumps(record.shown, sort_keys=True, ensure_ascii=False)
    fields: dict[str, str] = {
        "rt": str(_milliseconds(record.at)),
        "cat": "audit",
        "act": record.action,
        "outcome": "failure" if failed else "success",
        "suid": record.actor[:_CEF_MESSAGE],
        "externalId": record.id,
        "cs1Label": "tenant",
        "cs1": record.tenant_id,
        "cs2Label": "target",
        "cs2": record.target[:_CEF_STRING],
        "cs3Label": "request",
        "cs3": record.request_id,
    }
    if record.seq is not None and record.chain_hash:
        fields |= {"cs4Label": "hash", "cs4": record.chain_hash.hex()}
        fields |= {"cn1Label": "seq", "cn1": str(record.seq)}
    if record.data:
        fields |= {"cs5Label": "data", "cs5": data[:_CEF_STRING]}
    extension = " ".join(f"{key}={_cef_value(value)}" for key, value in fields.items() if value)
    return f"CEF:0|{head}|{extension}\n".encode()


def is_failure(record: AuditRecord) -> bool:
    """Whether the act is one that did not succeed, as its name says."""
    return _words(record)[1] in _FAILURE


def _words(record: AuditRecord) -> tuple[str, str]:
    noun, _, verb = record.action.partition(".")
    return noun, verb


def _at(record: AuditRecord) -> str:
    found = json.loads(leaf_bytes(record))["at"]
    return str(found)


def _milliseconds(at: datetime) -> int:
    return (at - _EPOCH) // timedelta(milliseconds=1)


def _users(record: AuditRecord) -> list[str]:
    target = [record.target] if record.target.startswith("user:") else []
    return list(dict.fromkeys([record.actor, *target]))


def _ecs_types(record: AuditRecord, verb: str) -> list[str]:
    """Of their allowed values; of identity and access two are expected: what, and of whom."""
    if verb in _FAILURE:
        what = "denied"
    elif verb in _CREATION:
        what = "creation"
    elif verb in _DELETION:
        what = "deletion"
    elif verb in _ACCESS:
        what = "access"
    elif verb == "succeeded":
        what = "start"
    else:
        what = "change"
    return [what, "user"] if record.target.startswith("user:") else [what]


def _ocsf_activity(verb: str) -> tuple[int, str]:
    """The activity of Entity Management; what the class has no number for keeps its own name."""
    known = {
        "enabled": (8, "Enable"),
        "disabled": (9, "Disable"),
        "suspended": (12, "Suspend"),
        "resumed": (13, "Resume"),
        "renamed": (5, "Move"),
    }
    if verb in known:
        return known[verb]
    if verb in _CREATION:
        return 1, "Create"
    if verb in _ACCESS:
        return 2, "Read"
    if verb in _DELETION:
        return 4, "Delete"
    if verb.endswith(("changed", "saved", "rotated", "renewed", "imported")):
        return 3, "Update"
    return _OCSF_OTHER, verb or "other"


def _ocsf_class(uid: int, name: str, activity_id: int, activity: str) -> dict[str, Any]:
    return {
        "class_uid": uid,
        "class_name": name,
        "activity_id": activity_id,
        "activity_name": activity,
        "type_uid": uid * 100 + activity_id,
        "type_name": f"{name}: {activity}",
    }


def _ocsf_user(reference: str) -> dict[str, Any]:
    """Who it is, as our references say: a person, a program, or the platform itself."""
    kind, _, _ = reference.partition(":")
    if kind == "user":
        return {"uid": reference, "type_id": 1, "type": "User"}
    if kind == "system":
        return {"uid": reference, "type_id": 3, "type": "System"}
    return {"uid": reference, "type_id": _OCSF_OTHER, "type": kind}


def _cef_head(text: str) -> str:
    flat = text.replace("\r", " ").replace("\n", " ")
    return flat.replace("\\", "\\\\").replace("|", "\\|")


def _cef_value(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("=", "\\=")
    return escaped.replace("\r", "\\r").replace("\n", "\\n")


def _json_line(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"


_COLUMNS: Final = (
    "seq", "id", "at", "tenant", "actor", "action", "target", "request_id", "data", "hash",
)  # fmt: skip
FORMATS: Final = {
    one.name: one
    for one in (
        Format("ndjson", "application/x-ndjson", "ndjson", b"", ndjson),
        Format("csv", "text/csv", "csv", write_rows([_COLUMNS]), csv_line),
        Format("ecs", "application/x-ndjson", "ecs.ndjson", b"", ecs),
        Format("ocsf", "application/x-ndjson", "ocsf.ndjson", b"", ocsf),
        Format("cef", "text/plain", "cef.log", b"", cef),
    )
}
