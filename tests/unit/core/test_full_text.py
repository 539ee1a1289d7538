"""Questions for words, as each database is asked them."""

import pytest

from backend.core.full_text import NoWordsError, Words


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
