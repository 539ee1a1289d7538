"""Settings: what is read, what is refused, what is never shown."""

from __future__ import annotations

import json

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

    def test_takes_the_file_that_an_installation_leaves(self, tmp_path):
        kept = tmp_path / "console.json"
        given = {"EMAIL_SENDER_CONSOLE__CLIENT_FILE": str(kept)}
        kept.write_text(json.dumps({"client_id": "other", "client_secret": "of-the-file"}))
        found = settings.from_environment(given)
        assert (found.client_id, found.client_secret) == ("other", "of-the-file")
        found = settings.from_environment({**given, **SECRET})
        assert (found.client_id, found.client_secret) == ("other", "s3cret")

    @pytest.mark.parametrize("said", ["", "[]", "{}", '{"client_secret": 1}', "\xff"])
    def test_refuses_a_file_without_a_secret(self, tmp_path, said):
        kept = tmp_path / "console.json"
        given = {"EMAIL_SENDER_CONSOLE__CLIENT_FILE": str(kept)}
        with pytest.raises(settings.SettingsError, match="CLIENT_FILE cannot be read"):
            settings.from_environment(given)
        kept.write_bytes(said.encode("latin-1"))
        with pytest.raises(settings.SettingsError, match="CLIENT_FILE"):
            settings.from_environment(given)

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
