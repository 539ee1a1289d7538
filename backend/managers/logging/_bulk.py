"""What is sent to the bulk API, and what its answers mean: rules without I/O.

A document is done when it was created now or before (409), dead when it cannot be taken as it is,
and else it is sent again. What says that all of a request failed says nothing of its documents.
"""

import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from backend.managers.logging._ecs import Document

_WORDS: Final = 500
_CREATED: Final = frozenset({200, 201})
_THERE: Final = 409
_NEVER: Final = frozenset({400, 413})
# Answered with 400 to every document alike, and of none of them: too many shards, a closed index,
# a stream that is none.
_NOT_THE_DOCUMENT: Final = frozenset(
    {"validation_exception", "index_closed_exception", "resource_already_exists_exception"}
)
_FIRST_SECONDS: Final = 0.2
_MOST_DOUBLINGS: Final = 20


@dataclass(frozen=True, slots=True)
class Reason:
    """Why Elasticsearch does not take a document: the status, the kind of error, and its words."""

    status: int
    kind: str
    text: str


@dataclass(slots=True)
class Sorted:
    """What became of documents, by their ``seq``.

    Attributes:
        done: They are there, and once.
        dead: They are not taken, and would not be taken another time.
        again: They were not taken, and may be.
    """

    done: set[int] = field(default_factory=set)
    dead: dict[int, Reason] = field(default_factory=dict)
    again: dict[int, Reason] = field(default_factory=dict)

    def add(self, other: "Sorted") -> None:
        """What became of some of them the next time."""
        for seq in (*other.done, *other.dead):
            self.again.pop(seq, None)
        self.done |= other.done
        self.dead |= other.dead
        self.again |= other.again


class NoVerdictError(Exception):
    """An answer that does not say what became of each document."""


def parts(
    documents: Iterable[Document], *, most_bytes: int, most_documents: int
) -> Iterator[list[Document]]:
    """Stretches that a bulk may hold, in order; what is too large alone is one alone."""
    part: list[Document] = []
    size = 0
    for one in documents:
        if part and (size + one.size_bytes > most_bytes or len(part) >= most_documents):
            yield part
            part, size = [], 0
        part.append(one)
        size += one.size_bytes
    if part:
        yield part


def halves(documents: Sequence[Document]) -> tuple[list[Document], list[Document]]:
    """Two parts of as many bytes each as can be, neither empty; of two documents or more."""
    half = sum(one.size_bytes for one in documents) // 2
    size, cut = 0, 0
    for one in documents[:-1]:
        if cut and size + one.size_bytes > half:
            break
        size += one.size_bytes
        cut += 1
    return list(documents[:cut]), list(documents[cut:])


def body_of(documents: Iterable[Document]) -> bytes:
    """The body of a bulk, NDJSON."""
    return b"".join(line for one in documents for line in (one.action, one.source))


def sort_out(documents: Sequence[Document], answer: bytes) -> Sorted:
    """What the answer to a bulk says of each of its documents.

    Raises:
        NoVerdictError: It is not the answer to this bulk: cut short, or somebody else's.
    """
    try:
        items = msgspec.json.decode(answer)["items"]
        told = [next(iter(item.values())) for item in items]
        same = [one["_id"] for one in told] == [one.id for one in documents]
        statuses = [int(one["status"]) for one in told]
    except (msgspec.DecodeError, KeyError, TypeError, ValueError, AttributeError, StopIteration):
        raise NoVerdictError("This is no answer of the bulk API") from None
    if not same:
        raise NoVerdictError("The answer is about other documents")
    found = Sorted()
    for document, status, item in zip(documents, statuses, told, strict=True):
        if status in _CREATED or status == _THERE:
            found.done.add(document.seq)
            continue
        reason = reason_of(status, item.get("error"))
        never = status in _NEVER and reason.kind not in _NOT_THE_DOCUMENT
        (found.dead if never else found.again)[document.seq] = reason
    return found


def reason_of(status: int, error: Any) -> Reason:
    """The reason in an ``error`` of Elasticsearch's, its causes too; bounded."""
    if not isinstance(error, Mapping):
        return Reason(status, "", str(error or "")[:_WORDS])
    words: list[str] = []
    cause: Any = error
    while isinstance(cause, Mapping) and len(words) < 4:
        words.append(str(cause.get("reason") or cause.get("type") or ""))
        cause = cause.get("caused_by")
    text = ": ".join(word for word in words if word).replace("\x00", "")
    return Reason(status, str(error.get("type") or "")[:_WORDS], text[:_WORDS])


def wait_seconds(failures: int, longest: float, draw: random.Random) -> float:
    """How long to wait after so many failures in a row, 1 or more: doubled, and a random half off.

    Without the draw all that an outage has stopped would come back in the same moment.
    """
    whole = min(_FIRST_SECONDS * 2.0 ** min(failures - 1, _MOST_DOUBLINGS), longest)
    return whole * draw.uniform(0.5, 1.0)
