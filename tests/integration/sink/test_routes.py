"""The copies beside a message: on a platform with a sink, and for who may read what it says."""

from pathlib import Path

import pytest

from backend.api import create_app
from backend.app import compose
from backend.core.ids import uuid7
from backend.settings import Settings
from backend.sink import SmtpSink
from tests.support.platform import App

EMAIL = {"to": ["ada@example.test"], "subject": "Hello", "text": "There"}


class TestReadSink:
    async def test_answers_what_was_received_under_the_messages_id(
        self, app: App, tmp_path: Path
    ) -> None:
        ada = await app.caller("operator")
        email = (await ada.http.post("/api/v1/emails", json=EMAIL)).json()
        sink = SmtpSink(tmp_path / "sink", port=0)
        head = f"Message-ID: {email['message_id']}\r\nSubject: Hello\r\n\r\nThere\r\n"
        (tmp_path / "sink").mkdir()
        sink._store("a@example.test", ["ada@example.test"], head.encode())
        answer = await ada.http.get(f"/sink/emails/{email['id']}")
        assert answer.status_code == 200, answer.text
        (copy,) = answer.json()["copies"]
        assert copy["envelope_to"] == ["ada@example.test"]
        assert copy["text"] == "There\n"

    async def test_refuses_who_may_not_read_what_messages_say(self, app: App) -> None:
        ada = await app.caller("viewer")
        answer = await ada.http.get(f"/sink/emails/{uuid7()}")
        assert answer.status_code == 403
        assert answer.json()["permission"] == "email:read_content"

    async def test_refuses_who_is_nobody(self, app: App) -> None:
        answer = await app.client().get(f"/sink/emails/{uuid7()}")
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"].startswith("Bearer")

    async def test_knows_no_message_of_nobody(self, app: App) -> None:
        ada = await app.caller("operator")
        answer = await ada.http.get(f"/sink/emails/{uuid7()}")
        assert answer.status_code == 404
        assert answer.json()["code"] == "email.not_found"


def test_a_platform_without_a_sink_has_no_such_route(tmp_path: Path) -> None:
    control = create_app(compose(Settings(data_dir=tmp_path))).control_plane
    assert [route for route in control.routes if "/sink" in getattr(route, "path", "")] == []


@pytest.mark.slow
async def test_no_document_names_it(app: App) -> None:
    assert "sink" not in str(app.asgi.control_plane.openapi()).lower()
