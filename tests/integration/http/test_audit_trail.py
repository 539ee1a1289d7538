"""No audit row, no change: every operation that acts leaves the record of who did what."""

from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from backend.core.audit import SEQUENCER, AuditRecord
from backend.core.context import Principal, SystemScope
from backend.core.ids import PLATFORM_TENANT
from backend.managers.gateway import GatewayManager
from tests.support.platform import App
from tests.support.roles import ROLES

EMAIL = {"to": ["ada@example.test"], "subject": "Hello", "text": "There"}
PERSON = {"email": "bob@example.test", "name": "Bob", "role": "viewer", "password": "p" * 12}
SETTINGS = {"from_address": "a@example.test", "from_name": "A", "smtp": None}


class Trail:
    """Performs operations and remembers what each left in the trail."""

    def __init__(self, app: App, http: httpx.AsyncClient) -> None:
        self._app = app
        self._http = http
        self._seen: set[str] = set()
        self.left: dict[str, list[AuditRecord]] = {}

    async def act(self, method: str, template: str, body: Any = None, **names: str) -> Any:
        await self._new()
        if isinstance(body, bytes):
            sent: dict[str, Any] = {"content": body, "headers": {"Content-Type": "text/csv"}}
        else:
            sent = {"json": body}
        answer = await self._http.request(method, template.format(**names), **sent)
        assert answer.is_success, (method, template, answer.text)
        self.left[f"{method} {template}"] = await self._new()
        return answer.json() if answer.content else None

    async def _new(self) -> list[AuditRecord]:
        async with self._app.platform.database.read(SystemScope(SEQUENCER)) as tx:
            rows = await tx.scalars(sa.select(AuditRecord).order_by(AuditRecord.id))
        fresh = [row for row in rows if row.id not in self._seen]
        self._seen.update(row.id for row in fresh)
        return fresh


ACTIONS = {
    "POST /api/v1/clients": "client.created",
    "POST /api/v1/clients/{client_row_id}/rotate": "client.rotated",
    "DELETE /api/v1/clients/{client_row_id}": "client.deleted",
    "POST /api/v1/api-keys": "api_key.created",
    "DELETE /api/v1/api-keys/{key_id}": "api_key.revoked",
    "POST /api/v1/emails": "email.submitted",
    "POST /api/v1/emails/batch": "email.submitted",
    "GET /api/v1/emails/{email_id}/content": "email.content_read",
    "GET /sink/emails/{email_id}": "email.content_read",
    "PUT /api/v1/email-templates/{name}": "email_template.saved",
    "DELETE /api/v1/email-templates/{name}": "email_template.deleted",
    "PUT /api/v1/email-settings": "email_settings.saved",
    "POST /api/v1/suppressions": "suppression.added",
    "POST /api/v1/suppressions/import": "suppression.imported",
    "DELETE /api/v1/suppressions/{suppression_id}": "suppression.removed",
    "POST /api/v1/jobs/{job_id}/cancel": "job.cancelled",
    "POST /api/v1/jobs/{job_id}/retry": "job.retried",
    "POST /api/v1/audit/verify": "audit.verified",
    "POST /api/v1/members": "member.added",
    "PUT /api/v1/members/{user_id}": "member.role_changed",
    "DELETE /api/v1/members/{user_id}": "member.removed",
    "POST /api/v1/platform/tenants": "tenant.created",
    "POST /api/v1/platform/signing-keys/rotate": "signing_key.rotated",
    "POST /api/v1/platform/audit/verify": "audit.verified",
}


def test_the_table_holds_every_operation_that_changes_something(openapi: dict[str, Any]) -> None:
    changing = {
        f"{method.upper()} {path}"
        for path, item in openapi["paths"].items()
        for method in item
        if path.startswith("/api/") and method != "get"
    }
    assert changing == {operation for operation in ACTIONS if not operation.startswith("GET")}


