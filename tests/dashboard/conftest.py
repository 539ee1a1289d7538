"""The console under test: pages over an in-memory platform, and a real one for the browser."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import httpx
import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from dashboard import client, settings
from tests.dashboard.fake_api import CLIENT_ID, CLIENT_SECRET, Platform
from tests.dashboard.fake_server import transport

APP = Path(__file__).parents[2] / "dashboard" / "app.py"


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

    def click(self, key: str) -> Screen:
        """Press a button."""
        self.app.button(key=key).click().run()
        return self

    def press(self, label: str) -> Screen:
        """Press the last button of this name: a form's, below the one that opened it."""
        [button for button in self.app.button if button.label == label][-1].click().run()
        return self

    def has_button(self, key: str) -> bool:
        """Whether there is such a button."""
        return any(button.key == key for button in self.app.button)


Visit = Callable[..., Screen]


@pytest.fixture
def platform() -> Platform:
    return Platform()


@pytest.fixture
def configured(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> Iterator[settings.Settings]:
    current = settings.Settings(
        api_url="http://api.test",
        issuer_url="http://issuer.test",
        client_id=CLIENT_ID,
        client_secret=CLIENT_SECRET,
        public_url="http://localhost:8401",
        timeout_seconds=5,
    )
    settings.use(current)
    http = httpx.Client(transport=transport(platform))
    monkeypatch.setattr(client, "open_gate", lambda given: client.Gate(given, http))
    st.cache_resource.clear()
    yield current
    st.cache_resource.clear()
    http.close()
    settings.forget()
    assert platform.lies == []


@pytest.fixture
def visit(platform: Platform, configured: settings.Settings) -> Visit:
    """Open a page as somebody: ``visit("emails", person="vic@example.test", id=...)``."""

    def go(view: str | None = None, person: str = "ada@example.test", **query: str) -> Screen:
        who = platform.person(person)
        now = platform.clock()
        app = AppTest.from_file(str(APP), default_timeout=60)
        app.user = {
            "is_logged_in": True,
            "sub": who.id,
            "name": who.name,
            "iat": int(now),
            "exp": int(now) + platform.login_seconds,
            "tokens": {"id": platform.id_token(who)},
        }
        app.run()
        if view:
            app.switch_page(f"views/{view}.py")
            for name, value in query.items():
                app.query_params[name] = value
            app.run()
        assert not app.exception
        return Screen(app)

    return go
