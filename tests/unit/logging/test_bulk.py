"""Rules of the export: documents, bulks within bounds, and what answers mean."""

import json
import random
from datetime import UTC, datetime
from typing import Any

import pytest

from backend.managers.logging._bulk import (
    NoVerdictError,
    Reason,
    Sorted,
    body_of,
    halves,
    parts,
    sort_out,
    wait_seconds,
)
from backend.managers.logging._ecs import (
    Document,
    document_id,
    document_of,
    stream_of,
    template,
)
from backend.managers.logging.models import LogRecord

TENANT = "0198aaaa-0000-7000-8000-000000000001"
RECORD = "0198bbbb-0000-7000-8000-00000000abcd"
AT = datetime(2026, 1, 31, 8, 0, 0, 123456, tzinfo=UTC)


def record(**values: Any) -> LogRecord:
    usual: dict[str, Any] = {
        "tenant_id": TENANT,
        "id": RECORD,
        "seq": 7,
        "at": AT,
        "received_at": AT,
        "severity": 18,
        "source": "shop",
        "message": "payment failed",
        "fields": {"labels": {"tries": 3}},
        "trace_id": "t",
        "span_id": "s",
        "request_id": "r",
        "workflow_id": "w",
        "execution_id": "12",
    }
    return LogRecord(**{**usual, **values})


def documents(*sizes: int) -> list[Document]:
    """Documents of so many bytes each."""
    return [Document(at, f"id-{at}", b"a\n", b"x" * (size - 2)) for at, size in enumerate(sizes, 1)]


def answer(*items: tuple[int, Any], ids: list[str] | None = None) -> bytes:
    told = []
    for at, (status, error) in enumerate(items, 1):
        one: dict[str, Any] = {"_id": ids[at - 1] if ids else f"id-{at}", "status": status}
        if error is not None:
            one["error"] = error
        told.append({"create": one})
    return json.dumps({"errors": True, "items": told}).encode()


class TestADocument:
    def test_has_the_names_of_ecs(self) -> None:
        made = document_of(record())
        assert json.loads(made.source) == {
            "@timestamp": "2026-01-31T08:00:00.123456Z",
            "message": "payment failed",
            "ecs": {"version": "8.17.0"},
            "log": {"level": "error"},
            "event": {
                "id": RECORD,
                "sequence": 7,
                "severity": 18,
                "created": "2026-01-31T08:00:00.123456Z",
            },
            "organization": {"id": TENANT},
            "service": {"name": "shop"},
            "trace": {"id": "t"},
            "span": {"id": "s"},
            "http": {"request": {"id": "r"}},
            "workflow": {"id": "w"},
            "execution": {"id": "12"},
            "fields": {"labels": {"tries": 3}},
        }
        assert json.loads(made.action) == {"create": {"_id": made.id}}
        assert made.source.endswith(b"\n")
        assert made.source.count(b"\n") == 1

    def test_names_nothing_that_the_line_lacks(self) -> None:
        lacking = dict.fromkeys(
            ("trace_id", "span_id", "request_id", "workflow_id", "execution_id")
        )
        found = json.loads(document_of(record(**lacking, source="", fields={})).source)
        assert found.keys() == {"@timestamp", "message", "ecs", "log", "event", "organization"}

    def test_has_a_line_break_of_its_message_escaped(self) -> None:
        assert document_of(record(message="a\nb")).source.count(b"\n") == 1

    def test_has_an_id_that_repeats_and_tells_a_restored_number_apart(self) -> None:
        first = document_of(record()).id
        assert first == document_of(record(message="other")).id
        other = document_id(TENANT, 7, "0198bbbb-0000-7000-8000-00000000abce")
        assert first != other
        assert first == "0198aaaa000070008000000000000001-7-00000000abcd"

    def test_goes_to_the_tenants_stream_or_the_shared_one_which_the_template_makes(self) -> None:
        own = stream_of("logs-x", TENANT, shared=False)
        assert own == "logs-x-0198aaaa000070008000000000000001"
        assert stream_of("logs-x", TENANT, shared=True) == "logs-x-shared"
        made = template("logs-x")
        assert made["index_patterns"] == ["logs-x-*"]
        mapped = made["template"]["mappings"]["properties"]
        assert json.loads(document_of(record()).source).keys() <= mapped.keys()


