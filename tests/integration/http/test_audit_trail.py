"""No audit row, no change: every operation that acts leaves the record of who did what.

All operations of the document are performed, those that only read included, and what each leaves
is pinned in ``tests/contract/audit-v1.json`` for a person to review. ``scripts/renew`` writes it
anew, by this test with ``EMAIL_SENDER_RENEW=1``; an act without a record fails all the same.
"""

import json
import os
import re
from pathlib import Path
from typing import Any, Final

import pytest
import sqlalchemy as sa

from backend.core.audit import SEQUENCER, AuditRecord
from backend.core.clock import system_clock
from backend.core.context import Principal, SystemScope
from backend.core.ids import PLATFORM_TENANT
from backend.managers.gateway import GatewayManager
from backend.managers.monitoring import MonitoringSettings
from backend.managers.tenant import PLATFORM, TenantManager, hash_password
from backend.settings import Settings
from tests.support.operations import PASSWORD, Operations
from tests.support.platform import App, TenantClient
from tests.support.roles import ROLES

# Anybody's e-mail address, or an address of the Internet.
PERSONAL: Final = re.compile(
    r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+|(?<![\d.])(?:\d{1,3}\.){3}\d{1,3}(?![\d./])"
)
# What looks like an address, what people write in their own words, and where machines are.
NOBODYS: Final = frozenset({"message_id", "reason", "relay", "smtp_host"})
# What is taken in says itself who sent it and when: a record of each batch would say it again.
SAYS_ITSELF: Final = frozenset({"POST /api/v1/logs"})
PINNED: Final = Path(__file__).parents[2] / "contract" / "audit-v1.json"


@pytest.fixture
def app_settings(app_settings: Settings, prometheus_stand_in: str) -> Settings:
    monitoring = MonitoringSettings(prometheus_url=prometheus_stand_in)
    return app_settings.model_copy(update={"monitoring": monitoring})


class Trail:
    """What was added to the trail since one asked last."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._seen: set[str] = set()

    async def new(self) -> list[AuditRecord]:
        """The records that were not there before."""
        async with self._app.platform.database.read(SystemScope(SEQUENCER)) as tx:
            rows = await tx.scalars(sa.select(AuditRecord).order_by(AuditRecord.id))
        fresh = [row for row in rows if row.id not in self._seen]
        self._seen.update(row.id for row in fresh)
        return fresh


async def become_everybody(app: App, ada: TenantClient, monkeypatch: pytest.MonkeyPatch) -> str:
    """Let Ada's credential stand for a person who may do all there is; gives the subject."""
    tenants = app.platform.of(TenantManager)
    async with app.platform.database.transaction(SystemScope(PLATFORM)) as tx:
        user = await tenants.create_user(
            tx,
            email="ada@example.test",
            name="Ada",
            password_hash=hash_password(PASSWORD),
            platform_role="administrator",
        )
        await tenants.add_member(
            tx, tenant_id=ada.tenant.id, user_id=user.id, role="owner", granter=None
        )
    everybody = Principal(
        subject=f"user:{user.id}",
        kind="user",
        tenant_id=ada.tenant.id,
        permissions=ROLES.by_name["owner"] | ROLES.of_platform,
        role="owner",
        logged_in_at=system_clock().timestamp(),
    )
    monkeypatch.setattr(app.platform.of(GatewayManager), "cached_principal", lambda _: everybody)
    return everybody.subject


def operations(document: dict[str, Any]) -> dict[str, str]:
    """The operations by their ids, but for streams, which have no end to wait for."""
    return {
        operation["operationId"]: f"{method.upper()} {path}"
        for path, item in document["paths"].items()
        for method, operation in item.items()
        if path.startswith("/api/")
        and "text/event-stream" not in operation["responses"].get("200", {}).get("content", {})
    }


def only_reading(document: dict[str, Any]) -> frozenset[str]:
    """The operations that say that they change nothing."""
    return frozenset(
        f"{method.upper()} {path}"
        for path, item in document["paths"].items()
        for method, operation in item.items()
        if method == "get" or operation.get("x-only-reads")
    )


