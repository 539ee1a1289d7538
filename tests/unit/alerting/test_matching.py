"""Matchers are read as Alertmanager writes them, and never take long."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.managers.alerting._matching import (
    OPERATORS,
    Matcher,
    fingerprint,
    match_all,
    read_matchers,
)
from backend.managers.alerting.errors import MatcherInvalidError

LABELS = {"severity": "critical", "team": "db", "path": 'a"b\\c', "http.route": "/x"}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", True),
        ("{}", True),
        ("severity=critical", True),
        ('{severity="critical",team=~"db|web"}', True),
        (' severity = "critical" , team !~ "web.*", ', True),
        ("team=~d", False),  # all of the value, as an anchored expression has it
        ("team=~d.", True),
        ("team!=db", False),
        ("gone=", True),
        ('gone!=""', False),
        ("gone=~.*", True),
        ("gone!~x", True),
        (r'path="a\"b\\c"', True),
        ('http.route="/x"', True),
        ('severity="critical,team=x"', False),
    ],
)
def test_labels_are_held_against_what_is_written(text: str, found: bool) -> None:
    assert match_all(read_matchers(text), LABELS) is found


@pytest.mark.parametrize(
    "text",
    [
        "severity", "=x", "1a=x", "a==x", 'a="x', 'a="x"b="y"', "a=~(", "a=~(?=x)", 'a=x"y"',
        "{a=x", "a=x}", "a" * 101 + "=x", "a=" + "x" * 501, "a=~" + "(a{1000}){1000}", "a=x,,b=y",
    ],
)  # fmt: skip
def test_what_asks_nothing_is_refused(text: str) -> None:
    with pytest.raises(MatcherInvalidError):
        read_matchers(text)


def test_an_expression_that_would_go_back_and_forth_does_not() -> None:
    (matcher,) = read_matchers('a=~"(x+x+)+y"')
    assert not matcher.matches({"a": "x" * 500})


@given(
    st.lists(
        st.tuples(st.from_regex(r"[a-z_][a-z0-9_]{0,8}", fullmatch=True), st.text(max_size=20))
    )
)
def test_what_is_written_is_read_again(pairs: list[tuple[str, str]]) -> None:
    for operator in OPERATORS[:2]:
        written = [Matcher(name, operator, value) for name, value in pairs]
        assert list(read_matchers(", ".join(map(str, written)))) == written


def test_an_alert_is_one_whatever_the_order_of_its_labels() -> None:
    assert fingerprint("r", {"a": "1", "b": "2"}) == fingerprint("r", {"b": "2", "a": "1"})
    others = [("r", {"a": "1"}), ("r", {"a": "1", "b": "3"}), ("s", {"a": "1", "b": "2"})]
    assert fingerprint("r", {"a": "1", "b": "2"}) not in {fingerprint(*one) for one in others}
    assert fingerprint("r", {"a": "b=c"}) != fingerprint("r", {"a=b": "c"})
