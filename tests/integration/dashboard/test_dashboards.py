"""Dashboards that people make: who sees them, what is refused, what they were before."""

from typing import Any

import httpx
import pytest
import pytest_asyncio
import sqlalchemy as sa

from backend.core.audit import AuditRecord
from backend.core.context import Scope, SystemScope
from backend.core.ids import PLATFORM_TENANT, uuid7
from backend.core.subject import Subject
from backend.managers.dashboard import PLATFORM_DASHBOARDS, DashboardManager, _dashboards
from backend.managers.dashboard._dashboards import MAX_BYTES, VERSIONS
from backend.managers.dashboard.models import DashboardRow, DashboardVersionRow
from tests.integration.tenant.test_lifecycle import people, root
from tests.security.conftest import People
from tests.support.platform import App, TenantClient

__all__ = ["people", "root"]

ROOT = "/api/v1/dashboards"
OF_PLATFORM = "/api/v1/platform/dashboards"
ORDERS: dict[str, Any] = {
    "name": "Orders",
    "description": "What the shops sell.",
    "variables": [{"name": "shop", "values": ["berlin", "rome"], "default": "rome"}],
    "panels": [
        {
            "title": "Orders",
            "width": 6,
            "metric": {"name": "orders_total", "aggregate": "sum", "label": ["shop=${shop}"]},
        },
        {"title": "Words", "column": 6, "width": 6, "text": {"markdown": "Sold in ${shop}"}},
        {"title": "Lines", "row": 1, "logs": {"show": "lines", "words": "order"}},
    ],
    "range_minutes": 180,
}


@pytest_asyncio.fixture
async def ada(app: App) -> TenantClient:
    return await app.caller()


async def make(who: TenantClient, **more: Any) -> Any:
    answer = await who.http.post(ROOT, json={**ORDERS, **more})
    assert answer.status_code == 201, answer.text
    return answer.json()


async def names(who: TenantClient) -> list[str]:
    return [one["name"] for one in (await who.http.get(ROOT)).json()["items"]]


async def told(app: App, tenant_id: str) -> list[tuple[str, Any]]:
    """The acts on dashboards that are on record, with what is told of them."""
    async with app.platform.database.read(Scope("test", tenant_id)) as tx:
        rows = await tx.scalars(
            sa.select(AuditRecord)
            .where(AuditRecord.tenant_id == tenant_id, AuditRecord.action.like("dashboard.%"))
            .order_by(AuditRecord.id)
        )
    return [(row.action, row.data) for row in rows]


def refused(answer: httpx.Response, status: int, code: str, pointer: str = "") -> None:
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    if pointer:
        assert answer.json()["errors"][0]["pointer"] == f"/body{pointer}", answer.text


