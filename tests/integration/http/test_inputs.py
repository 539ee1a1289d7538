"""What no manager should have to know of its input is refused at the edge, once for all of them."""

import base64
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.support.platform import App

EMAIL: dict[str, Any] = {"to": ["ada@example.test"], "subject": "Hello", "text": "There"}
SETTINGS: dict[str, Any] = {"from_address": "billing@acme.example"}


def refused(answer: Any, status: int, code: str) -> dict[str, Any]:
    assert (answer.status_code, answer.json().get("code")) == (status, code), answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    return body


def with_text(text: str) -> list[tuple[str, str, Any]]:
    """Requests that are sound but for one text, each in another place."""
    templated = {"to": ["ada@example.test"], "template": "welcome"}
    return [
        ("POST", "emails", EMAIL | {"subject": text}),
        ("POST", "emails", EMAIL | {"headers": {text: "x"}}),
        ("POST", "emails", EMAIL | {"attachments": [{"filename": text, "content": ""}]}),
        ("POST", "emails", templated | {"variables": {"a": [{"b": text}]}}),
        ("POST", "emails", templated | {"variables": {text: 1}}),
        ("POST", "emails/batch", {"messages": [EMAIL, EMAIL | {"html": text}]}),
        ("PUT", "email-templates/a", {"subject": "a", "text": text}),
        ("PUT", "email-settings", SETTINGS | {"from_name": text}),
        ("POST", "clients", {"name": text, "role": "viewer"}),
        ("POST", "invitations", {"email": "g@e.test", "name": text, "role": "viewer"}),
    ]


class TestTexts:
    @pytest.mark.parametrize("text", ["a\x00b", "\ud800", "x\udfffy"], ids=["nul", "high", "low"])
    async def test_what_cannot_be_stored(self, app: App, text: str) -> None:
        ada = await app.caller()
        headers = {"Content-Type": "application/json"}
        for method, path, body in with_text(text):
            content = json.dumps(body)  # escapes it, as JSON may
            answer = await ada.http.request(
                method, f"/api/v1/{path}", content=content, headers=headers
            )
            assert refused(answer, 422, "invalid_input")["errors"], path

    async def test_what_can_be_stored(self, app: App) -> None:
        ada = await app.caller()
        name = "Zoë \U0001f680 \u202e\ufffe"
        content = json.dumps({"name": name, "role": "viewer"})
        answer = await ada.http.post(
            "/api/v1/clients", content=content, headers={"Content-Type": "application/json"}
        )
        assert (answer.status_code, answer.json()["name"]) == (201, name)

    async def test_nul_in_an_address(self, app: App) -> None:
        ada = await app.caller()
        for path in (
            "audit?action=%00",
            "audit?target=email:%00*",
            "jobs?kind=a%00",
            "emails?recipient=%00",
            "email-templates/%00",
            "emails/%00",
            "nothing/%00",
        ):
            refused(await ada.http.get(f"/api/v1/{path}"), 422, "invalid_input")

    async def test_an_address_that_is_not_utf_8(self, app: App) -> None:
        ada = await app.caller()
        for query in ("action=%ff%fe", "actor=%ed%a0%80", "target=%"):
            assert (await ada.http.get(f"/api/v1/audit?{query}")).json()["items"] == []

    async def test_nul_in_the_issuers_forms(self, app: App) -> None:
        ada = await app.caller("workflow")
        basic = base64.b64encode(b"a\0b:c").decode()
        form = {"grant_type": "client_credentials"}
        for path, data, headers in (
            ("token", form | {"client_id": "a\0b", "client_secret": "c"}, {}),
            ("token", form, {"Authorization": f"Basic {basic}"}),
            ("revoke", {"token": "\0"}, {"Authorization": f"Basic {basic}"}),
            ("login", {"email": "a\0b", "password": "c", "return_to": "/"}, {}),
        ):
            async with app.client() as http:
                answer = await http.post(f"/oauth/{path}", data=data, headers=headers)
            assert answer.status_code in {400, 401}, answer.text
        answer = await ada.http.post("/oauth/introspect", data={"token": "\0"})
        assert answer.json() == {"active": False}


