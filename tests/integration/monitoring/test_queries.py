"""Queries that people keep: made, found, changed by who read them last, and whose they are."""

from typing import Any

import pytest_asyncio

from backend.managers.monitoring._queries import MAX_QUERIES
from tests.support.platform import App, TenantClient

PATH = "/api/v1/prometheus-queries"
KEPT = {"name": "Orders by shop", "query": "sum by (shop) (\n  rate(orders_total[5m])\n)"}


@pytest_asyncio.fixture
async def ada(app: App) -> TenantClient:
    return await app.caller()


async def keep(who: TenantClient, **body: str) -> Any:
    answer = await who.http.post(PATH, json={**KEPT, **body})
    assert answer.status_code == 201, answer.text
    assert answer.headers["ETag"] == '"1"'
    return answer.json()


class TestKept:
    async def test_is_listed_got_changed_and_let_go(self, app: App, ada: TenantClient) -> None:
        made = await keep(ada)
        assert (made["name"], made["query"]) == (KEPT["name"], KEPT["query"])
        assert made["created_by"] == made["updated_by"] != ""
        later = await keep(ada, name="Up", query="up")
        page = (await ada.http.get(PATH)).json()
        assert [one["id"] for one in page["items"]] == [later["id"], made["id"]]
        address = f"{PATH}/{made['id']}"
        got = await ada.http.get(address)
        assert (got.json(), got.headers["ETag"]) == (made, '"1"')
        # Unfinished: it is read when it is asked, and not before.
        body = {"name": "Orders", "query": "sum("}
        changed = await ada.http.put(address, json=body, headers={"If-Match": '"1"'})
        assert (changed.status_code, changed.headers["ETag"]) == (200, '"2"')
        assert {name: changed.json()[name] for name in body} == body
        assert (await ada.http.get(address)).json() == changed.json()
        assert (await ada.http.delete(address)).status_code == 204
        assert (await ada.http.get(address)).status_code == 404
        await app.sequence()
        trail = [one for one in await ada.audit(app.platform) if "prometheus_query" in one.action]
        assert [one.action.partition(".")[2] for one in trail] == [
            "deleted", "changed", "created", "created",
        ]  # fmt: skip
        assert [one.data["name"] for one in trail] == ["Orders", "Orders", "Up", KEPT["name"]]

    async def test_overwrites_nobody_unseen(self, ada: TenantClient) -> None:
        address = f"{PATH}/{(await keep(ada))['id']}"
        mine = {"name": "Mine", "query": "up"}
        assert (await ada.http.put(address, json=mine)).status_code == 200
        for tag in ('"1"', '"3"', "1", "W/x"):
            for ask in (
                ada.http.put(address, json=KEPT, headers={"If-Match": tag}),
                ada.http.delete(address, headers={"If-Match": tag}),
            ):
                refused = await ask
                assert (refused.status_code, refused.json()["code"]) == (
                    412,
                    "monitoring.query_changed",
                )
        assert (await ada.http.get(address)).json()["name"] == "Mine"
        gone = await ada.http.delete(address, headers={"If-Match": '"2"'})
        assert gone.status_code == 204

    async def test_a_name_is_one_query(self, ada: TenantClient) -> None:
        await keep(ada)
        other = await keep(ada, name="Other")
        doubled = await ada.http.post(PATH, json=KEPT)
        renamed = await ada.http.put(f"{PATH}/{other['id']}", json=KEPT)
        for refused in (doubled, renamed):
            assert (refused.status_code, refused.json()["code"]) == (
                409,
                "monitoring.query_exists",
            )
            assert refused.json()["errors"][0]["pointer"] == "/body/name"
        again = await ada.http.put(f"{PATH}/{other['id']}", json={**KEPT, "name": "Other"})
        assert again.status_code == 200

    async def test_refuses_what_is_no_name_and_no_query(self, ada: TenantClient) -> None:
        for body in (
            {"name": ""},
            {"name": " "},
            {"name": "a\nb"},
            {"name": "x" * 101},
            {"query": ""},
            {"query": " \n"},
            {"query": "u" * 4001},
            {"query": None},
            {"query": 1},
            {"more": "x"},
        ):
            answer = await ada.http.post(PATH, json={**KEPT, **body})
            assert answer.status_code == 422, body
        assert (await ada.http.post(PATH, json={**KEPT, "query": "u" * 4000})).status_code == 201

    async def test_there_are_two_hundred_at_most(self, ada: TenantClient) -> None:
        last = await keep(ada, name="The first")
        for number in range(1, MAX_QUERIES):
            await keep(ada, name=f"Query {number}")
        refused = await ada.http.post(PATH, json=KEPT)
        assert (refused.status_code, refused.json()["code"]) == (
            409,
            "monitoring.too_many_queries",
        )
        assert len((await ada.http.get(PATH, params={"limit": 200})).json()["items"]) == 200
        await ada.http.delete(f"{PATH}/{last['id']}")
        await keep(ada)


class TestTenants:
    async def test_no_other_sees_or_changes_it(self, app: App, ada: TenantClient) -> None:
        made = await keep(ada)
        other = await app.caller()
        assert other.tenant.id != ada.tenant.id
        address = f"{PATH}/{made['id']}"
        assert (await other.http.get(PATH)).json()["items"] == []
        assert (await other.http.get(address)).status_code == 404
        assert (await other.http.put(address, json=KEPT)).status_code == 404
        assert (await other.http.delete(address)).status_code == 404
        await keep(other)  # a name is one query of a tenant
        assert (await ada.http.get(address)).json() == made
