"""Passwords: what was hashed is recognised, and nobody else's."""

import pytest

from backend.managers.identity import verify_password
from backend.managers.identity._password import DUMMY_HASH
from backend.managers.tenant import hash_password

HASH = hash_password("correct horse battery")


class TestVerifyPassword:
    def test_knows_the_password_that_was_hashed(self):
        assert verify_password(HASH, "correct horse battery")

    @pytest.mark.parametrize("password", ["", "correct horse", "correct horse battery "])
    def test_refuses_another(self, password):
        assert not verify_password(HASH, password)

    def test_refuses_whoever_is_unknown(self):
        assert not verify_password(None, "correct horse battery")

    def test_an_unknown_person_costs_what_a_known_one_does(self):
        assert DUMMY_HASH.rsplit("$", 2)[0] == HASH.rsplit("$", 2)[0]
