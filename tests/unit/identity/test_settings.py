"""The issuer has to be an origin that browsers reach safely."""

import pytest
from pydantic import ValidationError

from backend.managers.identity import IdentitySettings


class TestIssuer:
    @pytest.mark.parametrize(
        "issuer",
        [
            "http://mail.example.org",
            "ftp://localhost",
            "localhost:8400",
            "https://mail.example.org/",
            "https://mail.example.org/path",
            "https://mail.example.org?x=1",
            "https://me@mail.example.org",
        ],
    )
    def test_refuses_what_is_no_safe_origin(self, issuer):
        with pytest.raises(ValidationError):
            IdentitySettings(issuer=issuer)

    def test_cookies_are_secure_where_the_issuer_is(self):
        assert IdentitySettings(issuer="https://mail.example.org").secure
        assert not IdentitySettings(issuer="http://127.0.0.1:8400").secure


class TestLongestTokenSeconds:
    def test_is_that_of_whatever_lives_longest(self):
        assert (
            IdentitySettings(session_seconds=300, client_token_seconds=3600).longest_token_seconds
            == 3600
        )
        assert IdentitySettings(session_seconds=7200).longest_token_seconds == 7200