class TestBodies:
    async def test_what_is_no_object(self, app: App) -> None:
        ada = await app.caller()
        headers = {"Content-Type": "application/json"}
        for content, status, code in (
            (b"{", 400, "malformed_json"),
            (b'{"name": "\xff"}', 400, "bad_request"),
            (b"[" * 100_000, 400, "bad_request"),
            (b'{"name": %s}' % (b"1" * 5000), 400, "bad_request"),
            (b"[]", 422, "invalid_input"),
            (b"", 422, "invalid_input"),
        ):
            answer = await ada.http.post("/api/v1/clients", content=content, headers=headers)
            refused(answer, status, code)

    async def test_what_is_not_called_json(self, app: App) -> None:
        ada = await app.caller()
        content = json.dumps(EMAIL)
        for kind in ("text/plain", "application/xml", "multipart/form-data", "nonsense"):
            headers = {"Content-Type": kind}
            answer = await ada.http.post("/api/v1/emails", content=content, headers=headers)
            refused(answer, 415, "unsupported_media_type")
            assert answer.headers["accept"] == "application/json"

    async def test_nothing_is_converted(self, app: App) -> None:
        ada = await app.caller()
        for smtp in ({"port": "587"}, {"port": 587.5}, {"port": True}, {"username": 1}):
            body = SETTINGS | {"smtp": {"host": "mail.example.org"} | smtp}
            answer = await ada.http.put("/api/v1/email-settings", json=body)
            refused(answer, 422, "invalid_input")

    async def test_a_whole_number_is_one_however_it_is_written(self, app: App) -> None:
        ada = await app.caller()
        body = SETTINGS | {"smtp": {"host": "mail.example.org", "port": 587.0}}
        answer = await ada.http.put("/api/v1/email-settings", json=body)
        assert answer.json()["smtp"]["port"] == 587, answer.text

    async def test_a_time_is_rfc_3339(self, app: App) -> None:
        ada = await app.caller()
        for time in (
            1,
            4e9,
            "4102444800",
            "2099-01-01",
            "2099-01-01T00:00:00",
            "9999-12-31T23:59:59-01:00",
        ):
            body = {"name": "a", "role": "viewer", "expires_at": time}
            refused(await ada.http.post("/api/v1/api-keys", json=body), 422, "invalid_input")

    async def test_a_time_keeps_its_moment(self, app: App) -> None:
        ada = await app.caller()
        body = {"name": "a", "role": "viewer", "expires_at": "2099-01-01t01:00:00.25+01:00"}
        made = (await ada.http.post("/api/v1/api-keys", json=body)).json()
        wanted = datetime(2099, 1, 1, 0, 0, 0, 250_000, UTC)
        assert datetime.fromisoformat(made["expires_at"]) == wanted

    async def test_a_name_shows_something(self, app: App) -> None:
        ada = await app.caller()
        for name in ("", " ", "\u00a0\u2003", "a\nb", "\x85"):
            body = {"name": name, "role": "viewer"}
            refused(await ada.http.post("/api/v1/clients", json=body), 422, "invalid_input")

    async def test_a_host_that_can_be_none(self, app: App) -> None:
        ada = await app.caller()
        for host in ("a" * 64 + ".example", "a..b", "-" * 200):
            body = SETTINGS | {"smtp": {"host": host}}
            answer = await ada.http.put("/api/v1/email-settings", json=body)
            assert answer.status_code in {200, 422}, answer.text

    async def test_a_version_that_is_none(self, app: App) -> None:
        ada = await app.caller()
        for version in ('"v\u00b2"', '"v' + "9" * 60 + '"', "v1", '"v-1"', "\u00ff"):
            headers = {b"If-Match": version.encode("latin-1")}
            answer = await ada.http.put("/api/v1/email-settings", json=SETTINGS, headers=headers)
            refused(answer, 412, "email.settings_changed")


class TestMethods:
    async def test_all_of_a_path_are_named(self, app: App) -> None:
        ada = await app.caller()
        for method, path, allowed in (
            ("DELETE", "/api/v1/emails", "GET, POST"),
            ("OPTIONS", "/api/v1/email-templates/a", "DELETE, GET, PUT"),
            ("GET", "/api/v1/emails/batch", "POST"),
            ("TRACE", "/api/v1/emails/batch", "POST"),
            ("POST", "/api/v1/emails/0199c0de-0000-7000-8000-000000000001", "GET"),
            ("PUT", "/oauth/login", "GET, HEAD, POST"),
            ("GET", "/oauth/introspect", "POST"),
        ):
            answer = await ada.http.request(method, path)
            refused(answer, 405, "method_not_allowed")
            assert answer.headers["allow"] == allowed, path

    async def test_a_path_with_two_slashes_too_many_is_another(self, app: App) -> None:
        ada = await app.caller()
        refused(await ada.http.get("/api/v1/emails//"), 404, "not_found")


class TestCursor:
    async def test_what_no_list_made(self, app: App) -> None:
        ada = await app.caller()
        for cursor in ("", "A", "A" * 21 + "B", "A" * 23, "!" + "A" * 22, "A" * 60):
            for path in ("emails", "jobs", "audit", "clients", "members"):
                answer = await ada.http.get(f"/api/v1/{path}", params={"cursor": cursor})
                refused(answer, 422, "invalid_cursor")
