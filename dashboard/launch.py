"""Starts the console: writes Streamlit's two files from the environment, then serves.

Everything Streamlit reads lies in the data directory, owned by this process's user and made anew
at every start, so that neither the repository nor a home directory decides how the console
behaves. Only the cookie secret is kept: with another one, every start would log everybody out.

    python -m dashboard.launch --port 8401 --address 127.0.0.1 --data-dir DIR
"""

from __future__ import annotations

import argparse
import ipaddress
import json
import os
import secrets
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from dashboard import server, settings, theme

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_PRIVATE_FILE: Final = 0o600
_PRIVATE_DIRECTORY: Final = 0o700
_SECRET_BYTES: Final = 48
_USAGE_ERROR: Final = 2

Sections = dict[str, dict[str, object]]


def streamlit_config(
    current: settings.Settings, *, port: int, address: str, secrets_file: Path
) -> Sections:
    """Return the whole of Streamlit's configuration.

    Both addresses are always given: with either missing, Streamlit asks a public service for the
    machine's external address at start.
    """
    public = urlsplit(current.public_url)
    hosts = list(dict.fromkeys(["localhost", "127.0.0.1", public.hostname or "localhost"]))
    return {
        "server": {
            "port": port,
            "address": address,
            "headless": True,
            "fileWatcherType": "none",
            "runOnSave": False,
            "enableCORS": True,
            "corsAllowedOrigins": [current.public_url],
            "enableXsrfProtection": True,
            "allowedHosts": hosts,
            "enableStaticServing": False,
            "maxUploadSize": 1,
            "maxMessageSize": 50,
            "enableAgentApi": False,
        },
        "browser": {
            "gatherUsageStats": False,
            "serverAddress": public.hostname or "localhost",
            "serverPort": public.port or (443 if public.scheme == "https" else 80),
        },
        "client": {
            "showErrorDetails": "none",
            "showErrorLinks": False,
            "toolbarMode": "minimal",
        },
        "runner": {"magicEnabled": False},
        "logger": {"level": "warning", "hideWelcomeMessage": True},
        "secrets": {"files": [str(secrets_file)]},
        **theme.streamlit_theme(),
    }


def login_secrets(current: settings.Settings, cookie_secret: str) -> Sections:
    """Return what ``st.login`` needs to know of the provider.

    An issuer at plain http on loopback is asked directly, whatever proxy the environment names: the
    proxy would look for it on its own machine. Every other issuer is asked as the environment says,
    which also tells where the authorities of an https one are.
    """
    # Streamlit hands these to the one client that asks for metadata, token and keys alike.
    client: dict[str, object] = {"scope": "openid profile email"}
    if _is_plain_loopback(current.issuer_url):
        client["trust_env"] = False
    return {
        "auth": {
            "redirect_uri": current.redirect_uri,
            "cookie_secret": cookie_secret,
            "client_id": current.client_id,
            "client_secret": current.client_secret,
            "server_metadata_url": current.metadata_url,
            "expose_tokens": ["id"],
        },
        "auth.client_kwargs": client,
    }


def _is_plain_loopback(url: str) -> bool:
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme != "http":
        return False
    # RFC 6761, 6.3: these names lead nowhere else.
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def to_toml(sections: Sections) -> str:
    """Write sections of strings, numbers, booleans and lists of them as TOML.

    JSON's form of these values is also TOML's, except that TOML forbids the raw DEL character in
    strings; a value that has one is refused rather than altered.

    Raises:
        SettingsError: A value holds a control character.
    """
    lines: list[str] = []
    for section, values in sections.items():
        lines.append(f"[{section}]")
        for name, value in values.items():
            written = json.dumps(value, ensure_ascii=False)
            if "\x7f" in written:
                message = f"{section}.{name} holds a control character."
                raise settings.SettingsError(message)
            lines.append(f"{name} = {written}")
        lines.append("")
    return "\n".join(lines)


def write_private(path: Path, content: str) -> None:
    """Replace a file in one step; nobody but its owner can read it, not even for a moment."""
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _PRIVATE_FILE)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(content)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def keep_cookie_secret(path: Path) -> str:
    """Return the cookie secret of earlier starts, or make it on the first one."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _PRIVATE_FILE)
    except FileExistsError:
        kept = path.read_text(encoding="utf-8").strip()
        if len(kept) >= _SECRET_BYTES:
            return kept
        # A start that died between creating and writing left it short: nobody logged in with it.
        made = secrets.token_urlsafe(_SECRET_BYTES)
        write_private(path, made)
        return made
    made = secrets.token_urlsafe(_SECRET_BYTES)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(made)
    return made


def prepare(data_directory: Path, current: settings.Settings, *, port: int, address: str) -> Path:
    """Write the configuration and the secrets; return the directory to serve from."""
    home = data_directory.resolve()
    files = home / ".streamlit"
    files.mkdir(parents=True, exist_ok=True, mode=_PRIVATE_DIRECTORY)
    secrets_file = files / "secrets.toml"
    cookie_secret = keep_cookie_secret(files / "cookie-secret")
    write_private(secrets_file, to_toml(login_secrets(current, cookie_secret)))
    write_private(
        files / "config.toml",
        to_toml(streamlit_config(current, port=port, address=address, secrets_file=secrets_file)),
    )
    return home


def main(
    arguments: Sequence[str] | None = None, environment: Mapping[str, str] | None = None
) -> int:
    """Serve until a signal ends the process; return its exit code."""
    parser = argparse.ArgumentParser(prog="dashboard.launch", description="Serve the console.")
    parser.add_argument("--port", type=int, default=8401, help="TCP port (default 8401)")
    parser.add_argument("--address", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--data-dir", type=Path, required=True, help="where its files are kept")
    options = parser.parse_args(arguments)
    try:
        current = settings.from_environment(environment, port=options.port)
        home = prepare(options.data_dir, current, port=options.port, address=options.address)
    except (settings.SettingsError, OSError) as error:
        print(f"console: {error}", file=sys.stderr)  # noqa: T201 - the start's own voice
        return _USAGE_ERROR
    # Streamlit looks for its files under the working directory.
    os.chdir(home)
    settings.use(current)
    server.build(current).run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
