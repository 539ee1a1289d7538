"""Values and lists of them as they go over the wire."""

from dataclasses import dataclass

import pytest
from pydantic import BaseModel, Field, ValidationError

from backend.core.ids import uuid7
from backend.http.pagination import (
    NamedSlice,
    Page,
    Slice,
    decode_cursor,
    decode_named_cursor,
    page_of,
)
from backend.http.schemas import view


@dataclass(frozen=True, slots=True)
class Leaf:
    colour: str


@dataclass(frozen=True, slots=True)
class Branch:
    id: str
    name: str
    leaves: tuple[Leaf, ...] = ()


class LeafOut(BaseModel):
    colour: str


class BranchOut(BaseModel):
    id: str
    called: str = Field(validation_alias="name")
    leaves: list[LeafOut]


class SecretBranchOut(BranchOut):
    secret: str


class TestView:
    def test_reads_attributes_those_of_what_is_nested_too(self) -> None:
        shown = view(BranchOut, Branch("1", "oak", (Leaf("red"),)))
        assert shown.model_dump() == {"id": "1", "called": "oak", "leaves": [{"colour": "red"}]}

    def test_takes_what_the_value_has_not_or_not_so(self) -> None:
        shown = view(SecretBranchOut, Branch("1", "oak"), secret="s", leaves=[Leaf("blue")])
        assert (shown.secret, shown.called, shown.leaves) == ("s", "oak", [LeafOut(colour="blue")])

    def test_refuses_a_value_without_a_field(self) -> None:
        with pytest.raises(ValidationError, match="secret"):
            view(SecretBranchOut, Branch("1", "oak"))


class TestPageOf:
    def test_ends_where_no_row_is_left(self) -> None:
        page = page_of(BranchOut, [Branch(uuid7(), "oak")], Slice(1, None))
        assert (len(page.items), page.next_cursor) == (1, None)
        assert isinstance(page, Page)

    def test_goes_on_after_the_last_row_that_it_shows(self) -> None:
        rows = [Branch(uuid7(), name) for name in ("oak", "elm", "yew")]
        page = page_of(BranchOut, rows, Slice(2, None))
        assert [one.called for one in page.items] == ["oak", "elm"]
        assert page.next_cursor is not None
        assert decode_cursor(page.next_cursor) == rows[1].id
        named = page_of(BranchOut, rows, NamedSlice(2, None))
        assert named.next_cursor is not None
        assert decode_named_cursor(named.next_cursor) == "elm"

    def test_is_called_after_what_it_is_a_page_of(self) -> None:
        assert Page[BranchOut].__name__ == "BranchPage"
