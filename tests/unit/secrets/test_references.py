"""References alone: what they are replaced by, and every way in which they are refused."""

from collections.abc import Collection, Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.managers.secrets._references import resolve
from backend.managers.secrets._values import Value
from backend.managers.secrets.errors import ReferenceBrokenError, SecretTooLargeError


class Shelf:
    """Values by path, and what was asked for."""

    def __init__(self, **values: Value) -> None:
        self.values = values
        self.asked: list[set[str]] = []

    async def load(self, paths: Collection[str]) -> Mapping[str, Value]:
        self.asked.append(set(paths))
        return {path: self.values[path] for path in paths if path in self.values}

    async def at(self, path: str) -> Value:
        return await resolve(path, self.values[path], self.load)


def _named(path: str, key: str) -> str:
    return f"${{secret:{path}#{key}}}"


class TestResolve:
    async def test_asks_for_nothing_where_there_is_no_reference(self) -> None:
        shelf = Shelf(a={"k": "$ {secret:b} ${secret:} ${secret:/b} ${other:b}"})
        assert await shelf.at("a") == shelf.values["a"]
        assert shelf.asked == []

    async def test_asks_once_for_each_depth_and_never_twice_for_a_path(self) -> None:
        shelf = Shelf(
            a={"one": "${secret:b#k}${secret:c}", "two": "${secret:b#k}"},
            b={"k": "<${secret:c}>"},
            c="c",
        )
        assert await shelf.at("a") == {"one": "<c>c", "two": "<c>"}
        assert shelf.asked == [{"b", "c"}]

    async def test_may_lead_to_another_key_of_the_same_secret(self) -> None:
        shelf = Shelf(a={"url": "x://${secret:a#host}", "host": "h"})
        assert await shelf.at("a") == {"url": "x://h", "host": "h"}
        assert shelf.asked == []

    async def test_leaves_what_is_escaped_and_what_a_value_brings(self) -> None:
        """What is put in is not read again: a value cannot make references by its parts."""
        shelf = Shelf(a="$${secret:b}|${secret:b}|$$${secret:b}", b="${", c="x")
        assert await shelf.at("a") == "${secret:b}|${|$${secret:b}"

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("${secret:none}", "none leads to nothing"),
            ("${secret:b}", "b leads to nothing"),
            ("${secret:b#none}", "b#none leads to nothing"),
            ("${secret:c#k}", "c#k leads to nothing"),
            ("${secret:a}", "A circle: a -> a"),
        ],
    )
    async def test_names_the_way_and_no_value(self, text: str, said: str) -> None:
        shelf = Shelf(a=text, b={"k": "canary"}, c="canary")
        with pytest.raises(ReferenceBrokenError) as refused:
            await shelf.at("a")
        assert said in refused.value.detail
        assert "canary" not in refused.value.detail

    async def test_counts_what_all_keys_come_to(self) -> None:
        """Each key is small enough; together they are not."""
        shelf = Shelf(a={f"k{n}": "${secret:b}" for n in range(100)}, b="x" * 4000)
        with pytest.raises(SecretTooLargeError):
            await shelf.at("a")

    @pytest.mark.parametrize("order", [1, -1], ids=["from its beginning", "from its end"])
    async def test_is_as_deep_as_its_longest_way(self, order: int) -> None:
        """All nodes are named at the top, so that each is near and yet one leads to the next."""
        for length, is_refused in ((8, False), (9, True), (3000, True)):
            nodes = [(f"s{n // 100}", f"k{n}") for n in range(length)]
            shelf = Shelf()
            for (path, key), after in zip(nodes, [*nodes[1:], None], strict=True):
                text = "end" if after is None else _named(*after)
                keys = shelf.values.setdefault(path, {})
                assert isinstance(keys, dict)
                keys[key] = text
            shelf.values["top"] = "".join(_named(*one) for one in nodes[::order])
            if is_refused:
                with pytest.raises(ReferenceBrokenError, match="more than 8 deep"):
                    await shelf.at("top")
            else:
                assert await shelf.at("top") == "end" * length

    @given(st.lists(st.integers(0, 11), min_size=12, max_size=12))
    async def test_ends_whatever_leads_where(self, leads: list[int]) -> None:
        shelf = Shelf(**{f"n{at}": f"({{}})${{secret:n{to}}}" for at, to in enumerate(leads)})
        shelf.values["n11"] = "end"
        way, at = [0], 0
        while at != 11 and leads[at] not in way:
            at = leads[at]
            way.append(at)
        if at == 11 and len(way) <= 9:
            assert await shelf.at("n0") == "({})" * (len(way) - 1) + "end"
        else:
            with pytest.raises(ReferenceBrokenError):
                await shelf.at("n0")
