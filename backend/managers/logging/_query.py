"""What Elasticsearch is asked for when somebody looks for lines: rules without I/O.

What a caller says is a value in clauses of ours, never a part of a query's language; the tenant is
the scope's, and stands beside all else, so that nothing a caller says can widen it.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from backend.core.full_text import NoWordsError, Words
from backend.managers.logging._ecs import WORDS
from backend.managers.logging._lines import LEVELS, KeepRule
from backend.managers.logging._search import Counts, Wanted
from backend.managers.logging.errors import LogSearchError

_TEXTS: Final = ("message", WORDS)
_EXPANSIONS: Final = 1000
# Beyond either a `date_nanos` has no value, and a line none of these times.
_FIRST: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LAST: Final = datetime(2200, 1, 1, tzinfo=UTC)
# Who counts clauses counts all below one query, and may have 1024.
_MOST_RULES: Final = 8
_MOST_SOURCES: Final = 1000

Clause = Mapping[str, Any]


def query_of(
    tenant_id: str,
    wanted: Wanted,
    *,
    seq: int,
    dead: Sequence[int],
    rules: Sequence[KeepRule],
    now: datetime,
) -> Clause:
    """The query for what is wanted among the lines of one tenant up to a number.

    Args:
        tenant_id: Whose lines, by the scope.
        wanted: What the caller asks for.
        seq: Lines after it are looked for elsewhere.
        dead: Lines up to it that are so, too.
        rules: How long lines are kept, the first that is about a line decides; the last is about
            all. What has been let go here is still there, and is none of the answer.
        now: From when on that counts.

    Raises:
        LogSearchError: There is no word to look for.
    """
    filters: list[Clause] = [
        {"term": {"organization.id": {"value": tenant_id}}},
        {"range": {"event.sequence": {"lte": seq}}},
        _kept(rules, now),
    ]
    unwanted: list[Clause] = [{"terms": {"event.sequence": list(dead)}}] if dead else []
    if wanted.after is not None:
        filters.append(_since(wanted.after))
    if wanted.before is not None:
        filters.append({"range": {"@timestamp": _millis("lt", wanted.before)}})
    if wanted.level is not None:
        filters.append({"range": {"event.severity": {"gte": LEVELS[wanted.level]}}})
    if wanted.source is not None:
        filters.append(_of_source(wanted.source))
    for name, value in (
        ("trace.id", wanted.trace_id),
        ("http.request.id", wanted.request_id),
        ("execution.id", wanted.execution_id),
    ):
        if value is not None:
            filters.append({"term": {name: {"value": value}}})
    if wanted.words is not None:
        try:
            terms = Words.read(wanted.words).terms
        except NoWordsError as exc:
            raise LogSearchError(str(exc)) from None
        for term in terms:
            clause = _has(term.tokens, prefix=term.prefix)
            (unwanted if term.negated else filters).append(clause)
    return {"bool": {"filter": filters, "must_not": unwanted}}


def _has(tokens: Sequence[str], *, prefix: bool) -> Clause:
    """Words that follow each other: in the message, or where it was parted."""
    made: list[Clause] = []
    for field in _TEXTS:
        if prefix and len(tokens) == 1:
            made.append({"prefix": {field: {"value": tokens[0]}}})
            continue
        told: dict[str, Any] = {"query": " ".join(tokens)}
        if prefix:
            told["max_expansions"] = _EXPANSIONS
        made.append({"match_phrase_prefix" if prefix else "match_phrase": {field: told}})
    return {"bool": {"should": made, "minimum_should_match": 1}}


def _of_source(source: str) -> Clause:
    if source:
        return {"term": {"service.name": {"value": source}}}
    # What a line does not have is not in its document.
    return {"bool": {"must_not": [{"exists": {"field": "service.name"}}]}}


def _since(at: datetime) -> Clause:
    return {"range": {"@timestamp": _millis("gte", at)}}


def _millis(bound: str, at: datetime) -> Clause:
    """A bound as ids have it: to the millisecond."""
    told = min(max(at, _FIRST), _LAST)
    return {bound: int(told.timestamp() * 1000), "format": "epoch_millis"}


def _kept(rules: Sequence[KeepRule], now: datetime) -> Clause:
    if len(rules) > _MOST_RULES:
        return _since(now - timedelta(days=max(one.days for one in rules)))
    made: list[Clause] = []
    earlier: list[Clause] = []
    for rule in rules:
        about: list[Clause] = []
        if rule.levels:
            spans = [
                {"range": {"event.severity": {"gte": LEVELS[name], "lte": LEVELS[name] + 3}}}
                for name in rule.levels
            ]
            about.append({"bool": {"should": spans, "minimum_should_match": 1}})
        if rule.source is not None:
            about.append(_of_source(rule.source))
        fresh = [*about, _since(now - timedelta(days=rule.days))]
        made.append({"bool": {"filter": fresh, "must_not": list(earlier)}})
        if about:
            earlier.append({"bool": {"filter": about}})
    return {"bool": {"should": made, "minimum_should_match": 1}}


def page_of(query: Clause, view: str, *, size: int, before_id: str | None) -> Mapping[str, Any]:
    """A search in a view for the ids of so many lines, the latest first, from after one on."""
    # By the id: it has the line's own time in front, and is the order of pages from here.
    after = {} if before_id is None else {"search_after": [before_id]}
    return {
        "pit": {"id": view},
        "query": query,
        "size": size,
        "sort": [{"event.id": {"order": "desc", "unmapped_type": "keyword"}}],
        "track_total_hits": False,
        "_source": False,
        **after,
    }


def ids_in(answer: Mapping[str, Any]) -> list[str]:
    """The ids of an answer to :func:`page_of`.

    Raises:
        KeyError, TypeError, IndexError: It is none.
    """
    return [str(one["sort"][0]) for one in answer.get("hits", {}).get("hits", ())]


def counts_of(query: Clause, step_seconds: int) -> Mapping[str, Any]:
    """A search that counts by steps of time and severity, and by source."""
    severities = {"terms": {"field": "event.severity", "size": 24}}
    histogram = {
        "field": "@timestamp",
        "fixed_interval": f"{step_seconds}s",
        "min_doc_count": 1,
    }
    sources = {"field": "service.name", "missing": "", "size": _MOST_SOURCES}
    return {
        "size": 0,
        "query": query,
        "track_total_hits": False,
        "aggs": {
            "steps": {"date_histogram": histogram, "aggs": {"severities": severities}},
            "sources": {"terms": sources},
        },
    }


def add_counts(counts: Counts, answer: Mapping[str, Any], step_seconds: int) -> None:
    """Add what an answer to :func:`counts_of` has counted.

    Raises:
        KeyError, TypeError, ValueError: It is none.
    """
    told = answer["aggregations"]
    for step in told["steps"]["buckets"]:
        number = int(step["key"]) // 1000 // step_seconds
        for one in step["severities"]["buckets"]:
            counts.add_step(number, int(one["key"]), int(one["doc_count"]))
    for one in told["sources"]["buckets"]:
        counts.add_source(str(one["key"]), int(one["doc_count"]))
