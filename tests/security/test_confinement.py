"""No statement, list, key or record of one tenant reaches another's rows."""

import base64
import uuid
from datetime import UTC, datetime
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import aliased, make_transient_to_detached

from backend.core.audit import SEQUENCER, AuditRecord
from backend.core.columns import TenantOwned, UtcTime
from backend.core.context import Scope, SystemScope
from backend.core.database import Base, Id, TenantConfinementError
from backend.core.ids import uuid7
from backend.core.room import House
from backend.managers.audit import READ_PLATFORM
from backend.managers.email.models import EmailRow, RecipientRow, TemplateRow
from backend.managers.gateway import API_KEYS, LIMITS, PLATFORM_ANSWERS, RETENTION
from backend.managers.gateway.models import ApiKey
from backend.managers.identity import AUTHENTICATE, SIGNING_KEYS
from backend.managers.orchestrator.models import JobRow
from backend.managers.tenant import MEMBERS, PLATFORM
from backend.managers.tenant.models import MembershipRow
from backend.rooms import ROOMS

pytestmark = pytest.mark.attack

HOUSE = House(ROOMS)
OTHER = aliased(TemplateRow)
ADA, EVE = uuid7(), uuid7()
TABLE: Any = TemplateRow.__table__


def template(tenant, now, name="n"):
    return {
        "tenant_id": tenant,
        "name": name,
        "subject": "s",
        "text": f"secret of {tenant}",
        "html": None,
        "updated_at": now,
    }


@pytest.fixture
async def filled(database):
    """A database with one template of Ada's and one of Eve's."""
    for tenant in (ADA, EVE):
        async with database.transaction(Scope("t", tenant)) as tx:
            await tx.insert(TemplateRow, [template(tenant, tx.now())])
    return database


def _texts(statement):
    return statement.subquery()


