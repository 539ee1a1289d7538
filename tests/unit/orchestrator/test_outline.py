"""A graph drawn in few boxes: whose they are, what they wait for, and how many at most."""

from collections import Counter
from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from backend.managers.orchestrator._outline import MOST, Part, _parts, outline


class Row(NamedTuple):
    id: str
    key: str
    kind: str = "http.request"
    state: str = "succeeded"
    part_of: str | None = None


def part(name: str, *before: str, kind: str = "http.request", state: str = "ready") -> Part:
    return Part(name, name, kind, state, before)


def told(parts: list[Part], most: int = MOST) -> list[tuple[str, int, list[str]]]:
    boxes = outline(parts, most)
    return [(one.name, one.size, [boxes[at].name for at in one.after]) for one in boxes]


class TestOutline:
    def test_each_has_its_own_box_if_there_is_room(self) -> None:
        parts = [part("c", "a", "b"), part("a"), part("b", "a")]
        assert told(parts) == [("a", 1, []), ("b", 1, ["a"]), ("c", 1, ["a", "b"])]

    def test_those_that_are_alike_share_one(self) -> None:
        wide = [part(f"page-{n}", "a", state="dead" if n else "ready") for n in range(6)]
        others = [part(f"mail-{n}", "a", kind="n8n.workflow") for n in range(2)]
        last = part("end", *(one.id for one in [*wide, *others]))
        parts = [part("a"), *wide, *others, last]
        assert told(parts, most=5) == [
            ("a", 1, []),
            ("page-\N{HORIZONTAL ELLIPSIS}", 6, ["a"]),
            ("mail-\N{HORIZONTAL ELLIPSIS}", 2, ["a"]),
            ("end", 1, ["page-\N{HORIZONTAL ELLIPSIS}", "mail-\N{HORIZONTAL ELLIPSIS}"]),
        ]
        assert outline(parts, 5)[1].by_state == {"ready": 1, "dead": 5}

    def test_a_long_row_is_cut_into_as_many_stretches(self) -> None:
        row = [part(f"s{n:04}", *([f"s{n - 1:04}"] if n else [])) for n in range(1000)]
        boxes = outline(row)
        assert len(boxes) == MOST
        assert [list(one.after) for one in boxes] == [[], *([n] for n in range(MOST - 1))]

    @given(
        st.lists(st.tuples(st.sampled_from("xyz"), st.sets(st.integers(0, 40), max_size=4))),
        st.integers(1, 12),
    )
    def test_holds_all_of_them_once_and_waits_for_earlier_boxes_only(
        self, drawn: list[tuple[str, set[int]]], most: int
    ) -> None:
        parts = [
            part(str(n), *(str(each) for each in before if each < n), kind=kind)
            for n, (kind, before) in enumerate(drawn)
        ]
        boxes = outline(parts, most)
        assert len(boxes) <= most
        assert sum(one.size for one in boxes) == len(parts)
        assert sum((Counter(one.by_state) for one in boxes), Counter()).total() == len(parts)
        assert all(at < place for place, one in enumerate(boxes) for at in one.after)


class TestParts:
    def test_a_task_stands_after_its_elements_and_these_after_whom_it_waits_for(self) -> None:
        rows = [Row("1", "list"), Row("2", "each"), Row("3", "each[0]", part_of="2")]
        assert [one.before for one in _parts(rows, {"2": ["1", "3"]})] == [[], ["3"], ["1"]]

    def test_what_was_handed_in_stands_after_who_did(self) -> None:
        rows = [Row("1", "grow"), Row("2", "after"), Row("3", "x", part_of="1")]
        found = {one.name: list(one.before) for one in _parts(rows, {"2": ["1", "3"]})}
        assert found == {"grow": [], "after": ["1", "3"], "x": ["1"]}
