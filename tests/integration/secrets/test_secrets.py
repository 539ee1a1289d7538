"""Secrets: versions that are written, read, deleted, brought back and destroyed."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest
import sqlalchemy as sa

from backend.app import Platform
from backend.core.context import Scope, SystemScope
from backend.managers.secrets import EXPIRY, SecretChangedError, SecretManager
from backend.managers.secrets._totals import count_bytes, count_secrets
from backend.managers.secrets.models import SecretRow, VersionRow
from backend.managers.security import SealBrokenError
from tests.integration.secrets.conftest import SECRETS, events, read, refused, value_of, write
from tests.support.platform import App, TenantClient

Later = Callable[[float], AbstractContextManager[None]]
SMTP = {"user": "mailer", "password": "hunter2"}


class TestWrite:
    async def test_makes_a_secret_and_then_its_next_versions(self, app: App) -> None:
        ada = await app.caller()
        first = await write(ada, "billing/smtp", SMTP)
        assert (first["version"], first["state"], first["environment"]) == (1, "live", "default")
        assert "value" not in first
        second = await write(ada, "billing/smtp", {"user": "other"})
        assert (second["version"], second["secret_id"]) == (2, first["secret_id"])
        assert await value_of(ada, "billing/smtp") == {"user": "other"}
        assert await value_of(ada, "billing/smtp", version=1) == SMTP
        told = [(one.kind, one.data["version"]) for one in await events(app, ada)]
        assert told == [("secret.saved", 1), ("secret.saved", 2)]

    async def test_keeps_environments_and_tenants_apart(self, app: App) -> None:
        ada, eve = await app.caller(), await app.caller()
        made = await write(ada, "a/b", "one", environment="production")
        await write(ada, "a/b", "two", environment="staging")
        assert await value_of(ada, "a/b", environment="production") == "one"
        assert await value_of(ada, "a/b", environment="staging") == "two"
        assert refused(await read(ada, "a/b")) == (404, "secrets.not_found")
        foreign = await read(eve, "a/b", environment="production")
        assert refused(foreign) == (404, "secrets.not_found")
        by_id = await eve.http.get(f"{SECRETS}/{made['secret_id']}")
        assert refused(by_id) == (404, "secrets.not_found")

    async def test_names_the_environments_that_hold_secrets(self, app: App) -> None:
        ada, eve = await app.caller(), await app.caller()

        async def named(caller: TenantClient) -> list[str]:
            answer = await caller.http.get(f"{SECRETS}/environments")
            found: list[str] = answer.raise_for_status().json()["items"]
            return found

        assert await named(ada) == []
        for environment in ("staging", "default", "production", "staging"):
            await write(ada, f"a/{environment}", "one", environment=environment)
        await write(eve, "a/b", "one", environment="theirs")
        assert await named(ada) == ["default", "production", "staging"]

    async def test_checks_and_sets(self, app: App) -> None:
        ada = await app.caller()
        body = {"path": "a", "value": "one", "cas": 1}
        assert refused(await ada.http.post(SECRETS, json=body)) == (412, "secrets.changed")
        await write(ada, "a", "one", cas=0)
        again = await ada.http.post(SECRETS, json={"path": "a", "value": "x", "cas": 0})
        assert (again.json()["newest_version"], again.status_code) == (1, 412)
        assert (await write(ada, "a", "two", cas=1))["version"] == 2

    async def test_of_many_at_once_one_replaces_each_version(self, app: App) -> None:
        ada = await app.caller()

        async def attempt(number: int) -> int:
            body = {"path": "a/b", "value": str(number), "cas": 0}
            return (await ada.http.post(SECRETS, json=body)).status_code

        found = await asyncio.gather(*map(attempt, range(8)))
        assert sorted(found) == [201] + [412] * 7
        made = await asyncio.gather(*(write(ada, "a/b", str(number)) for number in range(8)))
        assert sorted(one["version"] for one in made) == list(range(2, 10))

    async def test_of_two_processes_at_once_one_replaces_each_version(
        self, app: App, other: Platform
    ) -> None:
        ada = await app.caller()

        async def attempt(platform: Platform, value: str, cas: int) -> str:
            try:
                async with platform.database.transaction(Scope("x", ada.tenant.id)) as tx:
                    await platform.of(SecretManager).write(
                        tx, path="a", environment="default", value=value, role=None, cas=cas
                    )
            except SecretChangedError:
                return ""
            return value

        for cas in range(6):
            both = [(app.platform, "one"), (other, "another")] * 2
            found = await asyncio.gather(*(attempt(*each, cas) for each in both))
            (won,) = [one for one in found if one]
            assert await value_of(ada, "a", version=cas + 1) == won

    async def test_may_be_told_to_take_no_blind_write(self, app: App) -> None:
        ada = await app.caller()
        made = await write(ada, "a", "one")
        kept = await ada.http.put(f"{SECRETS}/{made['secret_id']}", json={"cas_required": True})
        assert kept.status_code == 200
        blind = await ada.http.post(SECRETS, json={"path": "a", "value": "two"})
        assert refused(blind) == (422, "secrets.cas_missing")
        assert blind.json()["errors"][0]["pointer"] == "/body/cas"
        assert (await write(ada, "a", "two", cas=1))["version"] == 2

    @pytest.mark.parametrize(
        ("body", "status"),
        [
            ({"path": "/a", "value": "x"}, 422),
            ({"path": "a//b", "value": "x"}, 422),
            ({"path": "a/../b", "value": "x"}, 422),
            ({"path": "a/", "value": "x"}, 422),
            ({"path": "ä", "value": "x"}, 422),
            ({"path": "a" * 129, "value": "x"}, 422),
            ({"path": "a", "value": ""}, 422),
            ({"path": "a", "value": {}}, 422),
            ({"path": "a", "value": {"odd key": "canary-9f"}}, 422),
            ({"path": "a", "value": {"k": 7}}, 422),
            ({"path": "a", "value": ["canary-9f"]}, 422),
            ({"path": "a", "value": {"k": "\x00"}}, 422),
            ({"path": "a", "value": "x", "environment": "Prod"}, 422),
            ({"path": "a", "value": {"k": "é" * 40_000}}, 413),
            ({"path": "a", "value": "x", "ttl_seconds": 0}, 422),
        ],
    )
    async def test_refuses_what_is_none_and_repeats_no_value(
        self, app: App, body: dict[str, Any], status: int
    ) -> None:
        ada = await app.caller()
        answer = await ada.http.post(SECRETS, json=body)
        assert answer.status_code == status, answer.text
        assert "canary-9f" not in answer.text

    async def test_keeps_so_many_versions(self, app: App) -> None:
        ada = await app.caller()
        made = await write(ada, "a", "1")
        url = f"{SECRETS}/{made['secret_id']}"
        await ada.http.put(url, json={"max_versions": 3})
        for number in range(2, 7):
            await write(ada, "a", str(number))
        listed = (await ada.http.get(f"{url}/versions")).json()["items"]
        assert [one["version"] for one in listed] == [6, 5, 4]
        assert refused(await read(ada, "a", version=3)) == (404, "secrets.version_not_found")
        await ada.http.put(url, json={"max_versions": 1})
        listed = (await ada.http.get(f"{url}/versions")).json()["items"]
        assert [one["version"] for one in listed] == [6]

    async def test_a_replay_shows_the_version_and_no_value(self, app: App) -> None:
        ada = await app.caller()
        key = {"Idempotency-Key": "k-1"}
        body = {"path": "a", "value": "canary-9f"}
        first = await ada.http.post(SECRETS, json=body, headers=key)
        again = await ada.http.post(SECRETS, json=body, headers=key)
        assert again.json() == first.json()
        assert await value_of(ada, "a", version=1) == "canary-9f"
        assert refused(await read(ada, "a", version=2)) == (404, "secrets.version_not_found")


class TestPatch:
    async def test_sets_and_takes_away_keys(self, app: App) -> None:
        ada = await app.caller()
        made = await write(ada, "a", SMTP)
        url = f"{SECRETS}/{made['secret_id']}/patch"
        changed = await ada.http.post(url, json={"value": {"password": "new", "user": None}})
        assert (changed.status_code, changed.json()["version"]) == (201, 2)
        assert await value_of(ada, "a") == {"password": "new"}
        stale = await ada.http.post(url, json={"value": {"password": "x"}, "cas": 1})
        assert refused(stale) == (412, "secrets.changed")
        empty = await ada.http.post(url, json={"value": {"password": None}})
        assert refused(empty) == (422, "secrets.value_invalid")

    async def test_needs_an_object_that_can_be_read(self, app: App) -> None:
        ada = await app.caller()
        made = await write(ada, "a", "text")
        url = f"{SECRETS}/{made['secret_id']}"
        answer = await ada.http.post(f"{url}/patch", json={"value": {"k": "v"}})
        assert refused(answer) == (409, "secrets.not_an_object")
        await ada.http.delete(f"{url}/versions/1")
        answer = await ada.http.post(f"{url}/patch", json={"value": {"k": "v"}})
        assert refused(answer) == (410, "secrets.version_gone")


class TestRead:
    async def test_is_kept_in_the_trail_with_its_version_and_without_its_value(
        self, app: App
    ) -> None:
        ada = await app.caller()
        made = await write(ada, "billing/smtp", {"password": "canary-9f"})
        answer = await read(ada, "billing/smtp")
        assert answer.headers["Cache-Control"] == "no-store"
        (entry,) = await ada.audit(app.platform, "secret.value_read")
        assert entry.target == f"secret:{made['secret_id']}"
        assert entry.data == {"path": "billing/smtp", "environment": "default", "version": 1}

    async def test_of_a_value_that_was_moved_fails(self, app: App) -> None:
        """A sealed value opens in its own row and in no other."""
        ada = await app.caller()
        for path in ("a", "b"):
            await write(ada, path, path)
        scope = Scope("test", ada.tenant.id)
        async with app.platform.database.transaction(scope) as tx:
            one, other = await tx.scalars(sa.select(VersionRow).order_by(VersionRow.id))
            one.sealed = other.sealed
        with pytest.raises(SealBrokenError):
            async with app.platform.database.transaction(scope) as tx:
                await app.platform.of(SecretManager).reading.read(
                    tx, path="a", environment="default", role=None
                )
        assert refused(await read(ada, "a")) == (409, "security.seal_broken")


class TestVersions:
    async def test_a_deleted_one_comes_back_and_a_destroyed_one_does_not(self, app: App) -> None:
        ada = await app.caller()
        made = await write(ada, "a", "one")
        url = f"{SECRETS}/{made['secret_id']}/versions/1"
        for _ in range(2):
            assert (await ada.http.delete(url)).json()["state"] == "deleted"
        gone = await read(ada, "a")
        assert refused(gone) == (410, "secrets.version_gone")
        assert (gone.json()["state"], gone.json()["version"]) == ("deleted", 1)
        for _ in range(2):
            assert (await ada.http.post(f"{url}/undelete")).json()["state"] == "live"
        assert await value_of(ada, "a") == "one"
        for _ in range(2):
            destroyed = (await ada.http.post(f"{url}/destroy")).json()
            assert (destroyed["state"], destroyed["size_bytes"]) == ("destroyed", 0)
        assert (await ada.http.delete(url)).json()["state"] == "destroyed"
        assert refused(await ada.http.post(f"{url}/undelete")) == (409, "secrets.version_lost")
        assert (await read(ada, "a")).json()["state"] == "destroyed"
        async with app.platform.database.read(Scope("test", ada.tenant.id)) as tx:
            assert await tx.scalars(sa.select(VersionRow.sealed)) == [None]
        kinds = [entry.action for entry in await ada.audit(app.platform, "secret.version*")]
        assert kinds == [
            "secret.version_destroyed",
            "secret.version_undeleted",
            "secret.version_deleted",
        ]

    async def test_there_must_be_one(self, app: App) -> None:
        ada = await app.caller()
        made = await write(ada, "a", "one")
        url = f"{SECRETS}/{made['secret_id']}/versions/2"
        for answer in (
            await ada.http.delete(url),
            await ada.http.post(f"{url}/undelete"),
            await ada.http.post(f"{url}/destroy"),
        ):
            assert refused(answer) == (404, "secrets.version_not_found")

    async def test_say_by_their_size_next_to_nothing_of_the_value(self, app: App) -> None:
        """Who lists secrets sees how many bytes are kept: of a password that is its length."""
        ada = await app.caller("admin")
        sizes = {
            (await write(ada, "a", value))["size_bytes"]
            for value in ("x", "x" * 40, {"k": "é" * 12}, "x" * 62)
        }
        assert len(sizes) == 1
        assert (await write(ada, "a", "x" * 63))["size_bytes"] == sizes.pop() + 64
        assert await value_of(ada, "a") == "x" * 63
        most = await ada.http.post(SECRETS, json={"path": "a", "value": "x" * 65_534})
        assert most.status_code == 201

    async def test_are_compared_by_key_without_values(self, app: App) -> None:
        ada = await app.caller()
        made = await write(ada, "a", {"same": "canary-9f", "other": "1", "gone": "x"})
        await write(ada, "a", {"same": "canary-9f", "other": "2", "new": "y"})
        answer = await ada.http.get(
            f"{SECRETS}/{made['secret_id']}/difference",
            params={"from_version": 1, "to_version": 2},
        )
        assert answer.json() == {
            "from_version": 1,
            "to_version": 2,
            "added": ["new"],
            "removed": ["gone"],
            "changed": ["other"],
            "same": ["same"],
        }
        (entry,) = await ada.audit(app.platform, "secret.compared")
        assert (entry.data["from_version"], entry.data["to_version"]) == (1, 2)
        await write(ada, "a", "text")
        answer = await ada.http.get(
            f"{SECRETS}/{made['secret_id']}/difference",
            params={"from_version": 2, "to_version": 3},
        )
        assert answer.json()["added"] == [""]


class TestKeeping:
    async def test_is_changed_by_whoever_read_it_last(self, app: App) -> None:
        ada = await app.caller()
        made = await write(ada, "a", "one")
        url = f"{SECRETS}/{made['secret_id']}"
        tag = (await ada.http.get(url)).headers["ETag"]
        body = {"description": "Of the relay", "labels": {"owner": "billing"}, "ttl_seconds": 60}
        changed = await ada.http.put(url, json=body, headers={"If-Match": tag})
        assert changed.status_code == 200, changed.text
        assert changed.json()["labels"] == {"owner": "billing"}
        stale = await ada.http.put(url, json=body, headers={"If-Match": tag})
        assert refused(stale) == (412, "secrets.changed")
        assert (await write(ada, "a", "two"))["expires_at"] is not None

    async def test_goes_with_the_secret_and_all_that_hangs_on_it(self, app: App) -> None:
        ada = await app.caller()
        made = await write(ada, "a", "one")
        url = f"{SECRETS}/{made['secret_id']}"
        assert (await ada.http.delete(url)).status_code == 204
        assert refused(await ada.http.get(url)) == (404, "secrets.not_found")
        assert refused(await ada.http.delete(url)) == (404, "secrets.not_found")
        async with app.platform.database.read(Scope("test", ada.tenant.id)) as tx:
            assert await tx.scalars(sa.select(VersionRow.id)) == []
        assert (await write(ada, "a", "anew"))["version"] == 1


class TestTotals:
    async def test_are_what_counting_would_say(self, app: App, later: Later) -> None:
        ada = await app.caller()
        made = [await write(ada, path, "x" * 100, ttl_seconds=1000) for path in ("a", "b", "c")]
        for number in range(3):
            await write(ada, "a", "y" * (10 + number))
        url = f"{SECRETS}/{made[0]['secret_id']}"
        await ada.http.put(url, json={"max_versions": 2})
        await self.hold(app, ada)
        for _ in range(2):
            await ada.http.post(f"{url}/versions/4/destroy")
        await self.hold(app, ada)
        await ada.http.delete(f"{SECRETS}/{made[1]['secret_id']}")
        await self.hold(app, ada)
        with later(1001):
            await app.platform.of(SecretManager).expiry.tell_due(app.platform.database)
        await self.hold(app, ada)
        await asyncio.gather(*(write(ada, f"n/{number}", "z") for number in range(6)))
        await self.hold(app, ada)

    @staticmethod
    async def hold(app: App, caller: Any) -> None:
        async with app.platform.database.read(Scope("test", caller.tenant.id)) as tx:
            sizes = await tx.scalars(sa.select(VersionRow.sealed))
            assert await count_bytes(tx) == sum(len(one or b"") for one in sizes)
            assert await count_secrets(tx) == len(await tx.scalars(sa.select(SecretRow.id)))


class TestList:
    async def test_is_by_path_and_goes_on_where_it_stopped(self, app: App) -> None:
        ada = await app.caller()
        for path in ("b/y", "B/z", "a", "b/x/deep", "b_other", "c"):
            await write(ada, path, "v")
        await write(ada, "z", "v", environment="staging")
        assert await self.listed(ada) == ["B/z", "a", "b/x/deep", "b/y", "b_other", "c"]
        assert await self.listed(ada, folder="b") == ["b/x/deep", "b/y"]
        assert await self.listed(ada, path="b*") == ["b/x/deep", "b/y", "b_other"]
        assert await self.listed(ada, path="c") == ["c"]
        assert await self.listed(ada, environment="staging") == ["z"]
        found: list[str] = []
        cursor: str | None = ""
        while cursor is not None:
            query = {"limit": 2} | ({"cursor": cursor} if cursor else {})
            page = (await ada.http.get(SECRETS, params=query)).json()
            found += [one["path"] for one in page["items"]]
            cursor = page["next_cursor"]
        assert found == ["B/z", "a", "b/x/deep", "b/y", "b_other", "c"]

    async def test_shows_what_became_of_the_newest_version(self, app: App) -> None:
        ada = await app.caller()
        made = await write(ada, "a", "one", ttl_seconds=60)
        (one,) = (await ada.http.get(SECRETS)).json()["items"]
        assert (one["state"], one["newest_version"]) == ("live", 1)
        assert one["expires_at"] == made["expires_at"]
        await ada.http.post(f"{SECRETS}/{made['secret_id']}/versions/1/destroy")
        (one,) = (await ada.http.get(SECRETS)).json()["items"]
        assert one["state"] == "destroyed"

    @staticmethod
    async def listed(caller: Any, **query: Any) -> list[str]:
        answer = await caller.http.get(SECRETS, params=query)
        assert answer.status_code == 200, answer.text
        return [one["path"] for one in answer.json()["items"]]


class TestExpiry:
    async def test_is_told_before_and_then_the_value_is_destroyed(
        self, app: App, later: Later
    ) -> None:
        ada = await app.caller()
        made = await write(ada, "a", "one", ttl_seconds=30 * 86_400)
        expiry = app.platform.of(SecretManager).expiry
        await expiry.tell_due(app.platform.database)
        with later(24 * 86_400):
            for _ in range(2):
                await expiry.tell_due(app.platform.database)
            assert await value_of(ada, "a") == "one"
            assert await self.kinds(app, ada) == ["secret.saved", "secret.expiring"]
        with later(31 * 86_400):
            gone = await read(ada, "a")
            assert (refused(gone), gone.json()["state"]) == (
                (410, "secrets.version_gone"),
                "expired",
            )
            for _ in range(2):
                await expiry.tell_due(app.platform.database)
            async with app.platform.database.read(Scope("test", ada.tenant.id)) as tx:
                assert await tx.scalars(sa.select(VersionRow.sealed)) == [None]
            url = f"{SECRETS}/{made['secret_id']}/versions/1/undelete"
            assert refused(await ada.http.post(url)) == (409, "secrets.version_lost")
            kinds = ["secret.saved", "secret.expiring", "secret.expired"]
            assert await self.kinds(app, ada) == kinds
            (entry,) = await ada.audit(app.platform, "secret.expired")
            assert entry.data["version"] == 1

    async def test_of_a_short_life_is_told_in_its_middle(self, app: App, later: Later) -> None:
        ada = await app.caller()
        await write(ada, "a", "one", ttl_seconds=100)
        expiry = app.platform.of(SecretManager).expiry
        with later(40):
            await expiry.tell_due(app.platform.database)
            assert await self.kinds(app, ada) == ["secret.saved"]
        with later(60):
            await expiry.tell_due(app.platform.database)
            assert await self.kinds(app, ada) == ["secret.saved", "secret.expiring"]

    async def test_of_a_version_that_was_replaced_is_silent_and_its_value_goes(
        self, app: App, later: Later
    ) -> None:
        ada = await app.caller()
        await write(ada, "a", "one", ttl_seconds=100)
        await write(ada, "a", "two")
        with later(101):
            await app.platform.of(SecretManager).expiry.tell_due(app.platform.database)
            assert await self.kinds(app, ada) == ["secret.saved", "secret.saved"]
            async with app.platform.database.read(Scope("test", ada.tenant.id)) as tx:
                query = sa.select(VersionRow.sealed).order_by(VersionRow.id)
                old, new = await tx.scalars(query)
            assert old is None
            assert new is not None
            assert await value_of(ada, "a") == "two"

    async def test_is_counted_for_the_fleet_until_it_is_told(self, app: App, later: Later) -> None:
        ada = await app.caller()
        await write(ada, "a", "one", ttl_seconds=100)
        with later(60):
            assert "email_sender_secrets_due_versions 1.0" in (await ada.http.get("/metrics")).text
            await app.platform.of(SecretManager).expiry.tell_due(app.platform.database)
            # The series itself is counted anew once a second at most.
            async with app.platform.database.read(SystemScope(EXPIRY)) as tx:
                assert await app.platform.of(SecretManager).expiry.count_due(tx) == {"": 0}

    @staticmethod
    async def kinds(app: App, caller: Any) -> list[str]:
        return [event.kind for event in await events(app, caller, "secret.")]