SELECTS = {
    "column": sa.select(TemplateRow.text),
    "entity": sa.select(TemplateRow),
    "alias": sa.select(OTHER.text),
    "self join": sa.select(OTHER.text).join(TemplateRow, sa.true()),
    "outer join": sa.select(OTHER.text).join(TemplateRow, sa.true(), isouter=True),
    "where true": sa.select(TemplateRow.text).where(
        sa.or_(TemplateRow.tenant_id == EVE, sa.true())
    ),
    "subquery": sa.select(_texts(sa.select(TemplateRow.text)).c.text),
    "cte": sa.select(sa.select(TemplateRow.text).cte().c.text),
    "union": sa.union_all(sa.select(TemplateRow.text), sa.select(OTHER.text)),
    "union within": sa.select(
        _texts(sa.union_all(sa.select(TemplateRow.text), sa.select(OTHER.text))).c.text
    ),
    "scalar subquery": sa.select(sa.select(TemplateRow.text).limit(1).scalar_subquery()),
    "in": sa.select(TemplateRow.text).where(TemplateRow.name.in_(sa.select(OTHER.name))),
    "exists": sa.select(TemplateRow.text).where(sa.exists().where(OTHER.name == "n")),
    "update": sa.update(TemplateRow).values(subject="x").returning(TemplateRow.text),
}
REFUSED = {
    "scalar subquery of theirs": sa.select(
        sa.select(TemplateRow.text).where(TemplateRow.tenant_id == EVE).scalar_subquery()
    ),
    "in theirs": sa.select(TemplateRow.text).where(
        TemplateRow.name.in_(sa.select(OTHER.name).where(OTHER.tenant_id == EVE))
    ),
    "exists of theirs": sa.select(TemplateRow.text).where(
        sa.exists().where(OTHER.tenant_id == EVE)
    ),
    "update theirs": sa.update(TemplateRow)
    .where(TemplateRow.tenant_id == EVE)
    .values(subject="x")
    .returning(TemplateRow.text),
    "delete theirs": sa.delete(TemplateRow)
    .where(TemplateRow.tenant_id == EVE)
    .returning(TemplateRow.text),
    "raw": sa.text("SELECT text FROM email_templates"),
    "raw as columns": sa.text("SELECT text FROM email_templates").columns(text=sa.Text),
    "table": sa.select(TABLE.c.text),
    "table alias": sa.select(TABLE.alias().c.text),
    "count of a table": sa.select(sa.func.count()).select_from(TABLE),
    "update of a table": sa.update(TABLE).values(subject="x"),
    "delete of a table": sa.delete(TABLE),
    "giving away": sa.update(TemplateRow).values(tenant_id=EVE, name="given"),
    "insert": sa.insert(TemplateRow).values(template(EVE, None)),
    "insert from select": sa.insert(TemplateRow).from_select(
        ["tenant_id", "name", "subject", "text", "updated_at"],
        sa.select(
            sa.literal(ADA, Id()),
            sa.literal("stolen"),
            TemplateRow.subject,
            TemplateRow.text,
            TemplateRow.updated_at,
        ),
    ),
    "insert of theirs from what is bound": sa.insert(TemplateRow).from_select(
        ["tenant_id", "name", "subject", "text", "updated_at"],
        sa.select(
            sa.bindparam("tenant_id", EVE, type_=Id()),
            *(sa.literal(each) for each in ("n", "s", "t")),
            sa.literal(datetime.now(UTC), UtcTime()),
        ),
    ),
    "insert from a union": sa.insert(TemplateRow).from_select(
        ["tenant_id", "name", "subject", "text", "updated_at"],
        sa.union_all(
            *(
                sa.select(
                    sa.literal(tenant, Id()),
                    *(sa.literal(each) for each in ("n", "s", "t")),
                    sa.literal(datetime.now(UTC), UtcTime()),
                )
                for tenant in (ADA, EVE)
            )
        ),
        include_defaults=False,
    ),
    "insert of a computed tenant": sa.insert(TemplateRow).from_select(
        ["tenant_id", "name", "subject", "text", "updated_at"],
        sa.select(
            sa.func.coalesce(sa.literal(EVE, Id()), sa.literal(ADA, Id())),
            *(sa.literal(each) for each in ("n", "s", "t")),
            sa.literal(datetime.now(UTC), UtcTime()),
        ),
    ),
    "no tenant's table": sa.select(sa.column("x")).select_from(sa.table("users")),
}


BEYOND_THE_ERRAND = [
    sa.select(TemplateRow.text),
    sa.select(OTHER.text),
    sa.select(sa.func.max(TemplateRow.text)),
    sa.select(TABLE.c.text),
    sa.text("SELECT text FROM email_templates"),
    sa.select(JobRow.id).where(JobRow.id.in_(sa.select(EmailRow.id))),
    sa.select(JobRow.id).where(sa.exists().where(TemplateRow.name == "x")),
    sa.select(JobRow.id).order_by(sa.select(TemplateRow.text).scalar_subquery()),
    sa.select(sa.func.count()).select_from(sa.select(TemplateRow).cte()),
    sa.update(JobRow).values(error=sa.select(TemplateRow.text).scalar_subquery()),
    sa.delete(JobRow).returning(sa.select(TemplateRow.text).scalar_subquery()),
    sa.delete(RecipientRow),
]


class TestStatements:
    async def test_reach_the_scopes_rows_alone(self, filled):
        for name, statement in SELECTS.items():
            async with filled.transaction(Scope("t", ADA)) as tx:
                rows = await tx.scalars(statement)
                texts = [getattr(row, "text", row) for row in rows]
            assert f"secret of {EVE}" not in texts, name
        async with filled.read(Scope("t", EVE)) as view:
            (kept,) = await view.scalars(sa.select(TemplateRow))
            assert (kept.subject, kept.tenant_id) == ("s", EVE)

    async def test_that_cannot_be_confined_are_refused(self, filled):
        for name, statement in REFUSED.items():
            async with filled.transaction(Scope("t", ADA)) as tx:
                with pytest.raises(TenantConfinementError):
                    await tx.execute(statement)
                    pytest.fail(name)

    async def test_do_not_write_where_they_only_read(self, filled):
        for statement in (
            sa.update(TemplateRow).values(subject="x"),
            sa.delete(TemplateRow),
            sa.update(TABLE).values(subject="x"),
            sa.text("DELETE FROM email_templates"),
        ):
            async with filled.read(Scope("t", ADA)) as view:
                with pytest.raises(TenantConfinementError):
                    await view.execute(statement)