class TestCreate:
    async def test_gives_back_what_was_put_on_it(self, app: App, ada: TenantClient) -> None:
        made = await make(ada)
        found = await ada.http.get(f"{ROOT}/{made['id']}")
        assert found.json() == made
        assert found.headers["ETag"] == '"1"'
        assert (made["visibility"], made["version"], made["panel_count"]) == ("tenant", 1, 3)
        assert made["range_minutes"] == 180
        metric = made["panels"][0]["metric"]
        assert (metric["label"], metric["top"]) == (["shop=${shop}"], 10)
        assert made["panels"][0]["logs"] is None
        (record,) = await told(app, ada.tenant.id)
        said = {"name": "Orders", "visibility": "tenant", "version": 1}
        assert record == ("dashboard.created", said)

    async def test_refuses_what_cannot_be_drawn(self, ada: TenantClient) -> None:
        text = {"title": "Words", "text": {"markdown": "x"}}
        unknown = {"title": "Lines", "logs": {"words": "${nobody}"}}
        cases: list[tuple[str, dict[str, Any], str]] = [
            ("no question", {"panels": [{"title": "Nothing"}]}, "/panels/0"),
            ("two", {"panels": [{**text, "slo": {}}]}, "/panels/0"),
            ("beyond", {"panels": [{**text, "column": 6, "width": 7}]}, "/panels/0/width"),
            ("over another", {"panels": [text, {**text, "column": 3, "width": 2}]},
             "/panels/1/column"),
            ("no such variable", {"panels": [text, {**unknown, "row": 1}]}, "/panels/1/logs"),
            ("twice", {"variables": [{"name": "shop"}, {"name": "shop"}]}, "/variables/1"),
            ("no value", {"variables": [{"name": "shop", "values": ["a"], "default": "b"}]},
             "/variables/0/default"),
        ]  # fmt: skip
        for case, more, pointer in cases:
            answer = await ada.http.post(ROOT, json={**ORDERS, **more})
            assert answer.status_code == 422, case
            refused(answer, 422, "dashboard.invalid", pointer)
        many = [{"title": "Words", "row": at, "text": {"markdown": "x" * 4000}} for at in range(40)]
        assert MAX_BYTES < 40 * 4000
        refused(
            await ada.http.post(ROOT, json={**ORDERS, "panels": many}), 422, "dashboard.invalid"
        )
        assert await names(ada) == []

    async def test_refuses_unknown_fields_wherever_they_are(self, ada: TenantClient) -> None:
        panel = ORDERS["panels"][2]
        for more in (
            {"owner": "user:1"},
            {"panels": [{**panel, "html": "<b>"}]},
            {"panels": [{**panel, "logs": {"show": "lines", "tenant_id": "x"}}]},
            {"panels": [{**panel, "row": 100}]},
            {"panels": [{**panel, "row": at} for at in range(41)]},
            {"visibility": "platform"},
            {"range_minutes": 4},
        ):
            answer = await ada.http.post(ROOT, json={**ORDERS, **more})
            assert (answer.status_code, answer.json()["code"]) == (422, "invalid_input"), more

    async def test_a_name_is_taken_once_among_the_same_people(self, ada: TenantClient) -> None:
        await make(ada)
        refused(await ada.http.post(ROOT, json=ORDERS), 409, "dashboard.exists", "/name")
        await make(ada, visibility="person")
        other = await make(ada, name="Others")
        refused(await ada.http.put(f"{ROOT}/{other['id']}", json=ORDERS), 409, "dashboard.exists")

    async def test_there_are_so_many_and_no_more(
        self, app: App, ada: TenantClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(_dashboards, "MAX_SHARED", 2)
        monkeypatch.setattr(_dashboards, "MAX_OWN", 1)
        monkeypatch.setattr(_dashboards, "MAX_ALL", 4)
        bob = await app.caller("operator", ada.tenant)
        eve = await app.caller("operator", ada.tenant)
        await make(ada, name="1")
        await make(bob, name="2")
        refused(await bob.http.post(ROOT, json=ORDERS), 409, "dashboard.too_many")
        for who in (ada, bob):
            await make(who, visibility="person")
            body = {**ORDERS, "visibility": "person", "name": "More"}
            refused(await who.http.post(ROOT, json=body), 409, "dashboard.too_many")
        # All together.
        body = {**ORDERS, "visibility": "person"}
        refused(await eve.http.post(ROOT, json=body), 409, "dashboard.too_many")


class TestWhoSees:
    async def test_ones_own_is_seen_by_nobody_else(self, app: App, ada: TenantClient) -> None:
        bob = await app.caller("owner", ada.tenant)
        own = await make(ada, visibility="person", name="Mine")
        await make(ada, name="Ours")
        assert await names(ada) == ["Ours", "Mine"]
        assert await names(bob) == ["Ours"]
        one = f"{ROOT}/{own['id']}"
        for answer in (
            await bob.http.get(one),
            await bob.http.put(one, json=ORDERS),
            await bob.http.delete(one),
            await bob.http.get(f"{one}/export"),
            await bob.http.get(f"{one}/versions"),
            await bob.http.get(f"{one}/versions/1"),
            await bob.http.post(f"{one}/versions/1/restore"),
        ):
            refused(answer, 404, "dashboard.not_found")
        assert (await ada.http.get(one)).json()["version"] == 1

    async def test_another_tenants_is_not_there(self, app: App, ada: TenantClient) -> None:
        made = await make(ada)
        eve = await app.caller()
        assert await names(eve) == []
        for path in ("", "/export", "/versions", "/versions/1"):
            refused(await eve.http.get(f"{ROOT}/{made['id']}{path}"), 404, "dashboard.not_found")
        refused(await eve.http.put(f"{ROOT}/{made['id']}", json=ORDERS), 404, "dashboard.not_found")
        refused(await eve.http.delete(f"{ROOT}/{made['id']}"), 404, "dashboard.not_found")
        await make(eve)

    async def test_viewers_look_and_change_nothing(self, app: App, ada: TenantClient) -> None:
        made = await make(ada)
        viewer = await app.caller("viewer", ada.tenant)
        assert (await viewer.http.get(f"{ROOT}/{made['id']}")).status_code == 200
        assert (await viewer.http.post(ROOT, json=ORDERS)).status_code == 403
        assert (await viewer.http.delete(f"{ROOT}/{made['id']}")).status_code == 403

    async def test_the_platforms_are_its_administrators(
        self, app: App, root: httpx.AsyncClient, ada: TenantClient
    ) -> None:
        answer = await root.post(OF_PLATFORM, json=ORDERS)
        assert answer.status_code == 201, answer.text
        made = answer.json()
        assert made["visibility"] == "platform"
        assert (await ada.http.get(OF_PLATFORM)).status_code == 403
        refused(await root.get(f"{ROOT}/{made['id']}"), 404, "dashboard.not_found")
        of_tenant = await make(ada)
        refused(await root.get(f"{OF_PLATFORM}/{of_tenant['id']}"), 404, "dashboard.not_found")
        changed = await root.put(f"{OF_PLATFORM}/{made['id']}", json={**ORDERS, "name": "All"})
        assert changed.json()["version"] == 2
        assert (await root.get(OF_PLATFORM)).json()["items"][0]["name"] == "All"
        gone = await root.delete(f"{OF_PLATFORM}/{made['id']}")
        assert gone.status_code == 204
        acts = [act for act, _ in await told(app, PLATFORM_TENANT)]
        assert acts == ["dashboard.created", "dashboard.changed", "dashboard.deleted"]
        async with app.platform.database.read(SystemScope(PLATFORM_DASHBOARDS)) as tx:
            kept = await tx.scalars(sa.select(DashboardRow.tenant_id))
            assert list(kept) == [ada.tenant.id]


class TestVersions:
    async def test_nobody_overwrites_what_they_have_not_seen(self, ada: TenantClient) -> None:
        made = await make(ada)
        one = f"{ROOT}/{made['id']}"
        saved = await ada.http.put(one, json=ORDERS, headers={"If-Match": '"1"'})
        assert (saved.status_code, saved.headers["ETag"]) == (200, '"2"')
        for tag in ('"1"', '"x"', "2"):
            late = {"If-Match": tag}
            refused(await ada.http.put(one, json=ORDERS, headers=late), 412, "dashboard.changed")
            refused(await ada.http.delete(one, headers=late), 412, "dashboard.changed")
            again = await ada.http.post(f"{one}/versions/1/restore", headers=late)
            refused(again, 412, "dashboard.changed")
        assert (await ada.http.delete(one, headers={"If-Match": '"2"'})).status_code == 204
        refused(await ada.http.get(one), 404, "dashboard.not_found")

    async def test_what_it_was_can_be_seen_and_brought_back(
        self, app: App, ada: TenantClient
    ) -> None:
        made = await make(ada)
        one = f"{ROOT}/{made['id']}"
        bob = await app.caller("operator", ada.tenant)
        await bob.http.put(one, json={**ORDERS, "name": "Empty", "panels": []})
        versions = (await ada.http.get(f"{one}/versions")).json()["items"]
        assert [(each["version"], each["name"]) for each in versions] == [
            (2, "Empty"),
            (1, "Orders"),
        ]
        assert versions[0]["saved_by"] != versions[1]["saved_by"]
        first = (await ada.http.get(f"{one}/versions/1")).json()
        assert first["panels"] == made["panels"]
        back = await ada.http.post(f"{one}/versions/1/restore")
        assert (back.json()["version"], back.json()["name"]) == (3, "Orders")
        assert back.json()["panels"] == made["panels"]
        refused(await ada.http.get(f"{one}/versions/4"), 404, "dashboard.version_not_found")
        acts = await told(app, ada.tenant.id)
        assert acts[-1] == (
            "dashboard.restored",
            {"name": "Orders", "visibility": "tenant", "version": 3, "of": 1},
        )

    async def test_twenty_are_kept_and_go_with_it(self, app: App, ada: TenantClient) -> None:
        made = await make(ada)
        one = f"{ROOT}/{made['id']}"
        for _ in range(VERSIONS + 1):
            await ada.http.put(one, json=ORDERS)
        versions = (await ada.http.get(f"{one}/versions")).json()["items"]
        assert [each["version"] for each in versions] == list(range(VERSIONS + 2, 2, -1))
        await ada.http.delete(one)
        async with app.platform.database.read(Scope("test", ada.tenant.id)) as tx:
            assert list(await tx.scalars(sa.select(DashboardVersionRow.version))) == []


class TestFiles:
    async def test_an_export_is_an_import(self, app: App, ada: TenantClient) -> None:
        made = await make(ada)
        file = await ada.http.get(f"{ROOT}/{made['id']}/export")
        assert file.headers["Content-Disposition"] == 'attachment; filename="orders.json"'
        document = file.json()
        assert (document["format"], document["schema_version"]) == ("email-sender.dashboard", 1)
        assert not {"id", "owner", "created_by"} & document.keys()
        eve = await app.caller()
        answer = await eve.http.post(f"{ROOT}/import", json={"document": document})
        assert answer.status_code == 201, answer.text
        assert answer.json()["panels"] == made["panels"]
        assert answer.json()["variables"] == made["variables"]
        assert [act for act, _ in await told(app, eve.tenant.id)] == ["dashboard.imported"]
        refused(
            await eve.http.post(f"{ROOT}/import", json={"document": document}),
            409,
            "dashboard.exists",
        )
        body = {"document": document, "name": "Once more", "visibility": "person"}
        other = (await eve.http.post(f"{ROOT}/import", json=body)).json()
        assert (other["name"], other["visibility"]) == ("Once more", "person")

    async def test_refuses_a_form_that_it_does_not_know(self, ada: TenantClient) -> None:
        document = {**ORDERS, "format": "email-sender.dashboard", "schema_version": 1}
        for more in ({"schema_version": 2}, {"format": "grafana"}, {"id": uuid7()}):
            answer = await ada.http.post(f"{ROOT}/import", json={"document": document | more})
            assert answer.status_code == 422, more
            assert answer.json()["errors"][0]["pointer"].startswith("/body/document"), more


class TestTemplates:
    async def test_each_that_ships_can_be_copied_as_it_is(self, ada: TenantClient) -> None:
        shipped = (await ada.http.get("/api/v1/dashboard-templates")).json()["items"]
        assert len(shipped) == len({one["key"] for one in shipped}) == 10
        for one in shipped:
            content = {name: value for name, value in one.items() if name != "key"}
            answer = await ada.http.post(ROOT, json=content)
            assert answer.status_code == 201, (one["key"], answer.text)
            assert answer.json()["panels"] == one["panels"]
            alone = await ada.http.get(f"/api/v1/dashboard-templates/{one['key']}")
            assert alone.json() == one

    async def test_refuses_others(self, ada: TenantClient) -> None:
        answer = await ada.http.get("/api/v1/dashboard-templates/no-such")
        refused(answer, 422, "invalid_input")


class TestErase:
    async def test_a_persons_own_go_with_them(self, app: App, people: People) -> None:
        ada = await app.caller()
        person = await people.person()
        await people.member(ada.tenant, person, "operator")
        http = await people.acting(person)
        for visibility in ("person", "tenant"):
            body = {**ORDERS, "visibility": visibility}
            assert (await http.post(ROOT, json=body)).status_code == 201
        mine = await make(ada, visibility="person")
        dashboards = app.platform.of(DashboardManager).dashboards
        async with app.platform.database.transaction(Scope("test", ada.tenant.id)) as tx:
            who = Subject(person.id, None, "someone", tx.now())
            bite = await dashboards.erase(tx, who, "")
            assert (bite.changed, bite.after) == ({"dashboards": 1}, None)
            assert (await dashboards.erase(tx, who, "")).changed == {}
        async with app.platform.database.read(Scope("test", ada.tenant.id)) as tx:
            left = await tx.scalars(sa.select(DashboardRow.owner).order_by(DashboardRow.id))
            assert [bool(owner) for owner in left] == [False, True]
            versions = await tx.scalars(sa.select(DashboardVersionRow.dashboard_id))
            assert mine["id"] in list(versions)
