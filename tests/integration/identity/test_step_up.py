"""Dangerous acts ask a person for a recent log-in (RFC 9470), and a program for nothing."""

import re
from typing import Any

import pytest

from backend.core.clock import system_clock
from backend.core.context import Principal
from backend.core.ids import uuid7
from backend.managers.gateway import GatewayManager
from tests.support.operations import PROMISED
from tests.support.platform import App
from tests.support.roles import ROLES

SOMEBODY = "0199c0de-0000-7000-8000-00000000000a"

FRESH = {
    "POST /api/v1/me/totp",
    "POST /api/v1/platform/tenants/{tenant_id}/invite-owner",
    "POST /api/v1/me/totp/recovery-codes",
    "DELETE /api/v1/me/totp",
    "DELETE /api/v1/platform/users/{user_id}/totp",
    "POST /api/v1/platform/users/{user_id}/disable",
    "PUT /api/v1/login-policy",
    "GET /api/v1/secrets/by-path/value",
    "GET /api/v1/secrets/{secret_id}/difference",
    "POST /api/v1/secrets/tokens",
    "POST /api/v1/platform/signing-keys/rotate",
    "POST /api/v1/platform/api-keys",
    "POST /api/v1/platform/clients",
    "PUT /api/v1/platform/users/{user_id}/role",
    "DELETE /api/v1/platform/tenants/{tenant_id}",
}


def asked(document: dict[str, Any]) -> set[str]:
    return {
        f"{method.upper()} {path}"
        for path, item in document["paths"].items()
        for method, operation in item.items()
        if operation.get("x-recent-log-in")
    }


def test_the_document_names_them(openapi: dict[str, Any]) -> None:
    assert asked(openapi) == asked(PROMISED)
    assert asked(openapi) >= FRESH


class TestAge:
    @pytest.fixture
    async def person(self, app: App, monkeypatch: pytest.MonkeyPatch) -> Any:
        """Somebody with all permissions whose log-in is as old as one says."""
        caller = await app.caller()

        class Somebody:
            kind, age = "user", 0.0
            http, tenant = caller.http, caller.tenant

            def principal(self, _: str) -> Principal:
                return Principal(
                    subject=f"{self.kind}:{SOMEBODY}",
                    kind=self.kind,
                    tenant_id=self.tenant.id,
                    permissions=ROLES.by_name["owner"] | ROLES.of_platform,
                    logged_in_at=system_clock().timestamp() - self.age,
                )

            async def ask(self, operation: str, **more: Any) -> Any:
                method, template = operation.split(" ")
                path = re.sub(r"\{.*?\}", uuid7(), template)
                return await self.http.request(method, path, **more)

        somebody = Somebody()
        monkeypatch.setattr(app.platform.of(GatewayManager), "cached_principal", somebody.principal)
        return somebody

    async def test_an_old_log_in_is_asked_again(self, person: Any) -> None:
        for person.age, refused in ((0, False), (590, False), (601, True), (43_000, True)):
            for operation in asked(PROMISED):
                answer = await person.ask(operation)
                told = answer.json()["code"] if answer.status_code == 401 else ""
                assert (told == "log_in_too_old") == refused, (operation, person.age, answer.text)
                if refused:
                    assert answer.json()["max_age"] == 600
                    challenge = answer.headers["www-authenticate"]
                    assert 'error="insufficient_user_authentication"' in challenge
                    assert 'max_age="600"' in challenge

    async def test_a_program_is_not_asked(self, person: Any) -> None:
        person.age = 43_000
        for person.kind in ("client", "api_key"):
            for operation in asked(PROMISED):
                assert (await person.ask(operation)).status_code != 401, operation

    async def test_other_acts_ask_nobody(self, person: Any) -> None:
        person.age = 43_000
        assert (await person.ask("GET /api/v1/roles")).status_code == 200

    async def test_it_is_refused_from_the_head_and_replays_are_too(self, person: Any) -> None:
        rotate = "POST /api/v1/platform/signing-keys/rotate"
        key = {"Idempotency-Key": "once"}
        assert (await person.ask(rotate, headers=key)).status_code == 200
        person.age = 601
        assert (await person.ask(rotate, headers=key)).status_code == 401
        unread = await person.ask("PUT /api/v1/login-policy", content=b"x" * 200_000)
        assert unread.status_code == 401
