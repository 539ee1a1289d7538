"""What Elasticsearch is asked for: a caller's words are values in clauses of ours, and no more."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.managers.logging import KeepRule, LogSearchError, Wanted
from backend.managers.logging._query import query_of

NOW = datetime(2026, 1, 31, 8, tzinfo=UTC)
TENANT = "01990b6e-2a4b-7c3d-8e5f-0123456789ab"
KINDS = {
    "bool", "filter", "must_not", "should", "minimum_should_match", "term", "terms", "range",
    "exists", "prefix", "match_phrase", "match_phrase_prefix",
}  # fmt: skip
FIELDS = {
    "organization.id", "event.sequence", "event.severity", "@timestamp", "service.name", "trace.id",
    "http.request.id", "execution.id", "message", "email_sender.words", "field",
}  # fmt: skip
WORDS = {"value", "query", "max_expansions", "gte", "lte", "lt", "format"}


def asked(wanted: Wanted, *rules: KeepRule) -> Any:
    return query_of(TENANT, wanted, seq=9, dead=[3], rules=[*rules, KeepRule(30)], now=NOW)


def names(query: Any) -> Iterator[str]:
    """All names of a query, at any depth."""
    if isinstance(query, dict):
        for name, value in query.items():
            yield name
            yield from names(value)
    elif isinstance(query, list):
        for value in query:
            yield from names(value)


@given(st.text(max_size=60), st.text(max_size=60), st.text(max_size=60))
def test_no_text_of_a_caller_is_a_name_or_moves_the_wall(words: str, source: str, trace: str):
    try:
        query = asked(Wanted(words=words, source=source, trace_id=trace, level="warn"))
    except LogSearchError:
        return
    assert query.keys() == {"bool"}
    wall, up_to, *_ = query["bool"]["filter"]
    assert wall == {"term": {"organization.id": {"value": TENANT}}}
    assert up_to == {"range": {"event.sequence": {"lte": 9}}}
    assert set(names(query)) <= KINDS | FIELDS | WORDS


def test_words_that_must_not_occur_are_left_out():
    query = asked(Wanted(words='paid "not at all" -late'))["bool"]
    without = [one for one in query["must_not"] if "bool" in one]
    assert [next(iter(one["match_phrase"].values()))["query"] for one in _of(without)] == [
        "late",
        "late",
    ]
    with pytest.raises(LogSearchError):
        asked(Wanted(words="-late"))


def _of(clauses: list[Any]) -> list[Any]:
    return [one for clause in clauses for one in clause["bool"]["should"]]


def test_a_time_that_no_line_can_have_is_one_that_the_server_knows():
    early, late = datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC)
    ranges = [
        one["range"]["@timestamp"]
        for one in asked(Wanted(after=early, before=late))["bool"]["filter"]
        if "@timestamp" in one.get("range", {})
    ]
    assert ranges[0]["gte"] == 0
    # The last moment of `date_nanos` is in 2262.
    assert ranges[1]["lt"] < datetime(2262, 1, 1, tzinfo=UTC).timestamp() * 1000


def test_many_rules_are_bounded_by_the_longest_of_them():
    rules = [KeepRule(days, ("debug",), f"s{days}") for days in range(1, 50)]
    kept = asked(Wanted(), *rules)["bool"]["filter"][2]
    longest = NOW - timedelta(days=49)
    assert kept["range"]["@timestamp"]["gte"] == longest.timestamp() * 1000
