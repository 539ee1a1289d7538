"""A template as it will arrive, before it is saved."""

from typing import Any

import pytest

from tests.support.platform import App

PREVIEW = "/api/v1/email-templates/preview"
TEMPLATE: dict[str, Any] = {
    "subject": "Hello {{ name }}",
    "text": "{% for item in items %}{{ item }};{% endfor %}{{ note|default('-') }}",
    "html": "<p>{{ name }}</p>",
}
VARIABLES = [
    {"name": "items", "required": True},
    {"name": "name", "required": True},
    {"name": "note", "required": False},
]


class TestPreview:
    async def test_is_filled_in_and_kept_nowhere(self, app: App) -> None:
        ada = await app.caller("operator")
        body = {**TEMPLATE, "variables": {"name": "<Ada>", "items": [1, 2]}}
        answer = await ada.http.post(PREVIEW, json=body)
        assert answer.status_code == 200, answer.text
        assert answer.json() == {
            "subject": "Hello <Ada>",
            "text": "1;2;-",
            "html": "<p>&lt;Ada&gt;</p>",
            "variables": VARIABLES,
            "missing": [],
        }
        assert (await ada.http.get("/api/v1/email-templates")).json()["items"] == []

    async def test_names_all_that_is_missing_at_once(self, app: App) -> None:
        ada = await app.caller("operator")
        answer = await ada.http.post(PREVIEW, json=TEMPLATE)
        found = answer.json()
        assert (answer.status_code, found["missing"]) == (200, ["items", "name"])
        assert (found["subject"], found["text"], found["html"]) == (None, None, None)
        assert found["variables"] == VARIABLES

    @pytest.mark.parametrize(
        ("change", "code", "pointer"),
        [
            ({"html": "{{ f() }}"}, "email.template_invalid", "/body/html"),
            ({"text": "{% if %}"}, "email.template_invalid", "/body/text"),
            (
                {"variables": {"name": "a\nb", "items": []}},
                "email.template_variables",
                "/body/variables",
            ),
        ],
    )
    async def test_says_where_it_is_wrong(
        self, app: App, change: dict[str, Any], code: str, pointer: str
    ) -> None:
        ada = await app.caller("operator")
        answer = await ada.http.post(PREVIEW, json=TEMPLATE | change)
        found = answer.json()
        assert (answer.status_code, found["code"]) == (422, code)
        assert found["errors"][0]["pointer"] == pointer

    @pytest.mark.parametrize("role", ["viewer", "workflow"])
    async def test_is_for_who_may_write_templates(self, app: App, role: str) -> None:
        vic = await app.caller(role)
        assert (await vic.http.post(PREVIEW, json=TEMPLATE)).status_code == 403

    async def test_of_a_name_is_a_template_like_others(self, app: App) -> None:
        """A template may be called preview."""
        ada = await app.caller("operator")
        path = "/api/v1/email-templates/preview"
        assert (await ada.http.put(path, json={"subject": "s", "text": "t"})).status_code == 200
        assert (await ada.http.get(path)).json()["subject"] == "s"
        assert (await ada.http.delete(path)).status_code == 204