async def test_every_act_is_recorded_with_who_did_it(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada = await app.caller()
    everybody = Principal(
        subject=f"client:{ada.client_id}",
        kind="client",
        tenant_id=ada.tenant.id,
        permissions=ROLES.by_name["owner"] | ROLES.of_platform,
        role="owner",
    )
    monkeypatch.setattr(app.platform.of(GatewayManager), "cached_principal", lambda _: everybody)
    trail = Trail(app, ada.http)
    api = "/api/v1"

    client = await trail.act("POST", f"{api}/clients", {"name": "c", "role": "viewer"})
    path = api + "/clients/{client_row_id}"
    await trail.act("POST", f"{path}/rotate", client_row_id=client["id"])
    await trail.act("DELETE", path, client_row_id=client["id"])
    key = await trail.act("POST", f"{api}/api-keys", {"name": "k", "role": "viewer"})
    await trail.act("DELETE", api + "/api-keys/{key_id}", key_id=key["id"])

    email = await trail.act("POST", f"{api}/emails", EMAIL)
    await trail.act("POST", f"{api}/emails/batch", {"messages": [EMAIL, EMAIL]})
    await trail.act("GET", api + "/emails/{email_id}/content", email_id=email["id"])
    await trail.act("GET", "/sink/emails/{email_id}", email_id=email["id"])
    await trail.act("POST", api + "/jobs/{job_id}/cancel", job_id=email["job_id"])
    await trail.act("POST", api + "/jobs/{job_id}/retry", job_id=email["job_id"])
    template = {"subject": "s", "text": "t", "html": None}
    await trail.act("PUT", api + "/email-templates/{name}", template, name="welcome")
    await trail.act("DELETE", api + "/email-templates/{name}", name="welcome")
    await trail.act("PUT", f"{api}/email-settings", SETTINGS)

    held = await trail.act("POST", f"{api}/suppressions", {"address": "bob@example.test"})
    await trail.act("POST", f"{api}/suppressions/import", b"ada@example.test")
    path = api + "/suppressions/{suppression_id}"
    await trail.act("DELETE", path, suppression_id=held["id"])

    member = await trail.act("POST", f"{api}/members", PERSON)
    path = api + "/members/{user_id}"
    await trail.act("PUT", path, {"role": "admin"}, user_id=member["id"])
    await trail.act("DELETE", path, user_id=member["id"])
    await trail.act("POST", f"{api}/audit/verify")
    tenant = {"slug": "acme", "name": "Acme", "owner_email": PERSON["email"]}
    await trail.act("POST", f"{api}/platform/tenants", tenant)
    await trail.act("POST", f"{api}/platform/signing-keys/rotate")
    await trail.act("POST", f"{api}/platform/audit/verify")

    assert {op: [r.action for r in left] for op, left in trail.left.items() if not left} == {}
    assert trail.left.keys() == ACTIONS.keys()
    for operation, left in trail.left.items():
        record, *more = [each for each in left if each.action == ACTIONS[operation]]
        assert len(more) == (operation == "POST /api/v1/emails/batch"), operation
        platform = operation.startswith("POST /api/v1/platform")
        assert record.tenant_id == (PLATFORM_TENANT if platform else ada.tenant.id), operation
        assert {each.actor for each in left} == {f"client:{ada.client_id}"}, operation
        assert record.request_id, operation
        noun, _, verb = record.action.partition(".")
        assert noun
        assert verb.endswith(("ed", "_read")), operation
        assert ":" in record.target, operation


async def test_what_is_refused_leaves_no_record_of_an_act(app: App) -> None:
    ada = await app.caller()
    trail = Trail(app, ada.http)
    await trail._new()
    for method, path, body in (
        ("POST", "/api/v1/emails", {**EMAIL, "to": ["nobody"]}),
        ("POST", "/api/v1/clients", {"name": "c", "role": "king"}),
        ("PUT", "/api/v1/email-templates/t", {"subject": "{% x %}", "text": "t", "html": None}),
        ("DELETE", "/api/v1/email-templates/none", None),
        ("POST", "/api/v1/platform/tenants", {"slug": "acme", "name": "Acme"}),
    ):
        answer = await ada.http.request(method, path, json=body)
        assert 400 <= answer.status_code < 500
    assert [each for each in await trail._new() if each.action != "access.denied"] == []
