"""What messages have in common, and what it costs to find out."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.core.clock import perf_counter
from backend.managers.logging._patterns import find_patterns, pattern_of
from backend.managers.logging._search import Said

NOON = datetime(2026, 11, 28, 12, tzinfo=UTC)


def line(number, message, *, severity=9, source="shop"):
    at, size = NOON - timedelta(minutes=number), len(message.encode())
    return Said(str(number), at, severity, source, message, size)


class TestPatternOf:
    @pytest.mark.parametrize(
        ("message", "pattern"),
        [
            ("order 4711 of customer C-000123", "order <n> of customer C-<n>"),
            ("took 12.5 ms, 3 tries", "took <n> ms, <n> tries"),
            ("job 01a22107-3380-766c-8735-8187d69162dc is dead", "job <id> is dead"),
            ("trace 4bf92f3577b34da6", "trace <id>"),
            ("mail to ada.l+x@shop.example.org bounced", "mail to <address> bounced"),
            ("10.0.0.7:8080 refused 192.168.1.1", "<ip> refused <ip>"),
            ("since 2026-11-28T07:45:56.123+01:00", "since <time>"),
            ("at 07:45:56 and 2026-11-28", "at <time> and <time>"),
            ('cannot read "a b.txt" at all', 'cannot read "<text>" at all'),
            ("  two\n lines ", "two lines"),
            ("accede to the facade", "accede to the facade"),
            ("", ""),
        ],
    )
    def test_leaves_out_what_differs(self, message, pattern):
        assert pattern_of(message) == pattern

    @given(st.text(max_size=600), st.integers(0, 10**9), st.integers(0, 10**9))
    def test_is_the_same_whatever_the_number(self, text, one, other):
        assert pattern_of(f"{one} {text}") == pattern_of(f"{other} {text}") or len(text) > 480

    @pytest.mark.parametrize(
        "hostile",
        ["a" * 10**6, "1.2" * 10**5, '"' * 10**5, "a@" * 10**5, "a-" * 10**5, "0:" * 10**5],
    )
    def test_takes_no_longer_for_what_was_made_to(self, hostile):
        """Against as many characters of prose, at its best of some: no limit in seconds."""

        def least(message):
            took = []
            for _ in range(5):
                began = perf_counter()
                for _ in range(20):
                    pattern_of(message)
                took.append(perf_counter() - began)
            return min(took)

        assert least(hostile) < 30 * least("the order of a customer was taken, " * 20)


class TestFindPatterns:
    def found(self, lines, before=(), **more):
        given = {"complete": True, "limit": 10, "only_new": False, **more}
        return find_patterns(lines, before, **given)

    def test_counts_alike_lines_by_level_and_source(self):
        made = self.found(
            [
                line(1, "paid 3", severity=17),
                line(2, "paid 5", source="till"),
                line(3, "paid 7"),
                line(4, "shipped"),
            ]
        )
        paid, shipped = made.items
        assert (paid.pattern, paid.count, paid.last_id, paid.example) == (
            "paid <n>",
            3,
            "1",
            "paid 3",
        )
        assert [(one.value, one.count) for one in paid.levels] == [("error", 1), ("info", 2)]
        assert [(one.value, one.count) for one in paid.sources] == [("shop", 2), ("till", 1)]
        assert (paid.first_at, paid.last_at) == (
            NOON - timedelta(minutes=3),
            NOON - timedelta(minutes=1),
        )
        assert shipped.count == 1
        assert (made.patterns, made.looked_at) == (2, 4)
        assert [(one.source, one.count, one.size_bytes) for one in made.talkers] == [
            ("shop", 3, 19), ("till", 1, 6),
        ]  # fmt: skip

    def test_is_new_what_nothing_before_was_like(self):
        lines, before = [line(1, "paid 3"), line(2, "lost 9")], [line(90, "paid 1"), line(95, "x")]
        made = self.found(lines, before)
        assert {one.pattern: one.is_new for one in made.items} == {
            "paid <n>": False,
            "lost <n>": True,
        }
        assert (made.compared, made.compared_since) == (2, NOON - timedelta(minutes=95))
        only = self.found(lines, before, only_new=True)
        assert ([one.pattern for one in only.items], only.patterns, only.looked_at) == (
            ["lost <n>"],
            1,
            2,
        )

    def test_cannot_say_what_is_new_beside_nothing(self):
        made = self.found([line(1, "paid 3")])
        assert [one.is_new for one in made.items] == [None]
        assert (made.compared, made.compared_since) == (0, None)
        assert not self.found([line(1, "paid 3")], only_new=True).items

    def test_shows_those_of_most_lines_and_says_how_many_there_are(self):
        made = self.found([line(n, f"{'abc'[n % 3]} said") for n in range(8)], limit=2)
        assert ([one.count for one in made.items], made.patterns) == ([3, 3], 3)
