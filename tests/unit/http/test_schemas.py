"""What all request bodies have in common."""

from typing import Annotated, Any, Literal

import pytest
from pydantic import Field, ValidationError

from backend.http.schemas import Input


class Body(Input):
    """Asks for numbers in every place there is."""

    number: Annotated[int, Field(ge=1)] | None = None
    numbers: list[int] = Field(default_factory=list)
    named: dict[Literal["a", "b"], Annotated[int, Field(ge=1)] | None] | None = None
    called: int = Field(1, alias="from")
    ratio: float = 0.5
    free: dict[str, Any] = Field(default_factory=dict)


@pytest.mark.parametrize("written", ["7", "7.0", "7e0", "0.7e1"])
def test_a_whole_number_is_one_however_it_is_written(written: str) -> None:
    body = Body.model_validate_json(
        f'{{"number": {written}, "numbers": [{written}], "from": {written},'
        f' "named": {{"a": {written}, "b": null}}, "ratio": {written}, "free": {{"x": {written}}}}}'
    )
    assert (body.number, body.numbers, body.called) == (7, [7], 7)
    assert body.named == {"a": 7, "b": None}
    assert {type(one) for one in (body.number, *body.numbers, body.called)} == {int}
    # What nobody asked to be whole is kept as it was written.
    assert type(body.ratio) is float
    assert type(body.free["x"]) is (int if written == "7" else float)


@pytest.mark.parametrize("field", ["number", "from"])
@pytest.mark.parametrize("written", ["7.5", '"7"', "true", "1e999", "NaN", "[7]"])
def test_nothing_else_is(field: str, written: str) -> None:
    with pytest.raises(ValidationError):
        Body.model_validate_json(f'{{"{field}": {written}}}')


def test_the_document_keeps_the_bounds() -> None:
    shown = Body.model_json_schema()["properties"]["named"]["anyOf"][0]["additionalProperties"]
    assert shown["anyOf"][0] == {"minimum": 1, "type": "integer"}
