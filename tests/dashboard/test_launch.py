"""The start: the files it writes, who can read them, what they switch off."""

from __future__ import annotations

import stat
import tomllib
from collections.abc import AsyncIterator

import pytest
from streamlit.runtime.secrets import AttrDict
from streamlit.web.server.starlette import starlette_auth_routes

from dashboard import launch, settings
from tests.support.loopback import answering

SECRET = {"EMAIL_SENDER_CONSOLE__CLIENT_SECRET": 's3"cret\\n'}


def prepared(tmp_path, **more):
    current = settings.from_environment({**SECRET, **more}, port=9001)
    home = launch.prepare(tmp_path / "console", current, port=9001, address="127.0.0.1")
    files = home / ".streamlit"
    return (
        tomllib.loads((files / "config.toml").read_text()),
        tomllib.loads((files / "secrets.toml").read_text()),
        files,
    )


class TestPrepare:
    def test_writes_files_that_only_the_owner_reads(self, tmp_path):
        *_, files = prepared(tmp_path)
        found = {path.name: stat.S_IMODE(path.stat().st_mode) for path in files.iterdir()}
        assert found == {"config.toml": 0o600, "secrets.toml": 0o600, "cookie-secret": 0o600}
        assert stat.S_IMODE(files.stat().st_mode) == 0o700

    def test_tells_streamlit_of_the_provider(self, tmp_path):
        _, found, _ = prepared(tmp_path)
        login = found["auth"]
        assert login["client_secret"] == 's3"cret\\n'
        assert login["redirect_uri"] == "http://localhost:9001/oauth2callback"
        assert login["server_metadata_url"].endswith("/.well-known/openid-configuration")
        assert login["expose_tokens"] == ["id"]
        assert len(login["cookie_secret"]) >= 48

    def test_keeps_the_cookie_secret_across_starts(self, tmp_path):
        _, first, _ = prepared(tmp_path)
        _, second, _ = prepared(tmp_path)
        assert first["auth"]["cookie_secret"] == second["auth"]["cookie_secret"]

    def test_makes_a_new_cookie_secret_when_a_start_died_before_writing_it(self, tmp_path):
        *_, files = prepared(tmp_path)
        (files / "cookie-secret").write_text("")
        _, found, _ = prepared(tmp_path)
        assert len(found["auth"]["cookie_secret"]) >= 48
        assert (files / "cookie-secret").read_text() == found["auth"]["cookie_secret"]

    def test_switches_off_what_calls_home_or_tells_too_much(self, tmp_path):
        config, _, files = prepared(tmp_path)
        assert config["browser"]["gatherUsageStats"] is False
        # Either address missing makes Streamlit ask a public service for the machine's own.
        assert config["server"]["address"] == "127.0.0.1"
        assert config["browser"]["serverAddress"] == "localhost"
        assert config["client"]["showErrorDetails"] == "none"
        assert config["client"]["toolbarMode"] == "minimal"
        assert config["server"]["enableAgentApi"] is False
        assert config["secrets"]["files"] == [str(files / "secrets.toml")]

    def test_answers_only_to_the_names_it_is_known_by(self, tmp_path):
        public = {"EMAIL_SENDER_CONSOLE__PUBLIC_URL": "https://console.example.test"}
        config, _, _ = prepared(tmp_path, **public)
        hosts = ["localhost", "127.0.0.1", "console.example.test"]
        assert config["server"]["allowedHosts"] == hosts
        assert config["browser"]["serverPort"] == 443

    def test_carries_a_theme_for_light_and_for_dark(self, tmp_path):
        config, _, _ = prepared(tmp_path)
        light, dark = config["theme"]["light"], config["theme"]["dark"]
        assert light["backgroundColor"] != dark["backgroundColor"]
        assert "backgroundColor" in dark["sidebar"]


@pytest.fixture
async def issuer() -> AsyncIterator[str]:
    """A provider on loopback that knows its metadata and gives one token."""
    answers: dict[str, dict[str, str]] = {}
    async with answering(answers.__getitem__) as url:
        answers["/.well-known/openid-configuration"] = {"token_endpoint": f"{url}/oauth/token"}
        answers["/oauth/token"] = {"access_token": "t", "token_type": "Bearer"}
        yield url


class TestLoginSecrets:
    async def test_reach_a_provider_on_loopback_past_a_proxy(self, tmp_path, monkeypatch, issuer):
        _, found, _ = prepared(tmp_path, EMAIL_SENDER_CONSOLE__ISSUER_URL=issuer)
        auth = AttrDict(found["auth"])
        monkeypatch.setattr(starlette_auth_routes, "get_secrets_auth_section", lambda: auth)
        for name in ("NO_PROXY", "no_proxy", "http_proxy", "all_proxy"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
        client, _ = starlette_auth_routes._create_oauth_client("default")
        assert (await client.load_server_metadata())["token_endpoint"] == f"{issuer}/oauth/token"
        token = await client.fetch_access_token(redirect_uri="http://localhost/", code="c")
        assert token["access_token"] == "t"

    @pytest.mark.parametrize(
        ("issuer_url", "direct"),
        [
            ("http://localhost:8400", True),
            ("http://es.localhost:8400", True),
            ("http://127.0.0.2:8400", True),
            ("http://[::1]:8400", True),
            ("http://10.0.0.7:8400", False),
            ("http://localhost.example.test", False),
            # Without the environment its own authority would not be known.
            ("https://localhost:8443", False),
        ],
    )
    def test_leave_the_proxy_to_every_other_provider(self, tmp_path, issuer_url, direct):
        _, found, _ = prepared(tmp_path, EMAIL_SENDER_CONSOLE__ISSUER_URL=issuer_url)
        options = found["auth"]["client_kwargs"]
        assert options == {"scope": "openid profile email"} | (
            {"trust_env": False} if direct else {}
        )


class TestToToml:
    def test_refuses_what_toml_cannot_hold(self):
        with pytest.raises(settings.SettingsError, match=r"auth\.client_secret"):
            launch.to_toml({"auth": {"client_secret": "a\x7fb"}})


class TestMain:
    def test_says_what_is_missing_and_serves_nothing(self, tmp_path, capsys):
        assert launch.main(["--data-dir", str(tmp_path)], {}) == 2
        said = capsys.readouterr().err
        assert "Neither EMAIL_SENDER_CONSOLE__CLIENT_SECRET nor" in said
