"""The console under test: pages over the real application, in this process."""

from __future__ import annotations

import base64
import contextlib
import functools
import json
import re
import shutil
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import httpx
import pytest
import streamlit as st
from streamlit.components.v2 import manifest_scanner
from streamlit.runtime.scriptrunner.script_cache import ScriptCache
from streamlit.testing.v1 import AppTest

from backend.app import Platform
from backend.managers.tracing import TracingManager
from backend.settings import Settings as BackendSettings
from dashboard import client, settings
from tests.dashboard.wire import Call, Wire
from tests.support.bridge import Bridge, Loop, in_process
from tests.support.factories import Seeds, Speaking, seed
from tests.support.serving import patient_settings

API = "http://localhost:8400"
PUBLIC_URL = "http://localhost:8401"
_STALE_SECONDS = 600
ADA = "ada@example.test"
VIC = "vic@example.test"
CONSOLE = Path(__file__).resolve().parents[2] / "dashboard"
APP = CONSOLE / "app.py"


class _Words(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.words: list[str] = []

    def handle_data(self, data: str) -> None:
        self.words.append(data)


@dataclass
class Screen:
    """A page as AppTest sees it, and what tests ask of it."""

    app: AppTest

    @property
    def text(self) -> str:
        """All words of the page's own HTML, style sheets left out."""
        parser = _Words()
        parser.feed(self.markup)
        return " ".join(" ".join(parser.words).split())

    @property
    def markup(self) -> str:
        """The page's own HTML, style sheets left out."""
        bodies = (block.proto.body for block in self.app.get("html"))
        return "".join(body for body in bodies if not body.lstrip().startswith("<style"))

    @property
    def said(self) -> str:
        """What the last act is said to have come to; empty when nothing is said."""
        found = re.findall(r'<p class="es-notice"[^>]*>(.*?)</p>', self.markup)
        return unescape(found[-1]) if found else ""

    def component(self, wanted: str) -> dict[str, Any] | None:
        """The data handed to one of the console's components, by the component's key."""
        for block in self.app.get("bidi_component"):
            if block.proto.id.endswith(f"-{wanted}"):
                return json.loads(block.proto.json)
        return None

    def rows(self, key: str) -> list[dict[str, str]]:
        """The rows of a table."""
        data = self.component(key)
        assert data is not None, f"there is no table {key!r}"
        return data["rows"]

    @property
    def address(self) -> dict[str, str]:
        """The parameters of the page's address, each once."""
        given = self.app.query_params
        return {name: one if isinstance(one, str) else one[-1] for name, one in given.items()}

    def click(self, key: str) -> Screen:
        """Press a button."""
        self.app.button(key=key).click().run()
        return self

    def press(self, label: str) -> Screen:
        """Press the last button of this name: a form's, below the one that opened it."""
        [button for button in self.app.button if button.label == label][-1].click().run()
        return self

    def follow(self, label: str) -> Screen:
        """Go where the page's link of this name leads."""
        (link,) = [one.proto for one in self.app.get("page_link") if one.proto.label == label]
        self.app.switch_page(f"views/{link.page.strip('/')}.py")
        self.app.query_params.clear()
        for name, value in parse_qsl(link.query_string):
            self.app.query_params[name] = value
        self.app.run()
        return self

    def has_button(self, key: str) -> bool:
        """Whether there is such a button."""
        return any(button.key == key for button in self.app.button)


Visit = Callable[..., Screen]


@dataclass
class Running:
    """A filled installation in this process, and the wire by which the console reaches it."""

    seeds: Seeds
    database: Path
    bridge: Bridge
    wire: Wire
    inside: Platform
    loop: Loop

    def tick(self, name: str) -> None:
        """Perform a duty of the rooms once, as a worker does."""

        async def perform() -> None:
            for room, manager in self.inside.at_work():
                for one in room.ticks:
                    if one.name == name:
                        await one.run(manager, self.inside.database)

        self.loop.run(perform())

    def keep_spans(self) -> None:
        """Decide on all spans that have come, as the tick does seconds later."""
        store = self.inside.of(TracingManager).store
        self.loop.run(store.flush(self.inside.database, everything=True))

    def anybody(self) -> httpx.Client:
        """Return a client without credentials, past the wire."""
        return self._speaking().anybody()

    def api(self, person: str = ADA, tenant_id: str | None = None) -> httpx.Client:
        """Return a client that speaks as somebody, past the wire."""
        return self._speaking().bearing(
            self.seeds.people[person].id_token, tenant_id or self.seeds.demo_id
        )

    def get(self, path: str, /, **query: Any) -> Any:
        """Return what the platform tells Ada."""
        http = self.api()
        return http.get(f"/api/v1/{path}", params=query).raise_for_status().json()

    def items(self, path: str, **query: Any) -> list[dict[str, Any]]:
        """Return the items of a list, newest first."""
        return list(self.get(path, limit=200, **query)["items"])

    def called(self, method: str, path: str) -> list[Call]:
        """Return the console's own calls of one route so far."""
        return self.wire.called(method, f"/api/v1/{path}")

    def give_role(self, person: str, role: str) -> None:
        """Give a member of the tenant another role."""
        member = next(one for one in self.items("members") if one["email"] == person)
        http = self.api()
        http.put(f"/api/v1/members/{member['id']}", json={"role": role}).raise_for_status()

    def log_out(self, person: str) -> None:
        """End somebody's session at the provider, from another window of their browser."""
        who = self.seeds.people[person]
        http = self.anybody()
        http.cookies.update(dict(who.cookies))
        http.get("/oauth/logout", params={"id_token_hint": who.id_token})

    def _speaking(self) -> Speaking:
        return Speaking(self.bridge, API, self.seeds.console_secret)


@pytest.fixture(scope="session", autouse=True)
def counted() -> Iterator[None]:
    """Have SlipCover count the lines of pages: Streamlit compiles them itself, past the imports."""
    counting = getattr(sys.modules.get("slipcover.pytest_plugin"), "_slipcover_instance", None)
    if counting is None:
        yield
        return
    plain, known = ScriptCache.get_bytecode, dict[str, Any]()

    def get_bytecode(cache: ScriptCache, script_path: str) -> Any:
        if CONSOLE not in Path(script_path).resolve().parents:
            return plain(cache, script_path)
        if script_path not in known:
            known[script_path] = counting.instrument(plain(cache, script_path))
        return known[script_path]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ScriptCache, "get_bytecode", get_bytecode)
        yield


