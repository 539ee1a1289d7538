"""Named keys, asked over HTTP as workflows and people do, on both databases."""

import base64
from datetime import timedelta
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from backend.core.columns import Base, TenantOwned
from backend.core.context import Scope, SystemScope
from backend.core.events import EventRecord
from backend.managers.security import SecurityManager
from backend.managers.security._keys import DEFAULT_BUDGET, HELD_DAYS
from backend.managers.security.errands import PURGE
from backend.managers.security.models import KeyOpeningRow, KeyRow, KeyVersionRow
from backend.managers.tenant import PLATFORM, TenantManager
from tests.support.platform import App, TenantClient

PLAIN = base64.b64encode(b"attack at dawn").decode()


async def make(caller: TenantClient, name: str = "orders", **body: Any) -> dict[str, Any]:
    answer = await caller.http.post("/api/v1/keys", json={"name": name, **body})
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


async def use(caller: TenantClient, operation: str, name: str = "orders", **body: Any) -> Any:
    answer = await ask(caller, operation, name, **body)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def ask(
    caller: TenantClient, operation: str, name: str = "orders", **body: Any
) -> httpx.Response:
    return await caller.http.post(f"/api/v1/keys/{name}/{operation}", json=body)


def said(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


async def age(app: App, caller: TenantClient, seconds: int) -> None:
    """Make the newest versions of the tenant's keys older."""
    async with app.platform.database.transaction(Scope("test", caller.tenant.id)) as tx:
        for row in await tx.scalars(sa.select(KeyRow)):
            row.rotated_at -= timedelta(seconds=seconds)
            row.rotates_at = row.rotates_at and row.rotates_at - timedelta(seconds=seconds)
            row.delete_at = row.delete_at and row.delete_at - timedelta(seconds=seconds)


async def events(app: App, caller: TenantClient) -> list[str]:
    async with app.platform.database.read(Scope("test", caller.tenant.id)) as tx:
        rows = await tx.scalars(sa.select(EventRecord.kind).order_by(EventRecord.id))
        return [kind for kind in rows if kind.startswith("key.")]


class TestCreateKey:
    async def test_makes_one_that_is_listed_shown_and_recorded(self, app: App) -> None:
        ada = await app.caller("admin")
        made = await make(ada, rotate_after_seconds=86_400)
        assert made["type"] == "aes256-gcm"
        assert made["rotate_after_operations"] == DEFAULT_BUDGET
        assert (made["latest_version"], made["min_decrypt_version"], made["operations"]) == (
            1,
            1,
            0,
        )
        listed = (await ada.http.get("/api/v1/keys")).json()["items"]
        shown = (await ada.http.get("/api/v1/keys/orders")).json()
        assert listed == [made] == [shown]
        (entry,) = await ada.audit(app.platform, "key.created")
        assert (entry.target, entry.data) == (
            f"key:{made['id']}",
            {"name": "orders", "type": "aes256-gcm"},
        )
        assert await events(app, ada) == ["key.created"]

    async def test_refuses_a_name_that_is_taken_and_leaves_nothing(self, app: App) -> None:
        ada = await app.caller("admin")
        await make(ada)
        again = await ada.http.post("/api/v1/keys", json={"name": "orders", "type": "ed25519"})
        assert said(again) == (409, "security.key_name_taken")
        assert len((await ada.http.get("/api/v1/keys")).json()["items"]) == 1

    @pytest.mark.parametrize("name", ["", "a", "Orders", "-a", "a-", "a.b", "a" * 65, "a b"])
    async def test_refuses_names_that_no_path_holds(self, app: App, name: str) -> None:
        ada = await app.caller("admin")
        assert (await ada.http.post("/api/v1/keys", json={"name": name})).status_code == 422

    async def test_pages_through_many(self, app: App) -> None:
        ada = await app.caller("admin")
        names = [f"key-{number}" for number in range(5)]
        for name in names:
            await make(ada, name)
        found, cursor = [], None
        while cursor is not None or not found:
            params = {"limit": 2} | ({"cursor": cursor} if cursor else {})
            page = (await ada.http.get("/api/v1/keys", params=params)).json()
            found += [one["name"] for one in page["items"]]
            cursor = page["next_cursor"]
            if cursor is None:
                break
        assert found == names[::-1]

    async def test_is_for_those_who_may(self, app: App) -> None:
        ada = await app.caller("admin")
        await make(ada)
        for role, may in {
            "viewer": {"read"},
            "operator": {"read", "use"},
            "workflow": {"read", "use"},
            "admin": {"read", "use", "write"},
        }.items():
            caller = await app.caller(role, ada.tenant)
            answers = {
                "read": await caller.http.get("/api/v1/keys/orders"),
                "use": await ask(caller, "encrypt", plaintext=PLAIN),
                "write": await caller.http.post("/api/v1/keys/orders/rotate"),
            }
            got = {verb for verb, answer in answers.items() if answer.is_success}
            assert got == may, role
            assert all(a.status_code == 403 for v, a in answers.items() if v not in may), role

    async def test_is_the_tenants_own(self, app: App) -> None:
        ada, eve = await app.caller("admin"), await app.caller("admin")
        await make(ada)
        sealed = (await use(ada, "encrypt", plaintext=PLAIN))["ciphertext"]
        for answer in (
            await eve.http.get("/api/v1/keys/orders"),
            await ask(eve, "decrypt", ciphertext=sealed),
            await eve.http.post("/api/v1/keys/orders/rotate"),
        ):
            assert said(answer) == (404, "security.key_not_found")
        await make(eve)
        assert said(await ask(eve, "decrypt", ciphertext=sealed)) == (409, "security.seal_broken")


class TestEncrypt:
    async def test_opens_what_it_encrypted_and_records_both(self, app: App) -> None:
        ada = await app.caller("admin")
        key = await make(ada)
        made = await use(ada, "encrypt", plaintext=PLAIN, context="orders/4711")
        assert made["ciphertext"].startswith("es1:")
        assert made["version"] == 1
        opened = await use(ada, "decrypt", ciphertext=made["ciphertext"], context="orders/4711")
        assert opened == {"plaintext": PLAIN, "version": 1}
        entries = await ada.audit(app.platform, "key.used")
        assert [(one.target, one.data) for one in entries] == [
            (
                f"key:{key['id']}",
                {"name": "orders", "operation": operation, "count": 1, "failed": 0, **which},
            )
            for operation, which in (("decrypt", {"versions": [1]}), ("encrypt", {"version": 1}))
        ]

    async def test_the_trail_says_which_versions_opened(self, app: App) -> None:
        """Whoever wants to raise the floor asks it who still has what the first ones made."""
        ada = await app.caller("admin")
        await make(ada)
        first = (await use(ada, "encrypt", plaintext=PLAIN))["ciphertext"]
        await ada.http.post("/api/v1/keys/orders/rotate")
        second = (await use(ada, "encrypt", plaintext=PLAIN))["ciphertext"]
        await use(ada, "rewrap", ciphertext=first)
        broken = second[:-4] + "AAAA"
        items = [{"ciphertext": one} for one in (second, first, first, broken, "es1:ZXMx")]
        await use(ada, "decrypt/batch", items=items)
        await ask(ada, "decrypt", ciphertext=broken)
        alone, batch, rewrap, *_ = [one.data for one in await ada.audit(app.platform, "key.used")]
        assert (rewrap["versions"], rewrap["version"]) == ([1], 2)
        assert (batch["versions"], batch["failed"]) == ([1, 2], 2)
        assert "version" not in batch
        assert (alone["versions"], alone["failed"]) == ([], 1)

    async def test_what_was_refused_is_recorded(self, app: App) -> None:
        ada = await app.caller("admin")
        key = await make(ada)
        sealed = (await use(ada, "encrypt", plaintext=PLAIN))["ciphertext"]
        await ada.http.post("/api/v1/keys/orders/export", json={})
        await ada.http.put("/api/v1/keys/orders", json={"disabled": True})
        await ask(ada, "encrypt", plaintext=PLAIN)
        await ask(ada, "decrypt/batch", items=[{"ciphertext": sealed}])
        await ada.http.put("/api/v1/keys/orders", json={})
        async with app.platform.database.transaction(SystemScope(PLATFORM)) as tx:
            lifecycle = app.platform.of(TenantManager).lifecycle
            await lifecycle.seal(tx, ada.tenant.id, reason="a key was published")
        await ask(ada, "decrypt", ciphertext=sealed)
        # Of what is not there nothing is kept: it would be a text of the caller's.
        await ada.http.post("/api/v1/keys/nothing/encrypt", json={"plaintext": PLAIN})
        entries = await ada.audit(app.platform, "key.refused")
        assert {one.target for one in entries} == {f"key:{key['id']}"}
        assert [(one.data["operation"], one.data["why"]) for one in reversed(entries)] == [
            ("export", "security.key_not_exportable"),
            ("encrypt", "security.key_disabled"),
            ("decrypt", "security.key_disabled"),
            ("decrypt", "security.sealed"),
        ]

    async def test_refuses_everything_wrong_with_one_error(self, app: App) -> None:
        ada = await app.caller("admin")
        await make(ada)
        await make(ada, "other")
        sealed = (await use(ada, "encrypt", plaintext=PLAIN, context="here"))["ciphertext"]
        answers = [
            await ask(ada, "decrypt", ciphertext=sealed, context="there"),
            await ask(ada, "decrypt", "other", ciphertext=sealed, context="here"),
            await ask(ada, "decrypt", ciphertext=sealed[:-2], context="here"),
            await ask(ada, "decrypt", ciphertext=f"{sealed}AAAA", context="here"),
            await ask(ada, "decrypt", ciphertext="es1:", context="here"),
            await ask(ada, "decrypt", ciphertext="vault:v1:abc", context="here"),
            await ask(ada, "rewrap", ciphertext=sealed, context="there"),
        ]
        bodies = [one.json() for one in answers]
        for body in bodies:
            body.pop("request_id", None)
            body.pop("instance", None)
        assert {answer.status_code for answer in answers} == {409}
        assert all(body == bodies[0] for body in bodies)
        # What failed is in the trail as well.
        failed = [one.data["failed"] for one in await ada.audit(app.platform, "key.used")]
        assert failed == [1] * len(answers) + [0]

    async def test_no_record_no_operation(self, app: App, monkeypatch: pytest.MonkeyPatch) -> None:
        ada = await app.caller("admin")
        await make(ada)
        sealed = (await use(ada, "encrypt", plaintext=PLAIN))["ciphertext"]
        before = len(await ada.audit(app.platform, "key.used"))

        def broken(*_: object, **__: object) -> None:
            raise RuntimeError("no trail")

        monkeypatch.setattr(app.platform.database, "audit_row", broken)
        for operation, body in (
            ("encrypt", {"plaintext": PLAIN}),
            ("decrypt", {"ciphertext": sealed}),
            ("data-key", {}),
        ):
            answer = await ask(ada, operation, **body)
            assert answer.status_code == 500
            assert "plaintext" not in answer.text
            assert "es1:" not in answer.text
        answer = await ada.http.post("/api/v1/random", json={})
        assert answer.status_code == 500
        monkeypatch.undo()
        assert len(await ada.audit(app.platform, "key.used")) == before

    async def test_a_batch_is_one_record_and_fails_in_parts(self, app: App) -> None:
        ada = await app.caller("admin")
        await make(ada)
        items = [{"plaintext": PLAIN, "context": str(number)} for number in range(1000)]
        made = await use(ada, "encrypt/batch", items=items)
        assert made["failed"] == 0
        sealed = [one["result"]["ciphertext"] for one in made["items"]]
        assert len(set(sealed)) == 1000
        asked = [
            {"ciphertext": one, "context": str(number if number % 4 else 0)}
            for number, one in enumerate(sealed)
        ]
        opened = await use(ada, "decrypt/batch", items=asked)
        assert opened["failed"] == 249
        for number, one in enumerate(opened["items"]):
            if number % 4 or number == 0:
                assert one == {"result": {"plaintext": PLAIN, "version": 1}}
            else:
                assert one["error"]["code"] == "security.seal_broken"
        entries = await ada.audit(app.platform, "key.used")
        assert [(one.data["count"], one.data["failed"]) for one in entries] == [
            (1000, 249),
            (1000, 0),
        ]
        more = await ask(ada, "encrypt/batch", items=[*items, items[0]])
        assert more.status_code == 422
        assert (await ask(ada, "encrypt/batch", items=[])).status_code == 422

    async def test_takes_large_values_off_the_loop(self, app: App) -> None:
        ada = await app.caller("admin")
        await make(ada)
        large = base64.b64encode(bytes(range(256)) * 4096).decode()
        made = await use(ada, "encrypt", plaintext=large)
        opened = await use(ada, "decrypt", ciphertext=made["ciphertext"])
        assert opened["plaintext"] == large

    @pytest.mark.parametrize(
        "body",
        [
            {},
            {"plaintext": "not base64!"},
            {"plaintext": 7},
            {"plaintext": PLAIN, "context": "x" * 1025},
            {"plaintext": PLAIN, "context": "\0"},
            {"plaintext": PLAIN, "more": 1},
        ],
        ids=["none", "base64", "number", "context", "nul", "unknown"],
    )
    async def test_refuses_bodies(self, app: App, body: dict[str, Any]) -> None:
        ada = await app.caller("admin")
        await make(ada)
        assert (await ask(ada, "encrypt", **body)).status_code == 422


class TestRotateKey:
    async def test_encrypts_with_the_new_version_and_opens_with_any(self, app: App) -> None:
        ada = await app.caller("admin")
        await make(ada)
        first = (await use(ada, "encrypt", plaintext=PLAIN))["ciphertext"]
        rotated = (await ada.http.post("/api/v1/keys/orders/rotate")).json()
        assert rotated["latest_version"] == 2
        second = await use(ada, "encrypt", plaintext=PLAIN)
        assert second["version"] == 2
        assert (await use(ada, "decrypt", ciphertext=first))["version"] == 1
        rewrapped = await use(ada, "rewrap", ciphertext=first)
        assert (rewrapped["version"], rewrapped["previous_version"]) == (2, 1)
        assert (await use(ada, "decrypt", ciphertext=rewrapped["ciphertext"]))["version"] == 2
        versions = (await ada.http.get("/api/v1/keys/orders/versions")).json()
        assert [(one["number"], one["usable"]) for one in versions["items"]] == [
            (2, True),
            (1, True),
        ]
        (entry,) = await ada.audit(app.platform, "key.rotated")
        assert entry.data == {"name": "orders", "version": 2, "because": "asked"}

    async def test_of_many_versions_a_process_has_a_few_in_memory(
        self, app: App, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("backend.managers.security._use._MOST_VERSIONS", 4)
        ada = await app.caller("admin")
        await make(ada)
        made = []
        for _ in range(12):
            made.append((await use(ada, "encrypt", plaintext=PLAIN))["ciphertext"])
            await ada.http.post("/api/v1/keys/orders/rotate")
        await use(ada, "encrypt", plaintext=PLAIN)
        keys = app.platform.of(SecurityManager).use
        before = (await ada.http.get("/api/v1/keys/orders")).json()["operations"]
        for sealed in made * 2:
            assert (await use(ada, "decrypt", ciphertext=sealed))["plaintext"] == PLAIN
            held = keys.find(ada.tenant.id, "orders")
            assert held is not None
            assert len(held.versions) <= 6
        # What was reserved went along.
        await use(ada, "encrypt", plaintext=PLAIN)
        assert (await ada.http.get("/api/v1/keys/orders")).json()["operations"] == before
        items = [{"ciphertext": sealed} for sealed in made]
        answer = await use(ada, "decrypt/batch", items=items)
        assert (answer["failed"], len(answer["items"])) == (0, 12)

    async def test_raising_the_floor_ends_what_earlier_versions_made(self, app: App) -> None:
        ada = await app.caller("admin")
        await make(ada)
        first = (await use(ada, "encrypt", plaintext=PLAIN))["ciphertext"]
        await ada.http.post("/api/v1/keys/orders/rotate")
        assert (await use(ada, "decrypt", ciphertext=first))["version"] == 1
        raised = await ada.http.put("/api/v1/keys/orders", json={"min_decrypt_version": 2})
        assert raised.status_code == 200, raised.text
        assert said(await ask(ada, "decrypt", ciphertext=first)) == (409, "security.seal_broken")
        assert said(await ask(ada, "rewrap", ciphertext=first)) == (409, "security.seal_broken")
        versions = (await ada.http.get("/api/v1/keys/orders/versions", params={"limit": 1})).json()
        assert (versions["items"][0]["number"], versions["next_below"]) == (2, 2)
        rest = await ada.http.get("/api/v1/keys/orders/versions", params={"below": 2})
        assert [one["usable"] for one in rest.json()["items"]] == [False]

    async def test_who_opens_earlier_versions_is_known_and_holds_the_floor(self, app: App) -> None:
        security = app.platform.of(SecurityManager)
        ada = await app.caller("admin")
        bob = await app.caller("operator", tenant=ada.tenant)
        await make(ada)
        first = (await use(ada, "encrypt", plaintext=PLAIN))["ciphertext"]
        await ada.http.post("/api/v1/keys/orders/rotate")
        second = (await use(ada, "encrypt", plaintext=PLAIN))["ciphertext"]
        for ciphertext in (first, second, first):
            await use(bob, "decrypt", ciphertext=ciphertext)
        await use(ada, "rewrap", ciphertext=first)
        await ask(ada, "decrypt", ciphertext=first, context="elsewhere")
        await security.openings.flush(app.platform.database)
        await use(bob, "decrypt", ciphertext=first)
        await security.openings.flush(app.platform.database)
        found = (await ada.http.get("/api/v1/keys/orders/openings")).json()["items"]
        assert sorted((one["actor"], one["version"]) for one in found) == sorted(
            [
                (f"client:{bob.client_id}", 1),
                (f"client:{bob.client_id}", 2),
                (f"client:{ada.client_id}", 1),
            ]
        )
        versions = (await ada.http.get("/api/v1/keys/orders/versions")).json()["items"]
        assert all(one["last_opened_at"] for one in versions)
        raise_it: dict[str, Any] = {"min_decrypt_version": 2}
        refused = await ada.http.put("/api/v1/keys/orders", json=raise_it)
        assert said(refused) == (409, "security.version_in_use")
        assert refused.json()["callers"] == 2
        await use(ada, "decrypt", ciphertext=first)
        raised = await ada.http.put("/api/v1/keys/orders", json={**raise_it, "even_if_used": True})
        assert raised.status_code == 200
        # What does not open is nobody's opening, and lowering the floor is always allowed.
        assert (await ask(bob, "decrypt", ciphertext=first)).status_code == 409
        assert (await ada.http.put("/api/v1/keys/orders", json={})).status_code == 200

    async def test_openings_of_long_ago_and_of_the_newest_hold_no_floor(self, app: App) -> None:
        security = app.platform.of(SecurityManager)
        ada = await app.caller("admin")
        await make(ada)
        first = (await use(ada, "encrypt", plaintext=PLAIN))["ciphertext"]
        await use(ada, "decrypt", ciphertext=first)
        await security.openings.flush(app.platform.database)
        await ada.http.post("/api/v1/keys/orders/rotate")
        async with app.platform.database.transaction(Scope("test", ada.tenant.id)) as tx:
            (row,) = await tx.scalars(sa.select(KeyOpeningRow))
            row.last_at -= timedelta(days=HELD_DAYS)
        raised = await ada.http.put("/api/v1/keys/orders", json={"min_decrypt_version": 2})
        assert raised.status_code == 200

    async def test_openings_of_a_key_or_tenant_that_is_gone_are_not_written(self, app: App) -> None:
        security = app.platform.of(SecurityManager)
        ada, eve = await app.caller("admin"), await app.caller("admin")
        for caller in (ada, eve):
            await make(caller)
            sealed = (await use(caller, "encrypt", plaintext=PLAIN))["ciphertext"]
            await use(caller, "decrypt", ciphertext=sealed)
        async with app.platform.database.transaction(Scope("test", ada.tenant.id)) as tx:
            for model in (KeyVersionRow, KeyRow):
                await tx.execute(sa.delete(model))
        security.openings.leave(eve.tenant.id)
        await security.openings.flush(app.platform.database)
        for caller in (ada, eve):
            async with app.platform.database.read(Scope("test", caller.tenant.id)) as tx:
                assert await tx.scalars(sa.select(KeyOpeningRow)) == []

    async def test_verifying_is_an_opening_when_it_holds(self, app: App) -> None:
        security = app.platform.of(SecurityManager)
        ada = await app.caller("admin")
        await make(ada, type="ed25519")
        signature = (await use(ada, "sign", message=PLAIN))["signature"]
        await use(ada, "verify", message="AAAA", signature=signature)
        await security.openings.flush(app.platform.database)
        openings = "/api/v1/keys/orders/openings"
        assert (await ada.http.get(openings)).json()["items"] == []
        await use(ada, "verify", message=PLAIN, signature=signature)
        await security.openings.flush(app.platform.database)
        assert [one["version"] for one in (await ada.http.get(openings)).json()["items"]] == [1]

    async def test_the_tick_rotates_what_has_come_of_age_and_no_more(self, app: App) -> None:
        security = app.platform.of(SecurityManager)
        ada, eve = await app.caller("admin"), await app.caller("admin")
        await make(ada, rotate_after_seconds=3600)
        await make(ada, "young", rotate_after_seconds=86_400)
        await make(ada, "ageless")
        await make(ada, "off", rotate_after_seconds=3600)
        await ada.http.put(
            "/api/v1/keys/off", json={"rotate_after_seconds": 3600, "disabled": True}
        )
        await make(eve, rotate_after_seconds=3600)
        assert await security.rotate_due(app.platform.database) == 0
        await age(app, ada, 3601)
        await age(app, eve, 3601)
        assert await security.rotate_due(app.platform.database) == 2
        assert await security.rotate_due(app.platform.database) == 0
        listed = (await ada.http.get("/api/v1/keys")).json()["items"]
        assert {one["name"]: one["latest_version"] for one in listed} == {
            "orders": 2,
            "young": 1,
            "ageless": 1,
            "off": 1,
        }
        (entry,) = await ada.audit(app.platform, "key.rotated")
        assert (entry.actor, entry.data["because"]) == ("system", "age")
        assert (await ada.http.get("/api/v1/keys/orders")).json()["rotates_at"] is not None


class TestChangeKey:
    async def test_holds_at_once_and_nobody_overwrites_another(self, app: App) -> None:
        ada = await app.caller("admin")
        await make(ada)
        await use(ada, "encrypt", plaintext=PLAIN)
        shown = await ada.http.get("/api/v1/keys/orders")
        tag = {"If-Match": shown.headers["ETag"]}
        off = await ada.http.put("/api/v1/keys/orders", json={"disabled": True}, headers=tag)
        assert off.status_code == 200, off.text
        stale = await ada.http.put("/api/v1/keys/orders", json={"disabled": False}, headers=tag)
        assert said(stale) == (412, "security.key_changed")
        for operation, body in (("encrypt", {"plaintext": PLAIN}), ("data-key", {})):
            assert said(await ask(ada, operation, **body)) == (409, "security.key_disabled")
        on = await ada.http.put("/api/v1/keys/orders", json={})
        assert on.status_code == 200
        await use(ada, "encrypt", plaintext=PLAIN)
        changed = [one.data["changed"] for one in await ada.audit(app.platform, "key.changed")]
        assert changed == [{"disabled": False}, {"disabled": True}]

    async def test_another_process_learns_of_it_in_its_own_commit(
        self, app: App, app_settings: Any
    ) -> None:
        """Without a signal: the other one asks the database when it records."""
        ada = await app.caller("admin")
        await make(ada)
        await use(ada, "encrypt", plaintext=PLAIN)
        held = app.platform.of(SecurityManager).use.find(ada.tenant.id, "orders")
        assert held is not None
        other = SecurityManager(app.platform.of(SecurityManager).root)
        async with app.platform.database.transaction(Scope("test", ada.tenant.id)) as tx:
            await other.keys.rotate(tx, "orders")
        assert (await use(ada, "encrypt", plaintext=PLAIN))["version"] == 2

    async def test_refuses_what_contradicts_the_key(self, app: App) -> None:
        ada = await app.caller("admin")
        await make(ada, exportable=True)
        for body, place in (
            ({"min_decrypt_version": 2, "exportable": True}, "/body/min_decrypt_version"),
            ({"exportable": False}, "/body/exportable"),
            (
                {"rotate_after_operations": 2**32 + 1, "exportable": True},
                "/body/rotate_after_operations",
            ),
        ):
            answer = await ada.http.put("/api/v1/keys/orders", json=body)
            assert said(answer) == (422, "security.key_policy_invalid"), body
            assert answer.json()["errors"][0]["pointer"] == place
        assert (await ada.http.get("/api/v1/keys/orders")).json()["exportable"] is True
        assert await ada.audit(app.platform, "key.changed") == []


class TestDeleteKey:
    async def test_waits_is_called_back_and_at_last_destroyed(self, app: App) -> None:
        ada = await app.caller("admin")
        key = await make(ada)
        sealed = (await use(ada, "encrypt", plaintext=PLAIN))["ciphertext"]
        gone = await ada.http.delete("/api/v1/keys/orders", params={"wait_days": 7})
        assert gone.status_code == 200, gone.text
        assert gone.json()["delete_at"] is not None
        assert said(await ask(ada, "decrypt", ciphertext=sealed)) == (409, "security.key_disabled")
        assert said(await ada.http.post("/api/v1/keys/orders/rotate"))[0] == 409
        assert said(await ada.http.delete("/api/v1/keys/orders"))[0] == 409
        assert await self.sweep(app) == 0
        back = await ada.http.post("/api/v1/keys/orders/restore")
        assert back.json()["delete_at"] is None
        await use(ada, "decrypt", ciphertext=sealed)
        await app.platform.of(SecurityManager).openings.flush(app.platform.database)
        await ada.http.delete("/api/v1/keys/orders", params={"wait_days": 1})
        await age(app, ada, 86_401)
        # Its versions may be going already, a bite of them at a time.
        late = await ada.http.post("/api/v1/keys/orders/restore")
        assert said(late) == (404, "security.key_not_found")
        assert await self.sweep(app) == 3
        assert await self.sweep(app) == 0
        assert (await ada.http.get("/api/v1/keys/orders")).status_code == 404
        async with app.platform.database.read(Scope("test", ada.tenant.id)) as tx:
            assert await tx.scalars(sa.select(KeyVersionRow)) == []
            assert await tx.scalars(sa.select(KeyOpeningRow)) == []
        (entry,) = await ada.audit(app.platform, "key.purged")
        assert (entry.target, entry.data) == (f"key:{key['id']}", {"name": "orders", "versions": 1})
        # The name is free, and the new key is another one.
        await make(ada)
        assert said(await ask(ada, "decrypt", ciphertext=sealed)) == (409, "security.seal_broken")

    @staticmethod
    async def sweep(app: App) -> int:
        async with app.platform.database.transaction(SystemScope(PURGE)) as tx:
            return await app.platform.of(SecurityManager).sweep_keys(tx)


class TestExportKey:
    async def test_hands_out_what_may_leave_once_and_says_so(self, app: App) -> None:
        ada = await app.caller("admin")
        await make(ada)
        refused = await ada.http.post("/api/v1/keys/orders/export", json={})
        assert said(refused) == (409, "security.key_not_exportable")
        await ada.http.put("/api/v1/keys/orders", json={"exportable": True})
        headers = {"Idempotency-Key": "once"}
        first = await ada.http.post("/api/v1/keys/orders/export", json={}, headers=headers)
        assert len(base64.b64decode(first.json()["material"])) == 32
        assert first.headers["Cache-Control"] == "no-store"
        again = await ada.http.post("/api/v1/keys/orders/export", json={}, headers=headers)
        assert "material" not in again.json()
        assert again.json()["secret_withheld"]
        missing = await ada.http.post("/api/v1/keys/orders/export", json={"version": 9})
        assert said(missing) == (404, "security.key_not_found")
        assert len(await ada.audit(app.platform, "key.exported")) == 1


class TestSign:
    @pytest.mark.parametrize("key_type", ["ed25519", "ecdsa-p256", "hmac-sha256"])
    async def test_verifies_what_it_made_with_any_version(self, app: App, key_type: str) -> None:
        ada = await app.caller("admin")
        await make(ada, type=key_type)
        operation, field = ("hmac", "hmac") if key_type == "hmac-sha256" else ("sign", "signature")
        first = (await use(ada, operation, message=PLAIN))[field]
        await ada.http.post("/api/v1/keys/orders/rotate")
        second = (await use(ada, operation, message=PLAIN))[field]
        assert (first[:3], second[:3]) == ("v1.", "v2.")
        for signature, message, valid in (
            (first, PLAIN, True),
            (second, PLAIN, True),
            (first, "AAAA", False),
            (f"v2.{first[3:]}", PLAIN, False),
            (f"v9.{first[3:]}", PLAIN, False),
        ):
            found = await use(ada, "verify", message=message, signature=signature)
            assert found == {"valid": valid}, signature
        nonsense = await use(ada, "verify", message=PLAIN, signature="nonsense")
        assert nonsense == {"valid": False}
        await ada.http.put("/api/v1/keys/orders", json={"min_decrypt_version": 2})
        floor = await use(ada, "verify", message=PLAIN, signature=first)
        assert floor == {"valid": False}
        versions = (await ada.http.get("/api/v1/keys/orders/versions")).json()["items"]
        has_public = key_type != "hmac-sha256"
        assert all(bool(one["public_key"]) is has_public for one in versions)

    async def test_a_key_does_what_its_type_is_for_alone(self, app: App) -> None:
        ada = await app.caller("admin")
        await make(ada, "cipher")
        await make(ada, "mac", type="hmac-sha256")
        await make(ada, "signer", type="ed25519")
        bodies: dict[str, dict[str, Any]] = {
            "encrypt": {"plaintext": PLAIN},
            "decrypt": {"ciphertext": "es1:ZXMx"},
            "rewrap": {"ciphertext": "es1:ZXMx"},
            "data-key": {},
            "hmac": {"message": PLAIN},
            "sign": {"message": PLAIN},
            "verify": {"message": PLAIN, "signature": "v1.AAAA"},
        }
        may = {
            "cipher": {"encrypt", "decrypt", "rewrap", "data-key"},
            "mac": {"hmac", "verify"},
            "signer": {"sign", "verify"},
        }
        for name, allowed in may.items():
            for operation, body in bodies.items():
                answer = await ask(ada, operation, name, **body)
                mismatch = answer.json().get("code") == "security.key_type_mismatch"
                assert mismatch is (operation not in allowed), (name, operation, answer.text)

    async def test_signs_and_checks_a_batch(self, app: App) -> None:
        ada = await app.caller("admin")
        await make(ada, type="ecdsa-p256")
        messages = [base64.b64encode(bytes([number])).decode() for number in range(40)]
        made = await use(ada, "sign/batch", items=[{"message": one} for one in messages])
        asked = [
            {"message": message, "signature": one["result"]["signature"]}
            for message, one in zip(messages, made["items"], strict=True)
        ]
        asked[7]["signature"] = "nonsense"
        asked[8]["message"] = "AAAA"
        found = await use(ada, "verify/batch", items=asked)
        assert found["failed"] == 0
        valid = [one["result"]["valid"] for one in found["items"]]
        assert valid == [at not in (7, 8) for at in range(40)]


class TestDataKey:
    async def test_gives_it_plain_and_wrapped_or_wrapped_alone(self, app: App) -> None:
        ada = await app.caller("admin")
        await make(ada)
        made = await use(ada, "data-key", context="files")
        assert len(base64.b64decode(made["plaintext"])) == 32
        opened = await use(ada, "decrypt", ciphertext=made["ciphertext"], context="files")
        assert opened["plaintext"] == made["plaintext"]
        assert "plaintext" not in await use(ada, "data-key", wrapped_only=True)
        many = await use(ada, "data-key/batch", items=[{}, {"wrapped_only": True}])
        assert ["plaintext" in one["result"] for one in many["items"]] == [True, False]


class TestRandom:
    async def test_draws_as_many_as_asked_and_records_it(self, app: App) -> None:
        ada = await app.caller("operator")
        one = await ada.http.post("/api/v1/random", json={"size_bytes": 48})
        assert one.headers["Cache-Control"] == "no-store"
        assert len(base64.b64decode(one.json()["random"])) == 48
        other = await ada.http.post("/api/v1/random", json={"size_bytes": 48})
        assert other.json() != one.json()
        whole = await ada.http.post("/api/v1/random", json={"size_bytes": 48.0})
        assert len(base64.b64decode(whole.json()["random"])) == 48
        for size in (0, 4097, -1, 1.5, "8"):
            answer = await ada.http.post("/api/v1/random", json={"size_bytes": size})
            assert answer.status_code == 422, size
        assert [e.data for e in await ada.audit(app.platform, "random.generated")] == [
            {"size_bytes": 48}
        ] * 3


class TestSecrets:
    async def test_nothing_secret_is_kept_in_the_clear(self, app: App) -> None:
        """Neither material nor plaintext lies in a row, the trail or an event."""
        ada = await app.caller("admin")
        await make(ada, exportable=True)
        secret = b"a planted plaintext of 32 bytes!"
        await use(ada, "encrypt", plaintext=base64.b64encode(secret).decode())
        exported = await ada.http.post("/api/v1/keys/orders/export", json={})
        material = base64.b64decode(exported.json()["material"])
        forms = [
            form
            for one in (secret, material)
            for form in (one, base64.b64encode(one), one.hex().encode())
        ]
        looked: dict[str, list[str]] = {}
        async with app.platform.database.read(Scope("test", ada.tenant.id)) as tx:
            for mapper in Base.registry.mappers:
                model: Any = mapper.class_
                table: Any = mapper.local_table
                # A test's own tables are not the installation's.
                if table.metadata is not Base.metadata or not issubclass(model, TenantOwned):
                    continue
                for row in await tx.scalars(sa.select(model)):
                    values = [
                        getattr(row, one.key) for one in mapper.column_attrs if not one.deferred
                    ]
                    raw = b"".join(one for one in values if isinstance(one, bytes))
                    text = repr(values).encode()
                    looked.setdefault(model.__tablename__, []).extend(
                        form.decode("latin-1") for form in forms if form in raw or form in text
                    )
        assert {"security_key_versions", "audit_records", "events"} <= looked.keys()
        assert not any(looked.values()), looked
