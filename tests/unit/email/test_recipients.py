"""Who gets a message: each person once, in the kind that names them first."""

import pytest

from backend.kit.mime import InvalidAddressError, Mailbox, parse_addresses
from backend.managers.email._recipients import dedupe
from backend.managers.email.errors import TooManyRecipientsError


class TestDedupe:
    def test_first_kind_wins(self) -> None:
        a, b, c = parse_addresses(["a@example.test", "b@example.test", "c@example.test"])
        found = dedupe([a, a, b], [b, c], [c, a])
        assert found == ((a, b), (c,), ())

    def test_ignores_case_and_name(self) -> None:
        first, second = parse_addresses(["Ada <Ada@example.test>", "ada@EXAMPLE.test"])
        assert dedupe([first], [second]) == ((first,), (), ())

    def test_refuses_nobody(self) -> None:
        with pytest.raises(InvalidAddressError):
            dedupe([])

    def test_counts_distinct_people(self) -> None:
        people = [Mailbox("", f"p{n}@example.test") for n in range(5)]
        assert len(dedupe(people, people, max_recipients=5).to) == 5
        with pytest.raises(TooManyRecipientsError) as caught:
            dedupe(people, [Mailbox("", "x@example.test")], max_recipients=5)
        assert caught.value.extra == {"limit": 5}