@pytest.fixture(scope="session", autouse=True)
def components() -> Iterator[None]:
    """Have Streamlit look once for components among all installed packages, not for every page.

    It reads the metadata of each of them whenever it starts, which here is in every test.
    """
    with pytest.MonkeyPatch.context() as patch:
        once = functools.cache(manifest_scanner.scan_component_manifests)
        patch.setattr(manifest_scanner, "scan_component_manifests", once)
        yield


@pytest.fixture(scope="session")
def loop() -> Iterator[Loop]:
    made = Loop()
    yield made
    made.close()


def settings_of(folder: Path) -> BackendSettings:
    """Return the settings of an installation in one folder, with limits that no test meets."""
    return patient_settings(folder, f"sqlite:///{folder / 'console.db'}", 8400)


@pytest.fixture(scope="session")
def sow(
    loop: Loop, sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[], Seeds]:
    """Give a filled installation, to be copied and not used, some minutes old at most.

    The overview tells of the last quarter of an hour, and a whole run takes longer than that.
    """
    made: list[tuple[float, Seeds]] = []

    def give() -> Seeds:
        if not made or time.monotonic() - made[-1][0] > _STALE_SECONDS:
            folder = tmp_path_factory.mktemp("seeds")
            shutil.copy(sqlite_template, folder / "console.db")
            sown = seed(loop, settings_of(folder), PUBLIC_URL)
            made.append((time.monotonic(), sown))
        return made[-1][1]

    return give


@pytest.fixture
def seeds(sow: Callable[[], Seeds]) -> Seeds:
    """A filled installation, to be copied and not used."""
    return sow()


def copy_of(seeds: Seeds, folder: Path) -> Path:
    """Make a data folder of its own for a test; what the sink received is shared."""
    shutil.copytree(seeds.folder, folder, ignore=shutil.ignore_patterns("signals", "sink"))
    (folder / "sink").symlink_to(seeds.folder / "sink")
    # Figures end when they were made, and the page shows them up to now.
    age = time.time() - (seeds.folder / "console.db").stat().st_mtime
    with contextlib.closing(sqlite3.connect(folder / "console.db")) as copy, copy:
        steps = int(age // 10) * 10 * 1_000_000
        copy.execute("UPDATE metric_rollups SET window_at = window_at + ?", (steps,))
        # Nor is a log-in a recent one for as long.
        later = int(age) * 1_000_000
        copy.execute("UPDATE sessions SET authenticated_at = authenticated_at + ?", (later,))
    return folder


@pytest.fixture
def folder(seeds: Seeds, tmp_path: Path) -> Path:
    """The data folder of the installation under test."""
    return copy_of(seeds, tmp_path / "data")


@pytest.fixture
def backend(folder: Path) -> BackendSettings:
    """How the installation under test is set."""
    return settings_of(folder)


@pytest.fixture
def platform(loop: Loop, seeds: Seeds, folder: Path, backend: BackendSettings) -> Iterator[Running]:
    with in_process(loop, backend) as (inside, bridge):
        yield Running(seeds, folder / "console.db", bridge, Wire(bridge), inside, loop)


@pytest.fixture
def configured(platform: Running, monkeypatch: pytest.MonkeyPatch) -> Iterator[settings.Settings]:
    current = settings.Settings(
        api_url=API,
        issuer_url=API,
        client_id="console",
        client_secret=platform.seeds.console_secret,
        public_url=PUBLIC_URL,
        timeout_seconds=5,
    )
    settings.use(current)
    http = httpx.Client(transport=platform.wire, timeout=current.timeout_seconds)
    monkeypatch.setattr(client, "open_gate", lambda given: client.Gate(given, http))
    st.cache_resource.clear()
    yield current
    st.cache_resource.clear()
    http.close()
    settings.forget()


@pytest.fixture
def visit(platform: Running, configured: settings.Settings) -> Visit:
    """Open a page as somebody: ``visit("emails", person=VIC, id=...)``."""

    def go(view: str | None = None, person: str = ADA, **query: str) -> Screen:
        who = platform.seeds.people[person]
        claims = claims_of(who.id_token)
        app = AppTest.from_file(str(APP), default_timeout=60)
        if view:
            # Where nobody is logged in all pages are known and none is drawn, nor anything asked.
            app.user = {"is_logged_in": False}
            app.run()
            app.switch_page(f"views/{view}.py")
            for name, value in query.items():
                app.query_params[name] = value
        app.user = {
            "is_logged_in": True,
            "sub": claims["sub"],
            "name": who.name,
            "iat": claims["iat"],
            "exp": claims["exp"],
            "tokens": {"id": who.id_token},
        }
        app.run()
        assert not app.exception
        return Screen(app)

    return go


def claims_of(id_token: str) -> dict[str, Any]:
    """Return what an id token says."""
    body = id_token.split(".")[1]
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    return found