class TestParts:
    def test_hold_no_more_bytes_than_may_be_and_all_documents_in_order(self) -> None:
        given = documents(10, 10, 10, 25, 99, 5, 5)
        found = list(parts(given, most_bytes=30, most_documents=100))
        assert [[one.seq for one in part] for part in found] == [[1, 2, 3], [4], [5], [6, 7]]

    def test_hold_no_more_documents_than_may_be(self) -> None:
        found = list(parts(documents(*[5] * 7), most_bytes=1000, most_documents=3))
        assert [len(part) for part in found] == [3, 3, 1]

    def test_of_nothing_are_none(self) -> None:
        assert list(parts([], most_bytes=1, most_documents=1)) == []

    @pytest.mark.parametrize(
        "sizes", [[5, 5], [99, 5], [5, 99], [5, 5, 5], [10, 10, 10, 10], [5] * 9 + [500]]
    )
    def test_halved_are_two_that_are_not_empty(self, sizes: list[int]) -> None:
        given = documents(*sizes)
        left, right = halves(given)
        assert left
        assert right
        assert left + right == given

    def test_halved_have_like_bytes(self) -> None:
        left, right = halves(documents(10, 10, 10, 10))
        assert (len(left), len(right)) == (2, 2)

    def test_are_an_action_and_a_document_each(self) -> None:
        lines = body_of([document_of(record()), document_of(record(seq=8))]).splitlines()
        assert ["create" in json.loads(line) for line in lines] == [True, False, True, False]


class TestAnAnswer:
    def test_parts_what_is_done_dead_and_to_be_sent_again(self) -> None:
        conflict = {
            "type": "document_parsing_exception",
            "reason": "[1:9] failed to parse field [a]",
            "caused_by": {"type": "number_format_exception", "reason": 'For input string: "x"'},
        }
        found = sort_out(
            documents(*[9] * 8),
            answer(
                (201, None),
                (409, {"type": "version_conflict_engine_exception", "reason": "exists"}),
                (400, conflict),
                (429, {"type": "es_rejected_execution_exception", "reason": "full"}),
                (503, {"type": "unavailable_shards_exception", "reason": "not there"}),
                (413, {"type": "too_large", "reason": "large"}),
                (403, {"type": "security_exception", "reason": "may not"}),
                (500, None),
            ),
        )
        assert found.done == {1, 2}
        assert found.dead.keys() == {3, 6}
        assert found.again.keys() == {4, 5, 7, 8}
        assert found.dead[3] == Reason(
            400,
            "document_parsing_exception",
            '[1:9] failed to parse field [a]: For input string: "x"',
        )

    def test_that_blames_the_cluster_kills_no_document(self) -> None:
        full = {"type": "validation_exception", "reason": "[1000]/[1000] maximum shards open"}
        found = sort_out(documents(9), answer((400, full)))
        assert found.again.keys() == {1}
        assert not found.dead

    @pytest.mark.parametrize(
        "said",
        [
            b"",
            b"<html>",
            b"[]",
            b'{"items": []}',
            b'{"items": [{"create": {"status": 201}}]}',
            b'{"items": [{}]}',
            b'{"items": [{"create": {"_id": "id-1", "status": "x"}}]}',
            answer((201, None), (201, None)),
            answer((201, None), ids=["other"]),
        ],
    )
    def test_of_something_else_is_no_verdict(self, said: bytes) -> None:
        with pytest.raises(NoVerdictError):
            sort_out(documents(9), said)

    def test_is_added_to_what_was_known(self) -> None:
        busy = Reason(429, "busy", "")
        known = Sorted(done={1}, again={2: busy, 3: busy, 4: busy})
        known.add(Sorted(done={2}, dead={3: busy}, again={4: Reason(503, "", "")}))
        assert (known.done, set(known.dead), set(known.again)) == ({1, 2}, {3}, {4})
        assert known.again[4].status == 503

    def test_has_words_that_are_bounded(self) -> None:
        deep: dict[str, Any] = {"type": "a", "reason": "x" * 400}
        deep["caused_by"] = deep
        found = sort_out(documents(9), answer((400, {"type": "t", "reason": "y" * 900})))
        assert len(found.dead[1].text) == 500


class TestAWait:
    def test_doubles_to_the_longest_and_is_drawn(self) -> None:
        draw = random.Random(1)
        waits = [
            [wait_seconds(failures, 30.0, draw) for _ in range(200)] for failures in (1, 4, 99)
        ]
        for seen, whole in zip(waits, (0.2, 1.6, 30.0), strict=True):
            assert whole / 2 <= min(seen) < max(seen) <= whole
            assert len(set(seen)) > 100
