"""Execution-bound reads: one execution is given a secret once, and the trail says which."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import sqlalchemy as sa

from backend.app import Platform
from backend.core.context import Scope, SystemScope
from backend.core.ids import uuid7
from backend.managers.secrets import SecretManager
from backend.managers.secrets.models import TokenRow
from backend.managers.tenant import TenantManager
from backend.managers.tenant.models import UserRow
from backend.worker import sweep
from tests.integration.secrets.conftest import (
    GRANTS,
    SECRETS,
    TOKENS,
    events,
    read,
    refused,
    write,
)
from tests.integration.security.test_seal import seal, unseal
from tests.support.errands import EVERYTHING
from tests.support.platform import App, TenantClient

Later = Callable[[float], AbstractContextManager[None]]
READERS = frozenset({"secret:read", "secret_token:issue"})
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

    async def test_of_a_sealed_tenant_is_left_as_it_was(self, app: App) -> None:
        ada = await app.caller("admin")
        made = await write(ada, "a", {"k": "v"})
        token = (await issue(ada))["token"]
        await seal(app, ada)
        url = f"{SECRETS}/{made['secret_id']}"
        for answer in (
            await redeem(ada, token),
            await read(ada, "a"),
            await ada.http.post(SECRETS, json={"path": "b", "value": "v"}),
            await ada.http.post(f"{url}/patch", json={"value": {"k": "w"}}),
            await ada.http.get(f"{url}/difference", params={"from_version": 1, "to_version": 1}),
        ):
            assert refused(answer) == (503, "security.sealed"), answer.request.url
        await unseal(app, ada)
        assert (await redeem(ada, token)).json()["value"] == {"k": "v"}
        assert await ada.audit(app.platform, "secret_token.refused") == []

    async def test_of_two_processes_at_once_one_gives_it(self, app: App, other: Platform) -> None:
        ada = await app.caller("admin")
        await write(ada, "a", "one")
        for _ in range(5):
            token = (await issue(ada))["token"]

            async def use(platform: Platform, token: str = token) -> str:
                scope = Scope("x", ada.tenant.id)
                tokens, database = platform.of(SecretManager).tokens, platform.database
                issuer = await tokens.find_issuer(database, scope, token)
                async with database.transaction(scope) as tx:
                    found = await tokens.redeem(
                        tx,
                        token=token,
                        workflow_id=EXECUTION["workflow_id"],
                        execution_id=EXECUTION["execution_id"],
                        issuer=issuer,
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


async def lose(app: App, ada: TenantClient, what: str, subject: str) -> None:
    """Take from whoever made a token what they read by."""
    kind, _, identity = subject.partition(":")
    if what == "a permission":
        await ada.http.put("/api/v1/roles/issuer", json={"permissions": ["secret_token:issue"]})
    elif what == "their log-in":
        async with app.platform.database.transaction(SystemScope(EVERYTHING)) as tx:
            await tx.execute(sa.update(UserRow).where(UserRow.id == identity).values(disabled=True))
    elif kind == "client":
        (row,) = [
            one
            for one in (await ada.http.get("/api/v1/clients")).json()["items"]
            if one["client_id"] == identity
        ]
        url = f"/api/v1/clients/{row['id']}"
        if what == "the client":
            assert (await ada.http.delete(url)).status_code == 204
        else:
            narrow = {"name": "n", "role": "issuer", "scopes": ["secret_token:issue"]}
            assert (await ada.http.put(url, json=narrow)).status_code == 200
    elif kind == "api_key":
        assert (await ada.http.delete(f"/api/v1/api-keys/{identity}")).status_code == 204
    elif what == "the membership":
        assert (await ada.http.delete(f"/api/v1/members/{identity}")).status_code == 204
    elif what == "the role":
        answer = await ada.http.put(f"/api/v1/members/{identity}", json={"role": "admin"})
        assert answer.status_code == 200, answer.text
    else:
        assert (await ada.http.post(f"/api/v1/members/{identity}/disable")).status_code == 200


class TestIssuer:
    """What a token gives is what its issuer may read when it is used."""

    LOSSES = (
        ("user", "a permission"),
        ("user", "their log-in"),
        ("user", "the membership"),
        ("user", "the role"),
        ("user", "being active"),
        ("client", "a permission"),
        ("client", "the client"),
        ("client", "its scopes"),
        ("api_key", "the key"),
    )

    async def test_who_may_not_read_any_more_gives_nothing(self, app: App) -> None:
        ada = await app.caller("owner")
        await write(ada, "a", "one")
        for kind, what in self.LOSSES:
            await ada.http.put("/api/v1/roles/issuer", json={"permissions": [*READERS]})
            subject = await self.somebody(app, ada, kind)
            token = await self.issued_by(app, ada, subject)
            used = await self.issued_by(app, ada, subject)
            assert (await redeem(ada, used)).json()["value"] == "one", (kind, what)
            await lose(app, ada, what, subject)
            answer = await redeem(ada, token)
            assert refused(answer) == (403, "secrets.issuer_cannot_read"), (kind, what)
            # A stranger does not learn that much.
            answer = await redeem(ada, token, execution_id="4712")
            assert refused(answer) == (403, "secrets.token_foreign"), (kind, what)
        told = {one.data["why"] for one in await ada.audit(app.platform, "secret_token.refused")}
        assert told == {"secrets.issuer_cannot_read", "secrets.token_foreign"}

    async def test_who_may_again_gives_it(self, app: App) -> None:
        ada = await app.caller("owner")
        await write(ada, "a", "one")
        await ada.http.put("/api/v1/roles/issuer", json={"permissions": [*READERS]})
        token = await self.issued_by(app, ada, await self.somebody(app, ada, "client"))
        await lose(app, ada, "a permission", "client:")
        assert (await redeem(ada, token)).status_code == 403
        await ada.http.put("/api/v1/roles/issuer", json={"permissions": [*READERS]})
        assert (await redeem(ada, token)).json()["value"] == "one"

    async def test_a_role_that_was_never_theirs_opens_nothing(self, app: App) -> None:
        """The folder is open to the role that made it, which they have no more."""
        ada = await app.caller("owner")
        await write(ada, "f/a", "one")
        await ada.http.put("/api/v1/roles/issuer", json={"permissions": [*READERS]})
        subject = await self.somebody(app, ada, "user")
        token = await self.issued_by(app, ada, subject, path="f/a")
        opened = {"folder": "f", "role": "issuer", "access": "read"}
        assert (await ada.http.post(GRANTS, json=opened)).status_code == 201
        await lose(app, ada, "the role", subject)
        assert refused(await redeem(ada, token)) == (403, "secrets.issuer_cannot_read")

    @staticmethod
    async def somebody(app: App, ada: TenantClient, kind: str) -> str:
        made = {"name": "n", "role": "issuer"}
        if kind == "client":
            answer = await ada.http.post("/api/v1/clients", json=made)
            return f"client:{answer.json()['client_id']}"
        if kind == "api_key":
            return f"api_key:{(await ada.http.post('/api/v1/api-keys', json=made)).json()['id']}"
        tenants = app.platform.of(TenantManager)
        async with app.platform.database.transaction(SystemScope(EVERYTHING)) as tx:
            email = f"{uuid7()}@example.test"
            bo = await tenants.create_user(tx, email=email, name="Bo", password_hash=None)
            await tenants.add_member(
                tx, tenant_id=ada.tenant.id, user_id=bo.id, role="issuer", granter=None
            )
        return f"user:{bo.id}"

    @staticmethod
    async def issued_by(app: App, ada: TenantClient, subject: str, path: str = "a") -> str:
        async with app.platform.database.transaction(Scope(subject, ada.tenant.id)) as tx:
            _, token = await app.platform.of(SecretManager).tokens.issue(
                tx,
                path=path,
                environment="default",
                role="issuer",
                may=READERS,
                ttl_seconds=60,
                workflow_id=EXECUTION["workflow_id"],
                execution_id=EXECUTION["execution_id"],
            )
        return token


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

    async def test_needs_the_permission_to_read(self, app: App) -> None:
        """Else whoever may issue and redeem would read, whatever their role says."""
        ada = await app.caller("owner")
        await write(ada, "a", "one")
        may_not = {"permissions": ["secret_token:issue", "secret_token:redeem"]}
        await ada.http.put("/api/v1/roles/issuer", json=may_not)
        eve = await app.caller("issuer", ada.tenant)
        refusal = await eve.http.post(TOKENS, json={"path": "a", **EXECUTION})
        assert refused(refusal) == (403, "secrets.issuer_cannot_read")
        # Of a path where nothing is, too: it tells whether there is something otherwise.
        refusal = await eve.http.post(TOKENS, json={"path": "b", **EXECUTION})
        assert refused(refusal) == (403, "secrets.issuer_cannot_read")
        assert await ada.audit(app.platform, "secret_token.issued") == []

    async def test_an_answer_is_replayed_only_to_whoever_may_still_read(self, app: App) -> None:
        ada = await app.caller("owner")
        await write(ada, "a", "one")
        await ada.http.put("/api/v1/roles/issuer", json={"permissions": [*READERS]})
        eve = await app.caller("issuer", ada.tenant)
        asked: dict[str, Any] = {
            "json": {"path": "a", **EXECUTION},
            "headers": {"Idempotency-Key": "k"},
        }
        assert (await eve.http.post(TOKENS, **asked)).status_code == 201
        assert (await eve.http.post(TOKENS, **asked)).status_code == 201
        await ada.http.put("/api/v1/roles/issuer", json={"permissions": ["secret_token:issue"]})
        assert (await eve.http.post(TOKENS, **asked)).status_code == 403

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
