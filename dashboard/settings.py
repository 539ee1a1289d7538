"""The console's settings: read from the environment once, here and nowhere else."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping

PREFIX: Final = "EMAIL_SENDER_CONSOLE__"


class SettingsError(ValueError):
    """A setting is missing or cannot be used; the message names its variable."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Where the API is, who the console is to it, and how long it waits.

    Attributes:
        api_url: Base of the HTTP API, without a trailing slash. Reached by the console's server
            only, so a loopback or an internal address is right.
        issuer_url: The OpenID Connect issuer as the *browser* reaches it; the login redirects
            there.
        client_id: The confidential client that may exchange id tokens.
        client_secret: Its secret; never shown, and kept out of ``repr``.
        public_url: Where people open the console. The login comes back to it.
        timeout_seconds: Bound of one API call, connect and answer together.
    """

    api_url: str
    issuer_url: str
    client_id: str
    client_secret: str
    public_url: str
    timeout_seconds: float

    def __repr__(self) -> str:
        """Show the settings without the secret: this ends up in logs."""
        return f"Settings(api_url={self.api_url!r}, client_id={self.client_id!r})"

    @property
    def token_url(self) -> str:
        """The token endpoint, reached by the API's address and not through the browser's."""
        return f"{self.api_url}/oauth/token"

    @property
    def metadata_url(self) -> str:
        """The issuer's discovery document."""
        return f"{self.issuer_url}/.well-known/openid-configuration"

    @property
    def redirect_uri(self) -> str:
        """Where the login returns to; register exactly this at the provider."""
        return f"{self.public_url}/oauth2callback"


def from_environment(environment: Mapping[str, str] | None = None, *, port: int = 8401) -> Settings:
    """Read the settings from variables that start with ``EMAIL_SENDER_CONSOLE__``.

    Args:
        environment: The process's own when None.
        port: The port the console will listen on; it decides the default public address.

    Raises:
        SettingsError: The client secret is missing, in the environment and in the file that
            ``CLIENT_FILE`` names, or a value is not usable.
    """
    source = os.environ if environment is None else environment

    def read(name: str, default: str) -> str:
        return source.get(f"{PREFIX}{name}", "").strip() or default

    kept = _client_file(read("CLIENT_FILE", ""))
    secret = read("CLIENT_SECRET", kept.get("client_secret", ""))
    if not secret:
        message = (
            f"Neither {PREFIX}CLIENT_SECRET nor {PREFIX}CLIENT_FILE is set: the console cannot "
            "exchange a login for an access token without the secret of its OAuth client."
        )
        raise SettingsError(message)
    return Settings(
        api_url=_http_url("API_URL", read("API_URL", "http://127.0.0.1:8400")),
        issuer_url=_http_url("ISSUER_URL", read("ISSUER_URL", "http://localhost:8400")),
        client_id=read("CLIENT_ID", kept.get("client_id", "console")),
        client_secret=secret,
        public_url=_http_url("PUBLIC_URL", read("PUBLIC_URL", f"http://localhost:{port}")),
        timeout_seconds=_seconds("TIMEOUT_SECONDS", read("TIMEOUT_SECONDS", "10")),
    )


_process: list[Settings] = []


def use(current: Settings) -> None:
    """Make ``current`` what ``load`` returns, instead of reading the environment."""
    _process[:] = [current]


def forget() -> None:
    """Make the next ``load`` read the environment again."""
    _process.clear()


def load() -> Settings:
    """Return the process's settings; the environment is read on the first call only.

    Raises:
        SettingsError: As ``from_environment``.
    """
    if not _process:
        use(from_environment())
    return _process[0]


def _client_file(path: str) -> dict[str, str]:
    if not path:
        return {}
    try:
        kept = json.loads(Path(path).read_bytes())
    except (OSError, ValueError) as error:
        message = f"{PREFIX}CLIENT_FILE cannot be read: {error}"
        raise SettingsError(message) from None
    if not isinstance(kept, dict) or not isinstance(kept.get("client_secret"), str):
        message = f"{PREFIX}CLIENT_FILE holds no client_secret; `email-sender bootstrap` makes it."
        raise SettingsError(message)
    return kept


def _http_url(name: str, value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in {"http", "https"} or not parts.netloc or parts.query or parts.fragment:
        message = f"{PREFIX}{name} must be an http or https address without a query, not {value!r}."
        raise SettingsError(message)
    return value.rstrip("/")


def _seconds(name: str, value: str) -> float:
    try:
        seconds = float(value)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= 120:
        message = f"{PREFIX}{name} must be a number of seconds above 0, at most 120, not {value!r}."
        raise SettingsError(message)
    return seconds
