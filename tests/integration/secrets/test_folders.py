"""Folders: closed to every role that has no grant, once there is one."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from backend.managers.secrets import SecretManager
from tests.integration.secrets.conftest import (
    GRANTS,
    SECRETS,
    TOKENS,
    events,
    read,
    refused,
    value_of,
    write,
)
from tests.support.platform import App, TenantClient

Later = Callable[[float], AbstractContextManager[None]]


async def grant(caller: TenantClient, folder: str, role: str, access: str, **more: Any) -> str:
    body = {"folder": folder, "role": role, "access": access, **more}
    answer = await caller.http.post(GRANTS, json=body)
    assert answer.is_success, answer.text
    return str(answer.json()["id"])


class TestGrants:
    async def test_close_a_folder_to_all_others(self, app: App) -> None:
        ada = await app.caller("owner")
        admin = await app.caller("admin", ada.tenant)
        flow = await app.caller("workflow", ada.tenant)
        made = await write(ada, "f/a", "one")
        await write(ada, "free", "two")
        assert await value_of(flow, "f/a") == "one"
        await grant(ada, "f", "owner", "write")
        await grant(ada, "f", "workflow", "read")
        assert await value_of(flow, "f/a") == "one"
        body = {"path": "f/a", "value": "three"}
        assert refused(await flow.http.post(SECRETS, json=body)) == (403, "secrets.folder_closed")
        url = f"{SECRETS}/{made['secret_id']}"
        difference = f"{url}/difference?from_version=1&to_version=1"
        for answer in (
            await read(admin, "f/a"),
            # Closed, whether or not there is anything.
            await read(admin, "f/nothing"),
            await admin.http.post(SECRETS, json=body),
            await admin.http.get(url),
            await admin.http.get(f"{url}/versions"),
            await admin.http.get(difference),
            await admin.http.put(url, json={}),
            await admin.http.post(f"{url}/patch", json={"value": {"k": "v"}}),
            await admin.http.delete(f"{url}/versions/1"),
            await admin.http.post(f"{url}/versions/1/undelete"),
            await admin.http.post(f"{url}/versions/1/destroy"),
            await admin.http.delete(url),
        ):
            assert refused(answer) == (403, "secrets.folder_closed"), answer.request.url
        assert await self.listed(admin) == ["free"]
        assert await self.listed(flow) == ["f/a", "free"]
        assert (await write(ada, "f/a", "four"))["version"] == 2

    async def test_are_asked_for_what_a_written_reference_leads_to(self, app: App) -> None:
        """Else whoever reads it, with more rights, reads it to whoever wrote it."""
        ada = await app.caller("owner")
        flow = await app.caller("workflow", ada.tenant)
        await write(ada, "f/a", "one")
        await grant(ada, "f", "owner", "write")
        await write(flow, "mine", {"k": "v"})
        made = await write(ada, "ours", {"x": "${secret:f/a}"})
        planted = {"k": "a ${secret:f/a#k} b", "l": "$${secret:f/a}"}
        for path, value in (("mine", planted), ("new", "${secret:mine#k} ${secret:f/nothing}")):
            answer = await flow.http.post(SECRETS, json={"path": path, "value": value})
            assert refused(answer) == (403, "secrets.folder_closed")
        url = f"{SECRETS}/{made['secret_id']}/patch"
        answer = await flow.http.post(url, json={"value": {"y": "${secret:f/a}"}})
        assert refused(answer) == (403, "secrets.folder_closed")
        deep = "".join(f"${{secret:{number}{'/a' * 60}}}" for number in range(450))
        answer = await flow.http.post(
            SECRETS, json={"path": "new", "value": f"{deep}${{secret:f/a}}"}
        )
        assert refused(answer) == (403, "secrets.folder_closed")
        assert (await write(flow, "new", deep))["version"] == 1
        # What others have written stays; what is no reference is none.
        for value in ({"y": "$${secret:f/a}"}, {"y": "${secret:mine#k}"}):
            assert (await flow.http.post(url, json={"value": value})).status_code == 201
        assert await value_of(ada, "ours") == {"x": "one", "y": "v"}

    async def test_of_the_deepest_folder_decide(self, app: App) -> None:
        ada = await app.caller("owner")
        admin = await app.caller("admin", ada.tenant)
        for path in ("f/a", "f/open/b", "f/open/shut/c", "f_other/d"):
            await write(ada, path, "v")
        await grant(ada, "f", "owner", "write")
        await grant(ada, "f/open", "admin", "read")
        await grant(ada, "f/open/shut", "owner", "read")
        assert await self.listed(admin) == ["f/open/b", "f_other/d"]
        assert await self.listed(ada) == ["f/a", "f/open/shut/c", "f_other/d"]
        assert refused(await read(admin, "f/open/shut/c")) == (403, "secrets.folder_closed")
        assert refused(await read(ada, "f/open/b")) == (403, "secrets.folder_closed")

    async def test_hold_in_their_environment(self, app: App) -> None:
        ada = await app.caller("owner")
        admin = await app.caller("admin", ada.tenant)
        for environment in ("production", "staging"):
            await write(ada, "f/a", environment, environment=environment)
        made = await grant(ada, "f", "owner", "write", environment="production")
        closed = await read(admin, "f/a", environment="production")
        assert refused(closed) == (403, "secrets.folder_closed")
        assert closed.json()["folder"] == "f"
        assert await value_of(admin, "f/a", environment="staging") == "staging"
        assert (await ada.http.delete(f"{GRANTS}/{made}")).status_code == 204
        assert await value_of(admin, "f/a", environment="production") == "production"

    async def test_are_one_for_a_role_and_a_folder(self, app: App) -> None:
        ada = await app.caller("owner")
        first = await grant(ada, "f", "owner", "read")
        assert await grant(ada, "f", "owner", "write") == first
        (listed,) = (await ada.http.get(GRANTS)).json()["items"]
        assert (listed["id"], listed["access"]) == (first, "write")
        assert refused(await ada.http.delete(f"{GRANTS}/{listed['id'][:-4]}0000")) == (
            404,
            "secrets.grant_not_found",
        )
        unknown = {"folder": "f", "role": "nobody", "access": "read"}
        assert (await ada.http.post(GRANTS, json=unknown)).json()["code"] == "tenant.role_unknown"
        kinds = [event.kind for event in await events(app, ada, "secret_grant")]
        assert kinds == ["secret_grant.added"] * 2

    async def test_keep_a_role_from_being_deleted(self, app: App) -> None:
        ada = await app.caller("owner")
        role = {"permissions": ["secret:list", "secret:read"]}
        assert (await ada.http.put("/api/v1/roles/vaulter", json=role)).is_success
        made = await grant(ada, "f", "vaulter", "read")
        held = await ada.http.delete("/api/v1/roles/vaulter")
        assert held.status_code == 409, held.text
        await ada.http.delete(f"{GRANTS}/{made}")
        assert (await ada.http.delete("/api/v1/roles/vaulter")).status_code == 204

    @staticmethod
    async def listed(caller: TenantClient) -> list[str]:
        answer = await caller.http.get(SECRETS)
        return [one["path"] for one in answer.json()["items"]]


class TestReferences:
    async def test_are_replaced_and_recorded(self, app: App) -> None:
        ada = await app.caller()
        await write(ada, "db/main", {"user": "u", "password": "p"})
        await write(ada, "host", "db.example.test")
        value = {
            "url": "pg://${secret:db/main#user}:${secret:db/main#password}@${secret:host}/x",
            "plain": "$${secret:host}",
        }
        made = await write(ada, "app/dsn", value)
        answer = (await read(ada, "app/dsn")).json()
        assert answer["value"] == {"url": "pg://u:p@db.example.test/x", "plain": "${secret:host}"}
        assert answer["references"] == ["db/main@1", "host@1"]
        assert await value_of(ada, "app/dsn", references="keep") == value
        entries = await ada.audit(app.platform, "secret.value_read")
        referred = {one.data["path"] for one in entries if "referred_by" in one.data}
        assert referred == {"db/main", "host"}
        assert {one.data.get("referred_by") for one in entries} == {made["secret_id"], None}

    async def test_that_lead_nowhere_are_named(self, app: App) -> None:
        ada = await app.caller()
        await write(
            ada, "x/a", {"k": "${secret:x/b#k}", "own": "${secret:x/a#other}", "other": "1"}
        )
        for text, said in (
            ("${secret:nothing}", "nothing leads to nothing"),
            ("${secret:x/a}", "x/a leads to nothing"),
            ("${secret:x/a#none}", "x/a#none leads to nothing"),
            ("${secret:x/a#k}", "x/b#k leads to nothing"),
        ):
            await write(ada, "r", text)
            answer = await read(ada, "r")
            assert refused(answer) == (409, "secrets.reference_broken")
            assert said in answer.json()["detail"]
        await write(ada, "r", "${secret:x/a#own}")
        assert await value_of(ada, "r") == "1"

    async def test_do_not_go_in_circles_or_too_deep(self, app: App) -> None:
        ada = await app.caller()
        await write(ada, "a", "${secret:b}")
        await write(ada, "b", "${secret:a}")
        answer = await read(ada, "a")
        assert refused(answer) == (409, "secrets.reference_broken")
        assert answer.json()["detail"] == "A circle: a -> b -> a"
        await write(ada, "n0", "end")
        for number in range(1, 10):
            await write(ada, f"n{number}", f"${{secret:n{number - 1}}}")
        assert await value_of(ada, "n8") == "end"
        answer = await read(ada, "n9")
        assert refused(answer) == (409, "secrets.reference_broken")
        assert "more than 8 deep" in answer.json()["detail"]

    async def test_do_not_make_much_of_little(self, app: App) -> None:
        ada = await app.caller()
        await write(ada, "n0", "x" * 1000)
        for number in range(1, 8):
            await write(ada, f"n{number}", f"${{secret:n{number - 1}}}" * 10)
        assert refused(await read(ada, "n7")) == (413, "secrets.too_large")
        await write(ada, "many", " ".join(f"${{secret:m{number}}}" for number in range(64)))
        answer = await read(ada, "many")
        assert refused(answer) == (409, "secrets.reference_broken")
        assert "64 secrets" in answer.json()["detail"]

    async def test_open_no_closed_folder(self, app: App) -> None:
        ada = await app.caller("owner")
        flow = await app.caller("workflow", ada.tenant)
        await write(ada, "f/a", "one")
        await write(flow, "mine", "${secret:f/a}")
        assert await value_of(flow, "mine") == "one"
        await grant(ada, "f", "owner", "read")
        assert refused(await read(flow, "mine")) == (403, "secrets.folder_closed")
        assert await value_of(ada, "mine") == "one"


class TestNames:
    """What lies in a closed folder is not told by way of something else."""

    async def test_events_do_not_say_what_lies_in_a_folder_with_grants(
        self, app: App, later: Later
    ) -> None:
        ada = await app.caller("owner")
        await grant(ada, "shut", "owner", "write", environment="production")
        for path, environment in (
            ("shut/in/canary", "production"),
            ("shut/in/open", "default"),
            ("open", "production"),
        ):
            where = {"path": path, "environment": environment}
            made = await write(ada, **where, value="v", ttl_seconds=120)
            url = f"{SECRETS}/{made['secret_id']}"
            issued = await ada.http.post(TOKENS, json={**where, "workflow_id": "w"})
            for done in (
                issued,
                await ada.http.put(url, json={"remind_seconds": 3600}),
                await ada.http.post(f"{url}/versions/1/destroy"),
                await ada.http.post(SECRETS, json={**where, "value": "v", "ttl_seconds": 120}),
                await ada.http.delete(f"{url}/versions/2"),
                await ada.http.post(f"{url}/versions/2/undelete"),
            ):
                assert done.is_success, done.text
            for seconds in (90, 200):
                with later(seconds):
                    await app.platform.of(SecretManager).expiry.tell_due(app.platform.database)
            assert (await ada.http.delete(url)).status_code == 204
        found = await events(app, ada)
        kinds = {
            "secret.saved", "secret.changed", "secret.deleted", "secret.version_deleted",
            "secret.version_undeleted", "secret.version_destroyed", "secret.expiring",
            "secret.expired", "secret_token.issued",
        }  # fmt: skip
        for path in ("shut/in/open", "open"):
            assert {one.kind for one in found if one.data.get("path") == path} == kinds
        assert not [one for one in found if "canary" in str(one)]
        silent = {one.kind for one in found if "path" not in one.data}
        assert kinds <= silent
        # The trail is for those who check what was done: it says all of it.
        (deleted, *_) = await ada.audit(app.platform, "secret.deleted")
        assert deleted.data["path"] == "open"
        assert "shut/in/canary" in str(
            [one.data for one in await ada.audit(app.platform, "secret.deleted")]
        )

    async def test_tokens_of_closed_folders_are_neither_listed_nor_revoked(self, app: App) -> None:
        ada = await app.caller("owner")
        admin = await app.caller("admin", ada.tenant)
        await grant(ada, "f", "owner", "write", environment="production")
        for role in ("owner", "admin"):
            await grant(ada, "f/open", role, "write")
        made = {}
        for path, environment in (
            ("f/a", "production"),
            ("f/a", "staging"),
            ("f/open/b", "production"),
            ("c", "production"),
        ):
            where = {"path": path, "environment": environment}
            await write(ada, **where, value="v")
            issued = await ada.http.post(TOKENS, json={**where, "workflow_id": "w"})
            assert issued.status_code == 201, issued.text
            made[path, environment] = issued.json()
        closed = made["f/a", "production"]
        listed = (await admin.http.get(TOKENS)).json()["items"]
        assert {one["id"] for one in listed} == {
            one["id"] for one in made.values() if one is not closed
        }
        of_it = await admin.http.get(TOKENS, params={"secret_id": closed["secret_id"]})
        assert of_it.json()["items"] == []
        revoked = await admin.http.delete(f"{TOKENS}/{closed['id']}")
        assert refused(revoked) == (403, "secrets.folder_closed")
        assert (await ada.http.delete(f"{TOKENS}/{closed['id']}")).status_code == 204
