"""Settings: what is read, what is refused, what is never shown."""

from __future__ import annotations

import pytest

from dashboard import settings

SECRET = {"EMAIL_SENDER_CONSOLE__CLIENT_SECRET": "s3cret"}


class TestFromEnvironment:
    def test_needs_nothing_but_the_secret(self):
        found = settings.from_environment(SECRET, port=9001)
        assert found.token_url == "http://127.0.0.1:8400/oauth/token"
        assert found.metadata_url == "http://localhost:8400/.well-known/openid-configuration"
        assert found.redirect_uri == "http://localhost:9001/oauth2callback"
        assert found.client_id == "console"

    def test_names_the_missing_variable(self):
        with pytest.raises(settings.SettingsError, match="EMAIL_SENDER_CONSOLE__CLIENT_SECRET"):
            settings.from_environment({})

    @pytest.mark.parametrize("value", ["localhost:8400", "ftp://x", "http://", "http://x/?a=1"])
    def test_refuses_what_is_no_address(self, value):
        with pytest.raises(settings.SettingsError, match="API_URL"):
            settings.from_environment({**SECRET, "EMAIL_SENDER_CONSOLE__API_URL": value})

    @pytest.mark.parametrize("value", ["0", "-1", "soon", "121", "nan"])
    def test_refuses_a_wait_without_bound(self, value):
        with pytest.raises(settings.SettingsError, match="TIMEOUT_SECONDS"):
            settings.from_environment({**SECRET, "EMAIL_SENDER_CONSOLE__TIMEOUT_SECONDS": value})

    def test_takes_a_slash_off_the_end(self):
        given = {**SECRET, "EMAIL_SENDER_CONSOLE__API_URL": "https://api.example.test/"}
        assert settings.from_environment(given).api_url == "https://api.example.test"

    def test_keeps_the_secret_out_of_sight(self):
        assert "s3cret" not in repr(settings.from_environment(SECRET))