class TestObjects:
    async def test_get_and_merge_find_nothing_of_others(self, filled):
        async with filled.transaction(Scope("t", ADA)) as tx:
            with pytest.raises(TenantConfinementError, match="another tenant"):
                await tx.session.get(TemplateRow, (EVE, "n"))
        with pytest.raises(TenantConfinementError):
            async with filled.transaction(Scope("t", ADA)) as tx:
                await tx.session.merge(TemplateRow(**template(EVE, tx.now())))

    async def test_a_row_does_not_change_hands(self, filled):
        with pytest.raises(TenantConfinementError):
            async with filled.transaction(Scope("t", ADA)) as tx:
                (row,) = await tx.scalars(sa.select(TemplateRow))
                row.tenant_id = EVE

    @pytest.mark.parametrize("tenant", [ADA, EVE], ids=["own", "foreign"])
    @pytest.mark.parametrize("act", ["add", "delete"])
    async def test_one_that_was_not_read_is_refused_whosever_it_says_it_is(
        self, filled, tenant, act
    ):
        """The unit of work names it by key alone, and the key is whatever somebody made up."""
        async with filled.transaction(Scope("t", ADA)) as tx:
            row = TemplateRow(**template(tenant, tx.now()))
            make_transient_to_detached(row)
            with pytest.raises(TenantConfinementError, match="was not read"):
                if act == "add":
                    tx.session.add(row)
                else:
                    await tx.session.delete(row)

    async def test_many_rows_by_key(self, filled):
        """By primary key alone: no criterion would hold, and the key may be another's."""
        theirs = [{"tenant_id": EVE, "name": "n", "subject": "x"}]
        async with filled.transaction(Scope("t", ADA)) as tx:
            with pytest.raises(TenantConfinementError):
                await tx.execute(sa.update(TemplateRow), theirs)
            with pytest.raises(TenantConfinementError):
                await tx.insert(TemplateRow, [template(EVE, tx.now(), "new")])

    async def test_an_upsert_onto_anothers_row(self, filled):
        def key(tenant, now):
            return {
                "id": uuid7(),
                "tenant_id": tenant,
                "name": "theirs",
                "role": "viewer",
                "prefix": "es_",
                # Unique whoever's it is: the one kind of conflict that another tenant's row can be.
                "key_hash": b"h",
                "created_by": "t",
                "created_at": now,
                "expires_at": None,
                "last_used_at": None,
            }

        async with filled.transaction(Scope("t", EVE)) as tx:
            await tx.insert(ApiKey, [key(EVE, tx.now())])
        with pytest.raises(TenantConfinementError):
            async with filled.transaction(Scope("t", ADA)) as tx:
                await tx.upsert(
                    ApiKey, key(ADA, tx.now()), conflict=["key_hash"], update={"name": "mine"}
                )
        with pytest.raises(TenantConfinementError):
            async with filled.transaction(Scope("t", ADA)) as tx:
                await tx.upsert(
                    TemplateRow,
                    template(ADA, tx.now()),
                    conflict=["tenant_id", "name"],
                    update={"tenant_id": EVE},
                )
        async with filled.read(Scope("t", EVE)) as view:
            assert await view.scalar(sa.select(ApiKey.name)) == "theirs"

    async def test_a_record_in_anothers_trail(self, filled):
        with pytest.raises(TenantConfinementError):
            async with filled.transaction(Scope("t", ADA)) as tx:
                tx.audit("email.sent", "email:1", tenant_id=EVE)
        async with filled.read(SystemScope(SEQUENCER)) as view:
            assert await view.scalars(sa.select(AuditRecord)) == []


