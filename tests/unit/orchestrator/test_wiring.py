"""What a task takes from those before it: places in results, what is asked of them, elements."""

from typing import Any

import hypothesis
import pytest
from hypothesis import strategies as st

from backend.managers.orchestrator._wiring import (
    Check,
    Each,
    WiringError,
    elements,
    holds,
    references,
    refuse_odd,
    resolve,
    wiring_of,
)

RESULTS: dict[str, Any] = {
    "fetch": {"orders": [{"id": 7, "paid": True}, {"id": 8, "paid": False}], "total": 2.5},
    "say": "hello world",
    "nothing": None,
}
PLAIN = st.text().filter(lambda name: name[:1] != "$")


class TestResolve:
    @pytest.mark.parametrize(
        ("said", "made"),
        [
            ({"$result": "fetch", "path": "orders.0.id"}, 7),
            ({"$result": "fetch", "path": "orders.1"}, {"id": 8, "paid": False}),
            ({"$result": "say"}, "hello world"),
            ({"$result": "nothing"}, None),
            ({"a": [{"$result": "fetch", "path": "total"}, "b"]}, {"a": [2.5, "b"]}),
            # What only looks like one is what it is.
            ({"$result": 7}, {"$result": 7}),
            ({"$result": "say", "other": 1}, {"$result": "say", "other": 1}),
            ({"$item": 3}, {"$item": 3}),
            ("{{ $result }}", "{{ $result }}"),
        ],
    )
    def test_puts_it_in_its_place(self, said, made):
        assert resolve(said, RESULTS) == made

    def test_of_an_element(self):
        args = {"url": {"$item": "url"}, "all": {"$item": ""}, "of": {"$result": "say"}}
        item = {"url": "https://a.example"}
        made = {"url": "https://a.example", "all": item, "of": "hello world"}
        assert resolve(args, RESULTS, item) == made

    @pytest.mark.parametrize(
        ("said", "why"),
        [
            (
                {"$result": "fetch", "path": "orders.2"},
                "There is no orders.2 in the result of fetch",
            ),
            ({"$result": "fetch", "path": "orders.-1"}, "no orders.-1"),
            ({"$result": "fetch", "path": "orders.²"}, "no orders.²"),
            ({"$result": "fetch", "path": "total.a"}, "no total.a"),
            ({"$result": "other"}, "other has no result"),
            ({"$item": ""}, "no element"),
        ],
    )
    def test_says_what_is_not_there(self, said, why):
        with pytest.raises(WiringError, match=why):
            resolve(said, RESULTS)

    @hypothesis.given(
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(),
            lambda inner: (
                st.lists(inner) | st.dictionaries(st.text().filter(lambda k: k[:1] != "$"), inner)
            ),
        )
    )
    def test_leaves_what_refers_to_nothing(self, args):
        assert list(references(args)) == []
        assert resolve(args, {}) == args


class TestHolds:
    @pytest.mark.parametrize(
        ("path", "test", "value", "does"),
        [
            ("total", "above", 2, True),
            ("total", "above", 2.5, False),
            ("total", "below", 3, True),
            ("total", "equals", 2.5, True),
            ("orders.0.paid", "equals", True, True),
            ("orders.0.paid", "equals", 1, False),
            ("orders.0.paid", "differs", 1, True),
            ("orders", "contains", {"id": 8, "paid": False}, True),
            ("orders", "contains", 8, False),
            ("orders.0", "exists", None, True),
            ("orders.9", "exists", None, False),
            ("orders.9", "absent", None, True),
            ("orders.0", "absent", None, False),
            ("orders.9", "differs", 1, True),
            ("orders.9", "equals", None, False),
            ("orders.9", "above", 1, False),
        ],
    )
    def test_what_is_asked(self, path, test, value, does):
        assert holds(Check("fetch", test, path, value), RESULTS) is does

    def test_of_a_text(self):
        assert holds(Check("say", "contains", "", "lo w"), RESULTS)

    @pytest.mark.parametrize(("test", "path"), [("above", "orders"), ("contains", "total")])
    def test_says_what_cannot_be_asked(self, test, path):
        with pytest.raises(WiringError, match=f"{path} of fetch"):
            holds(Check("fetch", test, path, 1), RESULTS)

    def test_takes_a_number_to_compare(self):
        assert refuse_odd(Check("a", "above", "", "3")) == "above takes a number"
        assert refuse_odd(Check("a", "below", "", True)) == "below takes a number"
        assert refuse_odd(Check("a", "equals", "", "3")) is None


def test_elements_are_those_of_a_list():
    assert elements(Each("fetch", "orders"), RESULTS) == RESULTS["fetch"]["orders"]
    with pytest.raises(WiringError, match="total of fetch is no list"):
        elements(Each("fetch", "total"), RESULTS)


def test_who_takes_nothing_keeps_nothing():
    assert wiring_of((), None, {"a": 1}) is None
    assert wiring_of((), None, {"a": {"$result": "b"}}) == {}
    assert wiring_of((), {"task": "b"}, {}) == {"foreach": {"task": "b"}}