@pytest.mark.slow
async def test_every_act_is_recorded_with_who_did_it(
    app: App, openapi: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    ada = await app.caller()
    subject = await become_everybody(app, ada, monkeypatch)
    able = Operations(openapi, ada.http, keep_spans=app.keep_spans, add_worker=app.add_worker)
    trail = Trail(app)
    places = {PLATFORM_TENANT: "platform", ada.tenant.id: "tenant"}
    left: dict[str, list[str]] = {}

    async def take(operation: str) -> None:
        records = await trail.new()
        left[operation] = sorted(
            f"{one.action} on {one.target.partition(':')[0]}"
            f" in {places.get(one.tenant_id, 'another tenant')}"
            for one in records
        )
        for one in records:
            assert one.actor == subject, operation
            assert one.request_id, operation
            noun, _, verb = one.action.partition(".")
            assert noun, operation
            assert verb.endswith(("ed", "_read")), operation
            assert all(one.target.partition(":")), operation
            # A person's address, or where they are, is sealed under their own key (record 0033).
            said = {name: value for name, value in one.data.items() if name not in NOBODYS}
            found = PERSONAL.findall(json.dumps(said))
            assert found == [], f"{operation}: say so with Personal"

    for operation_id, operation in operations(openapi).items():
        prepared = await able.prepare(operation_id)
        await trail.new()
        await able.send(prepared)
        await take(operation)
    # The sink's route is a demo's, and no part of the document.
    sent = await able.prepare("read_content")
    await trail.new()
    answer = await ada.http.get(f"/sink/emails/{sent.path_parameters['email_id']}")
    assert answer.status_code == 200
    await take("GET /sink/emails/{email_id}")

    reading = only_reading(openapi) | SAYS_ITSELF
    silent = [one for one, said in left.items() if not said and one not in reading]
    assert silent == [], "these change something and leave no record"
    said = {operation: actions for operation, actions in sorted(left.items()) if actions}
    if os.environ.get("EMAIL_SENDER_RENEW"):
        PINNED.write_text(json.dumps(said, indent=2) + "\n")
    assert said == json.loads(PINNED.read_text()), "if it is meant: scripts/renew"


@pytest.mark.slow
async def test_a_repeated_post_is_answered_again_and_leaves_no_second_record(
    app: App, openapi: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    ada = await app.caller()
    await become_everybody(app, ada, monkeypatch)
    able = Operations(openapi, ada.http, keep_spans=app.keep_spans, add_worker=app.add_worker)
    trail = Trail(app)
    for operation_id, operation in operations(openapi).items():
        if not operation.startswith("POST ") or operation in only_reading(openapi):
            continue
        prepared = await able.prepare(operation_id)
        ada.http.headers["Idempotency-Key"] = operation_id
        first = await able.send(prepared)
        await trail.new()
        again = await able.send(prepared)
        del ada.http.headers["Idempotency-Key"]
        assert again.headers.get("idempotency-replayed") == "true", f"{operation}: no reply()"
        assert again.status_code == first.status_code
        if "secret_withheld" in again.text:
            # What is shown once is not kept to be shown again.
            shown, repeated = first.json(), again.json()
            assert repeated.pop("secret_withheld"), operation
            assert repeated == {name: shown[name] for name in repeated}, operation
            assert len(repeated) < len(shown) - 1, f"{operation}: withholds nothing"
        else:
            assert again.content == first.content, operation
        assert await trail.new() == [], operation


async def test_what_is_refused_leaves_no_record_of_an_act(app: App) -> None:
    ada = await app.caller()
    trail = Trail(app)
    await trail.new()
    for method, path, body in (
        ("POST", "/api/v1/emails", {"to": ["nobody"], "subject": "Hello", "text": "There"}),
        ("POST", "/api/v1/clients", {"name": "c", "role": "king"}),
        ("PUT", "/api/v1/email-templates/t", {"subject": "{% x %}", "text": "t", "html": None}),
        ("DELETE", "/api/v1/email-templates/none", None),
        ("POST", "/api/v1/platform/tenants", {"slug": "acme", "name": "Acme"}),
    ):
        answer = await ada.http.request(method, path, json=body)
        assert 400 <= answer.status_code < 500
    assert [each for each in await trail.new() if each.action != "access.denied"] == []
