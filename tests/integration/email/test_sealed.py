"""Subjects and templates at rest: sealed, and what stands in the clear from before is read."""

from typing import Any

import pytest
import sqlalchemy as sa

from backend.core.context import Scope
from backend.managers.email import EmailManager
from backend.managers.email.models import EmailRow, TemplateRow
from backend.managers.security import SealBrokenError
from tests.support.platform import App

EMAIL: dict[str, Any] = {
    "to": ["ada@example.test"],
    "subject": "Grüße, sealed",
    "text": "A sealed text",
}
TEMPLATE: dict[str, Any] = {
    "subject": "Hello {{ name }}",
    "text": "Sealed {{ name }}",
    "html": None,
}


async def rows_of(app: App, tenant_id: str, model: type) -> list:
    async with app.platform.database.read(Scope("test", tenant_id)) as view:
        return list(await view.scalars(sa.select(model)))


async def change(app: App, tenant_id: str, model: type, **values: object) -> None:
    async with app.platform.database.transaction(Scope("test", tenant_id)) as tx:
        await tx.execute(
            sa.update(model).values(**values).execution_options(synchronize_session=False)
        )


class TestSubjects:
    async def test_is_shown_wherever_it_was_and_stands_in_no_column(self, app: App) -> None:
        ada = await app.caller("operator")
        made = (await ada.http.post("/api/v1/emails", json=EMAIL)).json()
        assert made["subject"] == EMAIL["subject"]
        shown = (await ada.http.get(f"/api/v1/emails/{made['id']}")).json()
        listed = (await ada.http.get("/api/v1/emails")).json()["items"]
        assert shown["subject"] == listed[0]["subject"] == EMAIL["subject"]
        (row,) = await rows_of(app, ada.tenant.id, EmailRow)
        assert row.subject == ""
        assert EMAIL["subject"].encode() not in row.sealed_subject

    async def test_of_before_is_read_in_the_clear_beside_sealed_ones(self, app: App) -> None:
        ada = await app.caller("operator")
        await ada.http.post("/api/v1/emails", json=EMAIL)
        await change(app, ada.tenant.id, EmailRow, subject="From before", sealed_subject=None)
        await ada.http.post("/api/v1/emails", json=EMAIL)
        listed = (await ada.http.get("/api/v1/emails")).json()["items"]
        assert [one["subject"] for one in listed] == [EMAIL["subject"], "From before"]

    async def test_moved_to_another_message_does_not_open(self, app: App) -> None:
        ada = await app.caller("operator")
        for _ in range(2):
            await ada.http.post("/api/v1/emails", json=EMAIL)
        first, _ = await rows_of(app, ada.tenant.id, EmailRow)
        await change(app, ada.tenant.id, EmailRow, sealed_subject=first.sealed_subject)
        answer = await ada.http.get("/api/v1/emails")
        assert (answer.status_code, answer.json()["code"]) == (409, SealBrokenError.code)

    async def test_a_second_use_of_a_business_key_is_held_to_it(self, app: App) -> None:
        ada = await app.caller("operator")
        keyed = EMAIL | {"business_key": "invoice-1"}
        first = (await ada.http.post("/api/v1/emails", json=keyed)).json()
        again = await ada.http.post("/api/v1/emails", json=keyed)
        assert again.json()["id"] == first["id"]
        other = await ada.http.post("/api/v1/emails", json=keyed | {"subject": "Another"})
        assert other.status_code == 409


class TestTemplates:
    async def test_is_shown_and_used_and_stands_in_no_column(self, app: App) -> None:
        ada = await app.caller("operator")
        saved = await ada.http.put("/api/v1/email-templates/hello", json=TEMPLATE)
        shown = await ada.http.get("/api/v1/email-templates/hello")
        assert saved.headers["etag"] == shown.headers["etag"]
        assert shown.json()["text"] == TEMPLATE["text"]
        listed = (await ada.http.get("/api/v1/email-templates")).json()["items"]
        assert [one["subject"] for one in listed] == [TEMPLATE["subject"]]
        by_it = {"to": ["a@example.test"], "template": "hello", "variables": {"name": "Ada"}}
        made = (await ada.http.post("/api/v1/emails", json=by_it)).json()
        assert made["subject"] == "Hello Ada"
        (row,) = await rows_of(app, ada.tenant.id, TemplateRow)
        assert (row.subject, row.text, row.html) == ("", None, None)
        assert row.characters == len(TEMPLATE["subject"]) + len(TEMPLATE["text"])
        assert b"Sealed" not in row.sealed_source

    async def test_of_before_keeps_its_version_and_counts_as_before(self, app: App) -> None:
        ada = await app.caller("operator")
        place = "/api/v1/email-templates/hello"
        saved = await ada.http.put(place, json=TEMPLATE)
        await change(app, ada.tenant.id, TemplateRow, **TEMPLATE, sealed_source=None, characters=0)
        shown = await ada.http.get(place)
        assert shown.json()["subject"] == TEMPLATE["subject"]
        assert shown.headers["etag"] == saved.headers["etag"]
        again = await ada.http.put(
            place, json=TEMPLATE | {"text": "New"}, headers={"If-Match": shown.headers["etag"]}
        )
        assert again.status_code == 200, again.text
        (row,) = await rows_of(app, ada.tenant.id, TemplateRow)
        assert (row.text, row.characters) == (None, len(TEMPLATE["subject"]) + 3)

    @pytest.mark.parametrize("sealed", [True, False])
    async def test_both_count_towards_what_a_tenant_may_keep(
        self, app: App, sealed: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        ada = await app.caller("operator")
        store = app.platform.of(EmailManager).templates
        size = len(TEMPLATE["subject"]) + len(TEMPLATE["text"])
        monkeypatch.setattr(store, "_max_characters", 2 * size)
        for number in range(2):
            saved = await ada.http.put(f"/api/v1/email-templates/t-{number}", json=TEMPLATE)
            assert saved.status_code == 200, saved.text
            if not sealed:
                await change(
                    app, ada.tenant.id, TemplateRow, **TEMPLATE, sealed_source=None, characters=0
                )
        refused = await ada.http.put("/api/v1/email-templates/t-2", json=TEMPLATE)
        assert refused.json()["code"] == "email.templates_too_large"
        again = await ada.http.put("/api/v1/email-templates/t-1", json=TEMPLATE)
        assert again.status_code == 200, again.text
