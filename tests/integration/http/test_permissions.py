"""Every operation of the API asks for its permission, and every permission stands for something."""

import re
from typing import Any

import pytest

from backend.core.context import Principal
from backend.core.ids import uuid7
from backend.managers.gateway import GatewayManager
from tests.support.platform import App
from tests.support.roles import ROLES

# Who may do what is decided here, by a person: a new route without a line fails below.
PERMISSIONS = {
    "GET /api/v1/clients": "client:read",
    "POST /api/v1/clients": "client:write",
    "POST /api/v1/clients/{client_row_id}/rotate": "client:write",
    "DELETE /api/v1/clients/{client_row_id}": "client:write",
    "GET /api/v1/api-keys": "api_key:read",
    "POST /api/v1/api-keys": "api_key:write",
    "DELETE /api/v1/api-keys/{key_id}": "api_key:write",
    "POST /api/v1/emails": "email:send",
    "POST /api/v1/emails/batch": "email:send",
    "GET /api/v1/emails": "email:read",
    "GET /api/v1/emails/{email_id}": "email:read",
    "GET /api/v1/emails/{email_id}/content": "email:read_content",
    "GET /api/v1/email-templates": "email_template:read",
    "GET /api/v1/email-templates/{name}": "email_template:read",
    "PUT /api/v1/email-templates/{name}": "email_template:write",
    "DELETE /api/v1/email-templates/{name}": "email_template:write",
    "GET /api/v1/email-settings": "email_settings:read",
    "PUT /api/v1/email-settings": "email_settings:write",
    "GET /api/v1/suppressions": "suppression:read",
    "POST /api/v1/suppressions": "suppression:write",
    "POST /api/v1/suppressions/import": "suppression:write",
    "GET /api/v1/suppressions/export": "suppression:read",
    "GET /api/v1/suppressions/{suppression_id}": "suppression:read",
    "DELETE /api/v1/suppressions/{suppression_id}": "suppression:write",
    "GET /api/v1/jobs": "job:read",
    "GET /api/v1/jobs/{job_id}": "job:read",
    "POST /api/v1/jobs/{job_id}/cancel": "job:write",
    "POST /api/v1/jobs/{job_id}/retry": "job:write",
    "GET /api/v1/overview": "overview:read",
    "GET /api/v1/audit": "audit:read",
    "POST /api/v1/audit/verify": "audit:verify",
    "GET /api/v1/roles": "role:read",
    "GET /api/v1/members": "member:read",
    "POST /api/v1/members": "member:write",
    "PUT /api/v1/members/{user_id}": "member:write",
    "DELETE /api/v1/members/{user_id}": "member:write",
    "GET /api/v1/platform/audit": "platform:read",
    "GET /api/v1/platform/events": "platform:read",
    "POST /api/v1/platform/audit/verify": "platform:read",
    "GET /api/v1/platform/tenants": "platform:read",
    "POST /api/v1/platform/tenants": "platform:write",
    "GET /api/v1/platform/tenants/{tenant_id}": "platform:read",
    "POST /api/v1/platform/signing-keys/rotate": "platform:write",
    "POST /oauth/introspect": "token:introspect",
}
# What everybody may ask who is somebody: who am I, and what happens. Each kind of event has a
# permission of its own (tests/integration/http/test_event_stream.py).
FREE = {"GET /api/v1/me", "GET /api/v1/events"}
# Not an operation's: it decides whose role may be handed out (see the tenant manager).
GRANTS = {"owner:write"}
ALL = frozenset().union(*ROLES.by_name.values()) | ROLES.of_platform


def operations(document: dict[str, Any]) -> set[str]:
    return {
        f"{method.upper()} {path}"
        for path, item in document["paths"].items()
        for method in item
        if path.startswith("/api/") or path == "/oauth/introspect"
    }


def test_the_table_is_complete(openapi: dict[str, Any]) -> None:
    assert operations(openapi) == PERMISSIONS.keys() | FREE


def test_every_permission_has_an_operation_and_a_proper_name() -> None:
    assert set(PERMISSIONS.values()) | GRANTS == ALL
    assert [
        name for name in ALL if not re.fullmatch(r"[a-z]+(_[a-z]+)*:[a-z]+(_[a-z]+)*", name)
    ] == []


async def test_every_operation_refuses_who_lacks_only_its_permission(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada = await app.caller()
    lacking = ""

    def principal(_: str) -> Principal:
        return Principal(
            subject=f"client:{ada.client_id}",
            kind="client",
            tenant_id=ada.tenant.id,
            permissions=ALL - {lacking},
            role="owner",
        )

    monkeypatch.setattr(app.platform.of(GatewayManager), "cached_principal", principal)
    for operation, permission in PERMISSIONS.items():
        lacking = permission
        method, template = operation.split(" ")
        answer = await ada.http.request(method, re.sub(r"\{.*?\}", uuid7(), template))
        assert answer.status_code == 403, operation
        assert answer.json()["code"] == "forbidden", operation
        assert answer.json()["permission"] == permission, operation
        assert f'scope="{permission}"' in answer.headers["www-authenticate"], operation


async def test_every_operation_refuses_who_is_nobody(app: App) -> None:
    http = app.client()
    for operation in PERMISSIONS.keys() | FREE:
        method, template = operation.split(" ")
        answer = await http.request(method, re.sub(r"\{.*?\}", uuid7(), template))
        assert answer.status_code == 401, operation
        assert answer.headers["www-authenticate"].startswith("Bearer"), operation
