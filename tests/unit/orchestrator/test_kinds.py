"""The vocabulary: outcomes, kinds, errors."""

import pytest
from pydantic import ValidationError

from backend.managers.orchestrator import JobKind, OrchestratorSettings, Outcome
from backend.managers.orchestrator.kinds import MAX_ERROR_CHARS, describe, storable


class TestOutcome:
    @pytest.mark.parametrize("result", [None, 1, "x", [1], {"a": {"b": [None, True, 1.5]}}])
    def test_accepts_plain_json(self, result):
        assert Outcome.done(result).result == result

    @pytest.mark.parametrize("result", [object(), {1, 2}, b"x", float("nan")])
    def test_refuses_what_is_not_json(self, result):
        with pytest.raises((TypeError, ValueError)):
            Outcome.done(result)


class TestJobKind:
    @pytest.mark.parametrize(("name", "size"), [("", 1), ("k", 0)])
    def test_refuses_a_kind_that_cannot_run(self, name, size):
        async def run(batch):
            raise AssertionError

        with pytest.raises(ValueError, match="job kind"):
            JobKind(name, run, batch_size=size)


class TestStorable:
    def test_cuts_and_cleans(self):
        assert len(storable("x" * 10_000)) == MAX_ERROR_CHARS
        assert storable("a\x00b\ud800") == "a\ufffdb?"


class TestDescribe:
    def test_names_the_type_even_without_a_message(self):
        assert describe(ValueError("bad")) == "ValueError: bad"
        assert describe(TimeoutError()) == "TimeoutError"


class TestSettings:
    def test_refuses_what_breaks_recovery(self):
        with pytest.raises(ValidationError):
            OrchestratorSettings(concurrency=0)
        with pytest.raises(ValidationError):
            OrchestratorSettings(ttl_seconds=0.1)
        with pytest.raises(ValidationError, match="beat"):
            OrchestratorSettings(ttl_seconds=2, beat_seconds=2)