class TestErrands:
    async def test_touch_what_they_list_alone(self, filled):
        for statement in BEYOND_THE_ERRAND:
            async with filled.transaction(SystemScope(RETENTION)) as tx:
                with pytest.raises(TenantConfinementError):
                    await tx.execute(statement)
                    pytest.fail(str(statement))

    def test_no_request_reaches_mail_by_errand(self):
        """Errands that requests run name no table of a tenant's mail, jobs or settings."""
        of_requests = (AUTHENTICATE, SIGNING_KEYS, API_KEYS, LIMITS, PLATFORM_ANSWERS)
        for errand in (*of_requests, PLATFORM, MEMBERS, READ_PLATFORM):
            tables = errand.tables | HOUSE.along
            assert not {table for table in tables if table.startswith("email_")}
            assert "jobs" not in tables

    async def test_of_one_tenants_requests_reach_its_rows_alone(self, app, people):
        """Members and clients are reached by errand: with the same criterion as all else."""
        ada, eve = await app.caller("owner"), await app.caller("owner")
        for caller in (ada, eve):
            await people.member(caller.tenant, await people.person(), "owner")
        database, seen = app.platform.database, set()
        for errand in HOUSE.errands.values():
            if not errand.confined:
                continue
            scope = SystemScope(errand, tenant_id=ada.tenant.id)
            for mapper in Base.registry.mappers:
                model: Any = mapper.class_
                if not issubclass(model, TenantOwned) or model.__tablename__ not in errand.tables:
                    continue
                async with database.read(scope) as view:
                    found = await view.scalars(sa.select(model.tenant_id))
                    assert set(found) <= {ada.tenant.id}, (errand.name, model)
                    with pytest.raises(TenantConfinementError):
                        await view.scalars(sa.select(model).where(model.tenant_id == eve.tenant.id))
                        pytest.fail(f"{errand.name}: {model}")
                if found:
                    seen.add(model.__tablename__)
        assert seen >= {"memberships", "audit_records", "oauth_clients"}
        async with database.transaction(SystemScope(MEMBERS, tenant_id=ada.tenant.id)) as tx:
            changed = await tx.execute(
                sa.update(MembershipRow)
                .values(role="viewer")
                .returning(MembershipRow.tenant_id)
                .execution_options(synchronize_session=False)
            )
            assert {row.tenant_id for row in changed} == {ada.tenant.id}
            with pytest.raises(TenantConfinementError):
                row = {"tenant_id": eve.tenant.id, "user_id": uuid7(), "role": "owner"}
                await tx.insert(MembershipRow, [row])

    async def test_leave_a_record_without_listing_the_trail_and_cannot_read_it(self, filled):
        async with filled.transaction(SystemScope(RETENTION)) as tx:
            tx.audit("thing.swept", "thing:1")
        for statement in (
            sa.select(AuditRecord),
            sa.update(AuditRecord).values(actor="x"),
            sa.delete(AuditRecord),
        ):
            async with filled.transaction(SystemScope(RETENTION)) as tx:
                with pytest.raises(TenantConfinementError, match="audit_records"):
                    await tx.execute(statement)


