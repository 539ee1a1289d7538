"""Questions for words, as each database is asked them."""

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import sqlite

from backend.core.full_text import NoWordsError, Words, found_by_words
from backend.core.ids import uuid7


@pytest.mark.parametrize(
    ("text", "sqlite", "postgresql"),
    [
        ("Payment failed", '("payment" AND "failed")', "('payment') & ('failed')"),
        ('"payment failed"', '("payment failed")', "('payment' <-> 'failed')"),
        ("payment.failed", '("payment failed")', "('payment' <-> 'failed')"),
        ("pay* -retry", '("pay" *) NOT "retry"', "('pay':*) & !(('retry'))"),
        ("Größe_1", '("größe 1")', "('größe' <-> '1')"),
        # Nothing of either language gets through.
        ("a' | b:* & !c", '("a" AND "b" * AND "c")', "('a') & ('b':*) & ('c')"),
        ("x NEAR(y) message:z", '("x" AND "near y" AND "message z")',
         "('x') & ('near' <-> 'y') & ('message' <-> 'z')"),
    ],
)  # fmt: skip
def test_asks_for_letters_and_digits_alone(text: str, sqlite: str, postgresql: str) -> None:
    words = Words.read(text)
    assert words.asked("sqlite") == sqlite
    assert words.asked("postgresql") == postgresql


@pytest.mark.parametrize("text", ["", "  ", "-only -not", "!?*", "a " * 17, "a." * 65])
def test_refuses_what_has_no_words_or_too_many(text: str) -> None:
    with pytest.raises(NoWordsError):
        Words.read(text)


def test_leaves_an_index_to_the_planner() -> None:
    """SQLite uses none for what is compared with 1, as conditions without booleans are."""
    rows = sa.table("rows", sa.column("message"), sa.column("id"), sa.column("seq"))
    wanted = found_by_words(rows.c.message, rows.c.id, rows.c.seq, uuid7(), '"word"')
    said = str(sa.select(rows).where(rows.c.id > 1, wanted).compile(dialect=sqlite.dialect()))
    assert said.endswith("))")
    assert "= 1" not in said
