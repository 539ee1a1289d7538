"""Which parts of traces are worth keeping."""

import pytest

from backend.managers.tracing._sampling import Sampler, is_chosen
from backend.managers.tracing._spans import ERROR, Span, local_roots

CHOSEN = "4bf92f3577b34da6a300000000000001"
LEFT_OUT = "4bf92f3577b34da6a3ffffffffffffff"


def span(name="node.execute", *, ms=10, status=0, span_id="1", parent="", trace_id=LEFT_OUT):
    return Span(trace_id, span_id, parent, "n8n", name, 1, 0, ms * 1_000_000, status)


def ask(sampler, *spans, share=0.0, tenant="t-1", forced=False):
    return sampler.reason_for(tenant, spans, share=share, forced=forced)


@pytest.fixture
def sampler():
    return Sampler(slow_seconds=1.0)


class TestReasonFor:
    def test_what_is_new_is_kept_once_for_each_tenant(self, sampler):
        assert ask(sampler, span()) == "first_seen"
        assert ask(sampler, span()) is None
        assert ask(sampler, span(), tenant="t-2") == "first_seen"

    def test_the_same_operations_below_another_one_are_new(self, sampler):
        nested = span("a"), span("b", span_id="2", parent="1"), span("c", span_id="3", parent="2")
        flat = span("a"), span("b", span_id="2", parent="1"), span("c", span_id="3", parent="1")
        assert ask(sampler, *nested) == "first_seen"
        assert ask(sampler, *nested) is None
        assert ask(sampler, *flat) == "first_seen"

    @pytest.mark.parametrize(
        ("changes", "more", "reason"),
        [
            ({"status": ERROR}, {}, "error"),
            ({}, {"forced": True}, "sampled"),
            ({"ms": 1000}, {}, "slow"),
            ({"trace_id": CHOSEN}, {"share": 0.01}, "share"),
            ({}, {"share": 0.99}, None),
            ({"ms": 999}, {}, None),
        ],
    )
    def test_and_what_is_known_for_a_reason(self, sampler, changes, more, reason):
        ask(sampler, span())
        assert ask(sampler, span(**changes), **more) == reason

    def test_slow_is_what_is_slow_for_its_operation(self, sampler):
        for _ in range(30):
            ask(sampler, span("fast", ms=10))
            ask(sampler, span("slow", ms=500))
        assert ask(sampler, span("fast", ms=100)) == "slow"
        assert ask(sampler, span("slow", ms=500)) is None
        assert ask(sampler, span("fast", ms=10)) is None

    def test_an_operation_that_becomes_slower_is_so_no_longer(self, sampler):
        for _ in range(30):
            ask(sampler, span(ms=10))
        found = [ask(sampler, span(ms=100)) for _ in range(600)]
        assert found[0] == "slow"
        assert found[-1] is None


def test_the_share_is_the_same_in_every_process():
    ids = [f"{'a' * 18}{n * 2**56 // 1000:014x}" for n in range(1000)]
    assert sum(is_chosen(one, 0.25) for one in ids) == 250
    assert not is_chosen(CHOSEN, 0.0)
    assert is_chosen(LEFT_OUT, 1.0)


def test_a_local_root_is_what_no_other_of_them_called():
    spans = [span(span_id="1", parent="9"), span(span_id="2", parent="1"), span(span_id="3")]
    assert [one.span_id for one in local_roots(spans)] == ["1", "3"]