class TestApi:
    """The same from outside: Eve knows every id, name, key and cursor of Ada's."""

    async def test_nothing_of_anothers_exists(self, app, people):
        ada, eve = await app.caller("owner"), await app.caller("owner")
        mail = {"to": ["ada@example.test"], "subject": "s", "text": "t", "business_key": "k-1"}
        email = (await ada.http.post("/api/v1/emails", json=mail)).json()
        await ada.http.put("/api/v1/email-templates/mine", json={"subject": "s", "text": "t"})
        client = (
            await ada.http.post("/api/v1/clients", json={"name": "c", "role": "viewer"})
        ).json()
        key = (await ada.http.post("/api/v1/api-keys", json={"name": "k", "role": "viewer"})).json()
        bob = await people.person()
        await people.member(ada.tenant, bob, "viewer")
        for method, path, body in (
            ("GET", f"/api/v1/emails/{email['id']}", None),
            ("GET", f"/api/v1/emails/{email['id']}/content", None),
            ("GET", f"/sink/emails/{email['id']}", None),
            ("GET", f"/api/v1/jobs/{email['job_id']}", None),
            ("POST", f"/api/v1/jobs/{email['job_id']}/cancel", None),
            ("POST", f"/api/v1/jobs/{email['job_id']}/retry", None),
            ("GET", "/api/v1/email-templates/mine", None),
            ("DELETE", "/api/v1/email-templates/mine", None),
            ("DELETE", f"/api/v1/clients/{client['id']}", None),
            ("POST", f"/api/v1/clients/{client['id']}/rotate", None),
            ("DELETE", f"/api/v1/api-keys/{key['id']}", None),
            ("PUT", f"/api/v1/members/{bob.id}", {"role": "viewer"}),
            ("DELETE", f"/api/v1/members/{bob.id}", None),
        ):
            answer = await eve.http.request(method, path, json=body)
            assert answer.status_code == 404, (method, path, answer.text)
        template = {"to": ["a@example.test"], "template": "mine"}
        assert (await eve.http.post("/api/v1/emails", json=template)).status_code == 404
        # The same business key names another act in another tenant.
        theirs = await eve.http.post("/api/v1/emails", json=mail)
        assert theirs.status_code == 202
        assert theirs.json()["id"] != email["id"]

    async def test_a_cursor_of_anothers_list_shows_nothing_of_it(self, app):
        ada, eve = await app.caller("owner"), await app.caller("owner")
        for n in range(3):
            mail = {"to": ["ada@example.test"], "subject": f"s{n}", "text": "t"}
            await ada.http.post("/api/v1/emails", json=mail)
        ids = {one["id"] for one in (await ada.http.get("/api/v1/emails")).json()["items"]}
        last = base64.urlsafe_b64encode(uuid.UUID(int=2**128 - 1).bytes).decode().rstrip("=")
        for path in ("emails", "jobs", "audit", "clients", "api-keys", "members"):
            theirs = (await ada.http.get(f"/api/v1/{path}?limit=1")).json()
            for cursor in {theirs["next_cursor"] or last, last}:
                answer = await eve.http.get(f"/api/v1/{path}", params={"cursor": cursor})
                assert answer.status_code == 200, answer.text
                assert not ids & {one["id"] for one in answer.json()["items"]}
                assert ada.client_id not in answer.text
                assert ada.tenant.id not in answer.text

    async def test_an_idempotency_key_is_its_callers_own(self, app):
        ada, eve = await app.caller("owner"), await app.caller("owner")
        colleague = await app.caller("owner", ada.tenant)
        body = {"name": "c", "role": "viewer"}
        key = {"Idempotency-Key": "same"}
        made = [
            (await one.http.post("/api/v1/clients", json=body, headers=key)).json()["client_secret"]
            for one in (ada, colleague, eve)
        ]
        assert len(set(made)) == 3

    async def test_trails_and_overviews_are_apart(self, app):
        ada, eve = await app.caller("owner"), await app.caller("owner")
        mail = {"to": ["ada@example.test"], "subject": "private", "text": "t"}
        email = (await ada.http.post("/api/v1/emails", json=mail)).json()
        await app.sequence()
        for path in (
            "/api/v1/audit",
            "/api/v1/overview",
            f"/api/v1/audit?target=email:{email['id']}",
        ):
            answer = await eve.http.get(path)
            assert email["id"] not in answer.text
            assert "private" not in answer.text
        for pattern in ("*", "%", "_", "email:%", "' OR ''='"):
            found = (await eve.http.get("/api/v1/audit", params={"target": pattern})).json()
            assert not [one for one in found["items"] if one["target"] == f"email:{email['id']}"]
