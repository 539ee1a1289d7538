"""Base64 of addresses: one text for one value."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.kit import base64url

ALPHABET = string.ascii_uppercase + string.ascii_lowercase + string.digits + "-_"


def value_of(text: str) -> bytes | None:
    try:
        return base64url.decode(text)
    except ValueError:
        return None


@given(st.binary(max_size=70))
def test_a_value_comes_back(value: bytes) -> None:
    text = base64url.encode(value)
    assert base64url.decode(text) == value
    assert set(text) <= set(ALPHABET)


@given(st.text(alphabet=ALPHABET, max_size=12))
def test_a_text_is_refused_or_the_one_of_its_value(text: str) -> None:
    value = value_of(text)
    assert value is None or base64url.encode(value) == text


@pytest.mark.parametrize("size", [1, 2])
def test_one_last_character_in_many_is_the_value(size: int) -> None:
    text = base64url.encode(b"\xff" * size)
    taken = [one for last in ALPHABET if (one := value_of(text[:-1] + last)) is not None]
    assert len(taken) == len(set(taken)) == 4**size


@pytest.mark.parametrize(
    "text", ["_w==", "_w=", "/w", "+w", "_ w", "_w\n", "_", "é", "_w_w_", "\ud800", "AB"]
)
def test_what_no_value_has(text: str) -> None:
    assert value_of(text) is None
