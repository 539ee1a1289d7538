"""Execution-bound reads: one execution is given a secret once, and the trail says which."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import sqlalchemy as sa

from backend.app import Platform
from backend.core.context import Scope
from backend.managers.secrets import SecretManager
from backend.managers.secrets.models import TokenRow
from backend.worker import sweep
from tests.integration.secrets.conftest import (
    GRANTS,
    SECRETS,
    TOKENS,
    events,
    refused,
    write,
)
from tests.support.platform import App, TenantClient

Later = Callable[[float], AbstractContextManager[None]]
EXECUTION = {"workflow_id": "w1", "execution_id": "4711"}


async def issue(caller: TenantClient, path: str = "a", **more: Any) -> dict[str, Any]:
    answer = await caller.http.post(TOKENS, json={"path": path, **EXECUTION, **more})
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def redeem(caller: TenantClient, token: str, **more: Any) -> Any:
    headers = more.pop("headers", {})
    body = {"token": token, **EXECUTION, **more}
    return await caller.http.post(f"{TOKENS}/redeem", json=body, headers=headers)


class TestRedeem:
    async def test_gives_the_value_once_and_the_trail_joins_execution_and_version(
        self, app: App
    ) -> None:
        ada = await app.caller("admin")
        flow = await app.caller("workflow", ada.tenant)
        made = await write(ada, "a", {"k": "canary-9f"})
        issued = await issue(ada)
        given = await redeem(flow, issued["token"])
        assert given.status_code == 200, given.text
        assert given.headers["Cache-Control"] == "no-store"
        assert (given.json()["value"], given.json()["version"]) == ({"k": "canary-9f"}, 1)
        again = await redeem(flow, issued["token"])
        assert refused(again) == (410, "secrets.token_spent")
        (entry,) = await ada.audit(app.platform, "secret.redeemed")
        assert entry.target == f"secret:{made['secret_id']}"
        assert entry.actor == f"client:{flow.client_id}"
        assert entry.data == {
            "path": "a",
            "environment": "default",
            "version": 1,
            "token": issued["id"],
            **EXECUTION,
        }
        (refusal,) = await ada.audit(app.platform, "secret_token.refused")
        assert refusal.data["why"] == "secrets.token_spent"
        (listed,) = (await ada.http.get(TOKENS)).json()["items"]
        assert (listed["used_version"], listed["used_at"] is None) == (1, False)
        assert "token" not in listed

    async def test_is_refused_to_others_whatever_became_of_it(self, app: App) -> None:
        ada = await app.caller("admin")
        await write(ada, "a", "one")
        token = (await issue(ada))["token"]
        for stranger in ({"execution_id": "4712"}, {"workflow_id": "w2"}):
            answer = await redeem(ada, token, **stranger)
            assert refused(answer) == (403, "secrets.token_foreign")
        assert (await redeem(ada, token)).status_code == 200
        # Whoever it is not for does not learn that it was used.
        answer = await redeem(ada, token, execution_id="4712")
        assert refused(answer) == (403, "secrets.token_foreign")
        told = [one.data["execution_id"] for one in await events(app, ada, "secret_token.refused")]
        assert told == ["4712", "4711", "4712"]

    async def test_of_many_at_once_one_is_given_it(self, app: App) -> None:
        ada = await app.caller("admin")
        await write(ada, "a", "one")
        token = (await issue(ada))["token"]
        found = await asyncio.gather(*(redeem(ada, token) for _ in range(8)))
        assert sorted(one.status_code for one in found) == [200] + [410] * 7

    async def test_binds_to_the_first_execution_of_the_workflow_if_none_is_named(
        self, app: App
    ) -> None:
        ada = await app.caller("admin")
        await write(ada, "a", "one")
        token = (await issue(ada, execution_id=None))["token"]
        assert (await redeem(ada, token, execution_id="1")).status_code == 200
        answer = await redeem(ada, token, execution_id="2")
        assert refused(answer) == (403, "secrets.token_foreign")
        answer = await redeem(ada, token, execution_id="1")
        assert refused(answer) == (410, "secrets.token_spent")

    async def test_ends_with_its_time(self, app: App, later: Later) -> None:
        ada = await app.caller("admin")
        await write(ada, "a", "one")
        token = (await issue(ada, ttl_seconds=60))["token"]
        with later(61):
            assert refused(await redeem(ada, token)) == (410, "secrets.token_spent")
            await sweep(app.platform, "worker-1")
            assert refused(await redeem(ada, token)) == (410, "secrets.token_spent")
        with later(86_400 + 61):
            # Tokens of access are over by then: what the sweep leaves is looked at below.
            await sweep(app.platform, "worker-1")
        async with app.platform.database.read(Scope("test", ada.tenant.id)) as tx:
            assert await tx.scalars(sa.select(TokenRow.id)) == []

    async def test_reads_the_version_that_was_named(self, app: App) -> None:
        ada = await app.caller("admin")
        await write(ada, "a", "one")
        named, newest = (await issue(ada, version=1))["token"], (await issue(ada))["token"]
        await write(ada, "a", "two")
        assert (await redeem(ada, named)).json()["value"] == "one"
        assert (await redeem(ada, newest)).json()["value"] == "two"

    async def test_is_left_as_it_was_when_the_secret_cannot_be_read(self, app: App) -> None:
        ada = await app.caller("admin")
        made = await write(ada, "a", "one")
        token = (await issue(ada))["token"]
        url = f"{SECRETS}/{made['secret_id']}/versions/1"
        await ada.http.delete(url)
        assert refused(await redeem(ada, token)) == (410, "secrets.version_gone")
        await ada.http.post(f"{url}/undelete")
        assert (await redeem(ada, token)).json()["value"] == "one"
        (refusal,) = await ada.audit(app.platform, "secret_token.refused")
        assert (refusal.data["why"], refusal.data["execution_id"]) == (
            "secrets.version_gone",
            "4711",
        )

    async def test_what_was_opened_on_the_way_to_a_refusal_was_not_read(self, app: App) -> None:
        ada = await app.caller("admin")
        await write(ada, "b", "${secret:gone}")
        await write(ada, "a", "${secret:b}")
        token = (await issue(ada))["token"]
        assert refused(await redeem(ada, token)) == (409, "secrets.reference_broken")
        (refusal,) = await ada.audit(app.platform, "secret_token.refused")
        assert refusal.data["why"] == "secrets.reference_broken"
        for action in ("secret.value_read", "secret.redeemed"):
            assert await ada.audit(app.platform, action) == []

    async def test_of_two_processes_at_once_one_gives_it(self, app: App, other: Platform) -> None:
        ada = await app.caller("admin")
        await write(ada, "a", "one")
        for _ in range(5):
            token = (await issue(ada))["token"]

            async def use(platform: Platform, token: str = token) -> str:
                async with platform.database.transaction(Scope("x", ada.tenant.id)) as tx:
                    found = await platform.of(SecretManager).tokens.redeem(
                        tx, token=token, **EXECUTION
                    )
                return "given" if found.revealed else str(found.refusal and found.refusal.code)

            uses = [use(each) for each in (app.platform, other) * 3]
            said = sorted(await asyncio.gather(*uses))
            assert said == ["given", *["secrets.token_spent"] * 5]
        assert len(await ada.audit(app.platform, "secret.redeemed")) == 5

    async def test_a_replay_lacks_the_value(self, app: App) -> None:
        ada = await app.caller("admin")
        await write(ada, "a", "canary-9f")
        token = (await issue(ada))["token"]
        key = {"Idempotency-Key": "k-1"}
        assert (await redeem(ada, token, headers=key)).json()["value"] == "canary-9f"
        again = await redeem(ada, token, headers=key)
        assert again.status_code == 200
        assert "value" not in again.json()
        assert "Have another token made" in again.json()["secret_withheld"]

    async def test_is_of_one_tenant(self, app: App) -> None:
        ada, eve = await app.caller("admin"), await app.caller("admin")
        await write(ada, "a", "one")
        token = (await issue(ada))["token"]
        assert refused(await redeem(eve, token)) == (404, "secrets.token_not_found")
        made_up = f"{token[:-1]}{'0' if token[-1] != '0' else '1'}"
        assert refused(await redeem(ada, made_up)) == (404, "secrets.token_not_found")

    async def test_is_no_longer_after_it_was_revoked(self, app: App) -> None:
        ada = await app.caller("admin")
        await write(ada, "a", "one")
        issued = await issue(ada)
        url = f"{TOKENS}/{issued['id']}"
        assert (await ada.http.delete(url)).status_code == 204
        assert refused(await redeem(ada, issued["token"])) == (404, "secrets.token_not_found")
        assert refused(await ada.http.delete(url)) == (404, "secrets.token_not_found")


class TestIssue:
    async def test_needs_a_secret_that_can_be_read(self, app: App) -> None:
        ada = await app.caller("admin")
        missing = await ada.http.post(TOKENS, json={"path": "a", **EXECUTION})
        assert refused(missing) == (404, "secrets.not_found")
        await write(ada, "a", "one")
        missing = await ada.http.post(TOKENS, json={"path": "a", "version": 2, **EXECUTION})
        assert refused(missing) == (404, "secrets.version_not_found")
        too_long = await ada.http.post(TOKENS, json={"path": "a", "ttl_seconds": 3601, **EXECUTION})
        assert refused(too_long) == (422, "invalid_input")

    async def test_reads_no_more_than_its_issuer_may(self, app: App) -> None:
        """Who runs the workflow needs no right on the folder; who made the token does, still."""
        ada = await app.caller("admin")
        flow = await app.caller("workflow", ada.tenant)
        await write(ada, "f/a", "one")
        open_to_admins = {"folder": "f", "role": "admin", "access": "write"}
        assert (await ada.http.post(GRANTS, json=open_to_admins)).status_code == 201
        refusal = await flow.http.post(TOKENS, json={"path": "f/a", **EXECUTION})
        assert refused(refusal) == (403, "secrets.folder_closed")
        first, second = (await issue(ada, "f/a"))["token"], (await issue(ada, "f/a"))["token"]
        assert (await redeem(flow, first)).status_code == 200
        owner = await app.caller("owner", ada.tenant)
        grants = (await owner.http.get(GRANTS)).json()["items"]
        await owner.http.post(GRANTS, json={**open_to_admins, "role": "owner"})
        await owner.http.delete(f"{GRANTS}/{grants[0]['id']}")
        assert refused(await redeem(flow, second)) == (403, "secrets.folder_closed")

    async def test_lists_those_of_one_secret(self, app: App) -> None:
        ada = await app.caller("admin")
        made = await write(ada, "a", "one")
        await write(ada, "b", "two")
        await issue(ada, "a")
        await issue(ada, "b")
        query = {"secret_id": made["secret_id"]}
        listed = (await ada.http.get(TOKENS, params=query)).json()["items"]
        assert [one["secret_id"] for one in listed] == [made["secret_id"]]
        assert "email_sender_secrets_open_tokens 2.0" in (await ada.http.get("/metrics")).text
