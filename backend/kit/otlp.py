"""OTLP/HTTP 1.x, whatever the signal: reading an export, and the forms of its answers.

A bomb is refused while it goes off: gzip is undone no further than the limit, and what a message
would become is bounded before it is parsed. One reader for both forms: JSON is read into the same
message, for which its ids are written as the message's own JSON has bytes.
"""

import base64
from collections.abc import Callable, Iterable
from typing import Any, Final, NamedTuple, TypeVar

import msgspec
from google.protobuf.json_format import MessageToJson, ParseDict, ParseError
from google.protobuf.message import DecodeError, Message
from google.rpc.status_pb2 import Status

from backend.core.errors import AppError, TooLargeError
from backend.kit.gunzip import GzipDamagedError, GzipTooLargeError, gunzip

PROTOBUF: Final = "application/x-protobuf"
JSON: Final = "application/json"
MAX_TEXT: Final = 4096
MAX_NAME: Final = 512
_MAX_VALUES: Final = 500_000
_MAX_ATTRIBUTES: Final = 128
_GRPC_CODES: Final = {400: 3, 413: 8, 415: 3, 429: 8, 503: 14}
_INTERNAL: Final = 13
_IDS: Final = ("traceId", "spanId", "parentSpanId")
_FAULTS: Final = (
    DecodeError,
    ParseError,
    msgspec.DecodeError,
    ValueError,
    # What JSON may be, and no export is.
    TypeError,
    AttributeError,
    RecursionError,
)
M = TypeVar("M", bound=Message)


class ExportMalformedError(AppError):
    """The body is no export of its signal, or not of the type that its header claims."""

    status, code, title = 400, "otlp.malformed_export", "The body is not an OTLP export"


class ExportTypeError(AppError):
    """The body's type or encoding is none that OTLP/HTTP has."""

    status, code, title = 415, "otlp.unsupported_export", "Unsupported type of export"


class ExportTooLargeError(TooLargeError):
    """The body is over a limit once gzip is undone."""

    code, title = "otlp.export_too_large", "The export is too large"


class Taken(NamedTuple):
    """What became of an export: how many of its things cannot be kept, and why the first one."""

    rejected: int
    reason: str


def read_message(
    kind: type[M],
    body: bytes,
    media_type: str,
    encoding: str,
    *,
    limit: int,
    with_ids: Callable[[Any], Iterable[dict[str, Any]]],
) -> M:
    """The message of an export.

    Args:
        kind: The signal's request.
        body: As it came.
        media_type: ``application/x-protobuf`` or ``application/json``.
        encoding: ``gzip``, or nothing.
        limit: Bytes once gzip is undone.
        with_ids: The objects of its JSON that have ids of traces and spans.

    Raises:
        ExportTypeError: It is of another type or encoding.
        ExportTooLargeError: It has more bytes, or more values, than the limit.
        ExportMalformedError: It is not what it says.
    """
    if media_type not in {PROTOBUF, JSON}:
        raise ExportTypeError(f"Send {PROTOBUF} or {JSON}", headers={"Accept": PROTOBUF})
    if encoding not in {"", "identity", "gzip"}:
        raise ExportTypeError("Send it plain or with gzip", headers={"Accept-Encoding": "gzip"})
    if encoding == "gzip":
        try:
            body = gunzip(body, limit)
        except GzipTooLargeError as exc:
            raise ExportTooLargeError(str(exc), limit_bytes=limit) from None
        except GzipDamagedError as exc:
            raise ExportMalformedError(str(exc)) from None
    if len(body) > limit:
        raise ExportTooLargeError(f"At most {limit} bytes, once unpacked", limit_bytes=limit)
    message: M = kind()
    try:
        if media_type == JSON:
            _refuse_crowds(sum(body.count(sign) for sign in (b",", b"[", b"{")))
            export = msgspec.json.decode(body)
            for thing in with_ids(export):
                _write_as_base64(thing)
            ParseDict(export, message, ignore_unknown_fields=True)
        else:
            # An empty message is two bytes, and some hundred in memory.
            _refuse_crowds(body.count(b"\x00") if len(body) > _MAX_VALUES else 0)
            message.ParseFromString(bytes(body))
    except _FAULTS:
        raise ExportMalformedError(f"Not an {kind.DESCRIPTOR.name} in {media_type}") from None
    return message


def acceptance(answer: Message, media_type: str) -> bytes:
    """The answer to an export that was taken, whole or in part."""
    if media_type == PROTOBUF:
        return bytes(answer.SerializeToString())
    # 64 bits are text in protobuf's JSON.
    return str(MessageToJson(answer, indent=None)).encode()


def refusal(status: int, said: str, media_type: str) -> bytes:
    """The ``Status`` that OTLP/HTTP wants of every failure, in the form of the request."""
    code = _GRPC_CODES.get(status, _INTERNAL)
    if media_type == PROTOBUF:
        return bytes(Status(code=code, message=said).SerializeToString())
    return msgspec.json.encode({"code": code, "message": said})


def read_attributes(pairs: Iterable[Any]) -> tuple[dict[str, Any], bool]:
    """As JSON holds them, and whether there was more than is kept."""
    found: dict[str, Any] = {}
    cut = False
    for pair in pairs:
        if len(found) >= _MAX_ATTRIBUTES:
            return found, True
        value = read_value(pair.value)
        if isinstance(value, str) and len(value) > MAX_TEXT:
            value, cut = value[:MAX_TEXT], True
        elif isinstance(value, dict | list) and len(msgspec.json.encode(value)) > MAX_TEXT:
            value, cut = "(too large)", True
        found[clean(pair.key)[:MAX_NAME]] = value
    return found, cut


def read_pairs(pairs: Iterable[Any]) -> dict[str, Any]:
    """As JSON holds them, all there are."""
    return {clean(one.key): read_value(one.value) for one in pairs}


def read_value(value: Any) -> Any:
    """A value as JSON holds it."""
    kind = value.WhichOneof("value")
    if kind is None:
        return None
    held = getattr(value, kind)
    if kind == "string_value":
        return clean(held)
    if kind == "array_value":
        return [read_value(one) for one in held.values]
    if kind == "kvlist_value":
        return read_pairs(held.values)
    if kind == "bytes_value":
        return base64.b64encode(held).decode()
    if kind == "double_value" and not abs(held) < float("inf"):
        return str(held)  # JSON has neither infinity nor NaN
    return held


def read_resource(resource: Any) -> tuple[str, dict[str, Any]]:
    """The service that says it, and what else is worth keeping of where it runs."""
    described, _ = read_attributes(resource.attributes)
    service = str(described.pop("service.name", "") or "unknown_service")[:MAX_NAME]
    return service, {
        name: value
        for name, value in described.items()
        if not name.startswith(("telemetry.sdk.", "process."))
    }


def clean(text: str) -> str:
    """No database of ours keeps U+0000."""
    return text.replace("\x00", "\ufffd") if "\x00" in text else text


def _refuse_crowds(values: int) -> None:
    if values > _MAX_VALUES:
        raise ExportTooLargeError(f"At most {_MAX_VALUES} values")


def _write_as_base64(thing: dict[str, Any]) -> None:
    """Ids are hex in OTLP's JSON, and base64 in protobuf's own."""
    for name in _IDS:
        if name in thing:
            thing[name] = base64.b64encode(bytes.fromhex(thing[name])).decode()
