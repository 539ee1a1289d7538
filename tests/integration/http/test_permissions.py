"""Every operation of the API asks for its permission, and every permission stands for something."""

import asyncio
import re
from typing import Any, Final

import httpx
import pytest

from backend.core.context import Principal
from backend.core.ids import uuid7
from backend.managers.gateway import GatewayManager
from tests.support.operations import PROMISED, needed
from tests.support.platform import App
from tests.support.roles import ROLES

# What everybody may ask who is somebody: who am I, and what happens. Each kind of event has a
# permission of its own (tests/integration/http/test_event_stream.py). And of people what is their
# own, whatever their role (tests/integration/identity/test_second_factor.py, test_accounts.py).
FREE = {
    "GET /api/v1/me",
    "GET /api/v1/events",
    "GET /api/v1/me/totp",
    "POST /api/v1/me/totp",
    "POST /api/v1/me/totp/confirm",
    "POST /api/v1/me/totp/recovery-codes",
    "DELETE /api/v1/me/totp",
    "GET /api/v1/me/profile",
    "PUT /api/v1/me/profile",
    "PUT /api/v1/me/password",
    "GET /api/v1/me/sessions",
    "DELETE /api/v1/me/sessions",
    "DELETE /api/v1/me/sessions/{session_id}",
    "GET /api/v1/me/sign-ins",
}
# Not an operation's: it decides whose role may be handed out (see the tenant manager).
GRANTS = {"owner:write"}
ALL = frozenset().union(*ROLES.by_name.values()) | ROLES.of_platform


def asked_for(document: dict[str, Any]) -> dict[str, frozenset[str]]:
    """The operations that ask who calls, and what for."""
    return {
        f"{method.upper()} {path}": needed(operation)
        for path, item in document["paths"].items()
        for method, operation in item.items()
        if path.startswith(("/api/", "/alertmanager/")) or path == "/oauth/introspect"
    }


# Who may do what is the committed document's word, not the application's under test: who changes
# it changes a file that somebody reviews.
ASKED: Final = asked_for(PROMISED)
PERMISSIONS: Final = {operation: next(iter(one)) for operation, one in ASKED.items() if one}


def test_every_operation_asks_for_one_permission_and_what_is_free_is_named_here(
    openapi: dict[str, Any],
) -> None:
    assert asked_for(openapi) == ASKED
    assert {operation for operation, names in ASKED.items() if not names} == FREE
    assert {operation: names for operation, names in ASKED.items() if len(names) > 1} == {}


def test_every_permission_has_an_operation_and_a_proper_name() -> None:
    assert set(PERMISSIONS.values()) | GRANTS == ALL
    assert [
        name for name in ALL if not re.fullmatch(r"[a-z]+(_[a-z]+)*:[a-z]+(_[a-z]+)*", name)
    ] == []


async def patiently(http: httpx.AsyncClient, method: str, template: str) -> httpx.Response:
    """The answer of an operation on nothing: there are more than anybody may ask in one go."""
    path = re.sub(r"\{.*?\}", uuid7(), template)
    while (answer := await http.request(method, path)).status_code == 429:
        await asyncio.sleep(float(answer.headers["retry-after"]))
    return answer


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
        answer = await patiently(ada.http, method, template)
        assert answer.status_code == 403, operation
        assert answer.json()["code"] == "forbidden", operation
        assert answer.json()["permission"] == permission, operation
        assert f'scope="{permission}"' in answer.headers["www-authenticate"], operation


async def test_every_operation_refuses_who_is_nobody(app: App) -> None:
    http = app.client()
    for operation in PERMISSIONS.keys() | FREE:
        answer = await patiently(http, *operation.split(" "))
        assert answer.status_code == 401, operation
        assert answer.headers["www-authenticate"].startswith("Bearer"), operation
