"""What is taken out of lines, and that no pattern and no line can make it slow."""

import time

import pytest

from backend.managers.logging import KINDS, LogSettingsInvalidError, Pattern
from backend.managers.logging._redaction import (
    USUAL,
    GrownError,
    Redaction,
    Room,
    check_patterns,
)

# Parted: whoever looks for keys in the tree is to find none.
ROOM = Room(1000)
_KEY = "PRIVATE" + " KEY"
FOUND = [
    ("credential", "user=ada password=hunter2 ok", "user=ada password=[credential] ok"),
    ("credential", '{"api_key": "a b c"}', '{"api_key": [credential]}'),
    ("bearer_token", "Authorization: Bearer abcdef123456", "Authorization: Bearer [bearer_token]"),
    ("jwt", "got eyJhbGciOi1.eyJzdWIiOi1.c2ln", "got [jwt]"),
    ("email_address", "to ada@example.test now", "to [email_address] now"),
    ("ip_address", "from 192.0.2.7:80", "from [ip_address]:80"),
    ("card_number", "paid 4111 1111 1111 1111.", "paid [card_number]."),
    ("private_key", f"-----BEGIN RSA {_KEY}-----\nMII\n-----END RSA {_KEY}-----", "[private_key]"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "text", "left"), FOUND)
def test_takes_out_what_it_is_told_to_and_nothing_else(kind: str, text: str, left: str) -> None:
    assert Redaction([kind], []).text(text, ROOM) == left
    assert Redaction([], []).text(text, ROOM) == text


def test_each_kind_is_tried() -> None:
    assert {kind for kind, _, _ in FOUND} == set(KINDS)


def test_reaches_names_and_texts_within_fields() -> None:
    fields = {"http": {"headers": [{"Authorization": "Basic x", "Accept": "*/*"}]}, "tries": 3}
    left = {"http": {"headers": [{"Authorization": "[credential]", "Accept": "*/*"}]}, "tries": 3}
    assert Redaction(USUAL, []).value(fields, ROOM) == left
    own = Redaction([], [Pattern("customer", r"\b(C)-\d{6}\b")])
    assert own.value(["C-123456", {"of": "C-1"}], ROOM) == ["[customer]", {"of": "C-1"}]


@pytest.mark.parametrize(
    "expression", ["(", r"(a)\1", "(?=a)b", "a{1,1000}{1,1000}", ".{0,400}z", "x*", "", "a" * 501]
)
def test_refuses_what_cannot_be_looked_for(expression: str) -> None:
    with pytest.raises(LogSettingsInvalidError) as refused:
        check_patterns([Pattern("ok", "a"), Pattern("bad", expression)])
    assert refused.value.place == ("patterns", 1, "expression")


def test_takes_no_longer_for_a_hostile_line() -> None:
    """A backtracking engine would not come back from these: it doubles with every letter."""
    hostile = Redaction(
        [], [Pattern("a", "(a+)+$"), Pattern("b", "(a|a)*b"), Pattern("c", "(.*)*c")]
    )
    began = time.process_time()
    assert hostile.text("a" * 30_000 + "!", ROOM) == "a" * 30_000 + "!"
    assert time.process_time() - began < 30


def test_what_is_found_in_nothing_breaks_no_character() -> None:
    between = Redaction([], [Pattern("x", r"\B"), Pattern("y", r"\b")])
    assert between.text("für Ärger 日本", ROOM) == "für Ärger 日本"
    assert Redaction([], [Pattern("x", "[äé]")]).text("äbé", ROOM) == "[x]b[x]"


def test_refuses_many_that_are_too_much_together() -> None:
    """Each character may cost a step of each: the day's lines would keep a processor for hours."""
    some = [Pattern(f"p{number}", ".{0,40}z") for number in range(9)]
    check_patterns(some[:2])
    with pytest.raises(LogSettingsInvalidError) as refused:
        check_patterns(some)
    assert refused.value.place == ("patterns", 2, "expression")


def test_knows_what_is_too_much_for_the_event_loop() -> None:
    assert not Redaction(USUAL, []).is_costly
    assert not Redaction(USUAL, [Pattern("customer", r"\bC-\d{6}\b")]).is_costly
    assert Redaction(["email_address"], []).is_costly
    assert Redaction([], [Pattern("a", ".{0,60}z")]).is_costly


def test_a_line_does_not_grow_by_what_replaces_one_another() -> None:
    chain = [
        Pattern(letter * 40, before) for before, letter in zip("abcdefgh", "bcdefghi", strict=True)
    ]
    check_patterns(chain)
    for grow in (Redaction([], chain).text, Redaction([], chain).value):
        with pytest.raises(GrownError):
            grow("a" * 2000, Room(2000))
    with pytest.raises(GrownError):
        Redaction([], chain[:1]).value({"in": ["a"] * 1000}, Room(5000))
    room = Room(1000)
    assert Redaction([], chain[:1]).text("xay", room) == f"x[{'b' * 40}]y"
    assert room.left == 4 * 1000 + 256 - 41
