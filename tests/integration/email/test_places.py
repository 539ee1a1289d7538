"""A refusal points at the value that it is about, in whichever message of a batch it stands."""

from typing import Any

import pytest

from tests.support.platform import App

GOOD = {"to": ["ada@example.test"], "subject": "s", "text": "t"}
SMTP = {"port": 587, "tls": "starttls"}
FILE = {"filename": "a.txt", "content_type": "text/plain", "content": "YQ=="}

REFUSED: list[tuple[dict[str, Any], str, str]] = [
    ({"to": ["ada@example.test", "nobody"]}, "email.invalid_address", "/to/1"),
    ({"cc": ["nobody"]}, "email.invalid_address", "/cc/0"),
    ({"bcc": ["a@example.test", "b@example.test", "@"]}, "email.invalid_address", "/bcc/2"),
    ({"reply_to": "nobody"}, "email.invalid_address", "/reply_to"),
    ({"reply_to": ["ada@example.test", "nobody"]}, "email.invalid_address", "/reply_to/1"),
    ({"from": "nobody"}, "email.invalid_address", "/from"),
    ({"from": "eve@example.test"}, "email.sender_not_allowed", "/from"),
    ({"message_id": "mine"}, "email.invalid_header", "/message_id"),
    ({"send_at": "2999-01-01T00:00:00Z"}, "invalid_input", "/send_at"),
    ({"calendar": {"content": "BEGIN"}}, "invalid_input", "/calendar"),
    ({"subject": "a\r\nBcc: b@example.test"}, "email.invalid_header", "/subject"),
    ({"headers": {"X-Good": "1", "From": "me"}}, "email.invalid_header", "/headers/From"),
    ({"headers": {"X Y/": "1"}}, "email.invalid_header", "/headers/X Y~1"),
    (
        {"attachments": [FILE, {**FILE, "filename": "../a"}]},
        "email.invalid_header",
        "/attachments/1",
    ),
    (
        {"attachments": [FILE, {**FILE, "content_id": "logo"}]},
        "invalid_input",
        "/attachments/1/content_id",
    ),
    (
        {"subject": None, "text": None, "template": "nothing"},
        "email.template_not_found",
        "/template",
    ),
    (
        {"subject": None, "text": None, "template": "greeting", "variables": {}},
        "email.template_variables",
        "/variables",
    ),
    (
        {
            "subject": None,
            "text": None,
            "template": "endless",
            "variables": {"n": list(range(500))},
        },
        "email.template_invalid",
        "/template",
    ),
]


@pytest.fixture
async def sender(app: App) -> Any:
    """A caller whose tenant has two templates."""
    owner = await app.caller()
    for name, text in (
        ("greeting", "Hello {{ name }}"),
        ("endless", "{% for a in n %}" * 3 + "{{ a }}" + "{% endfor %}" * 3),
    ):
        body = {"subject": "s", "text": text, "html": None}
        answer = await owner.http.put(f"/api/v1/email-templates/{name}", json=body)
        assert answer.is_success, answer.text
    return owner


def pointed(answer: Any) -> tuple[str, list[str]]:
    problem = answer.json()
    (found,) = problem["errors"]
    assert found["detail"] == problem.get("detail", problem["title"])
    return problem["code"], [found["pointer"]]


class TestSending:
    async def test_one_message(self, sender: Any) -> None:
        for change, code, place in REFUSED:
            answer = await sender.http.post("/api/v1/emails", json={**GOOD, **change})
            assert not answer.is_success, change
            assert pointed(answer) == (code, [f"/body{place}"]), change

    async def test_one_message_of_a_batch(self, sender: Any) -> None:
        for number, (change, code, place) in enumerate(REFUSED):
            messages = [GOOD] * number + [{**GOOD, **change}] + [GOOD]
            answer = await sender.http.post("/api/v1/emails/batch", json={"messages": messages})
            assert not answer.is_success, change
            expected = (code, [f"/body/messages/{number}{place}"])
            assert pointed(answer) == expected, change

    async def test_one_that_was_put_off_for_its_business_key(self, sender: Any) -> None:
        for change, code, place in REFUSED:
            messages = [GOOD, {**GOOD, **change, "business_key": "k"}]
            answer = await sender.http.post("/api/v1/emails/batch", json={"messages": messages})
            expected = (code, [f"/body/messages/1{place}"])
            assert pointed(answer) == expected, change

    async def test_one_that_is_empty(self, sender: Any) -> None:
        messages = [GOOD, GOOD, {**GOOD, "to": [], "bcc": []}]
        answer = await sender.http.post("/api/v1/emails/batch", json={"messages": messages})
        assert answer.json()["errors"][0]["pointer"].startswith("/body/messages/2")


class TestElsewhere:
    async def test_settings_suppressions_templates_keys(self, sender: Any) -> None:
        past = "2001-01-01T00:00:00Z"
        smtp = {"host": "127.0.0.1", "port": 25, "tls": "none"}
        for method, path, body, pointer in (
            ("PUT", "email-settings", {"from_address": "nobody"}, "/body/from_address"),
            (
                "PUT",
                "email-settings",
                {"from_address": "a@example.test", "smtp": smtp},
                "/body/smtp/host",
            ),
            (
                "PUT",
                "email-settings",
                {"from_address": "a@example.test", "senders": ["@example.test", "nobody"]},
                "/body/senders/1",
            ),
            ("POST", "suppressions", {"address": "nobody"}, "/body/address"),
            (
                "POST",
                "suppressions",
                {"address": "a@example.test", "expires_at": past},
                "/body/expires_at",
            ),
            (
                "PUT",
                "email-templates/broken",
                {"subject": "s", "text": None, "html": "{% if %}"},
                "/body/html",
            ),
            (
                "POST",
                "api-keys",
                {"name": "n", "role": "viewer", "expires_at": past},
                "/body/expires_at",
            ),
        ):
            answer = await sender.http.request(method, f"/api/v1/{path}", json=body)
            assert not answer.is_success, path
            assert pointed(answer)[1] == [pointer]


class TestWarning:
    """A mail server that has no address is saved, and said."""

    async def test_a_name_that_nobody_knows(self, app: App) -> None:
        owner = await app.caller()
        for host in ("mail.nowhere.invalid", "localhost.invalid"):
            body = {"from_address": "a@example.test", "smtp": {**SMTP, "host": host}}
            answer = await owner.http.put("/api/v1/email-settings", json=body)
            assert answer.is_success, answer.text
            assert "cannot be found now" in answer.json()["warning"]
            kept = (await owner.http.get("/api/v1/email-settings")).json()
            assert kept["smtp"]["host"] == host
            assert kept["warning"] is None

    async def test_nothing_is_said_of_one_that_is_found_or_of_the_platforms(self, app: App) -> None:
        owner = await app.caller()
        for smtp in ({**SMTP, "host": "192.0.32.10"}, None):
            body = {"from_address": "a@example.test", "smtp": smtp}
            answer = await owner.http.put("/api/v1/email-settings", json=body)
            assert (answer.status_code, answer.json()["warning"]) == (200, None)

    async def test_one_of_our_own_network_is_refused_as_before(self, app: App) -> None:
        owner = await app.caller()
        body = {"from_address": "a@example.test", "smtp": {**SMTP, "host": "10.0.0.1"}}
        answer = await owner.http.put("/api/v1/email-settings", json=body)
        assert answer.json()["code"] == "email.relay_not_allowed"
        assert (await owner.http.get("/api/v1/email-settings")).json()["smtp"] is None
