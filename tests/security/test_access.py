"""Who may do what: every operation of the document, by every role, in every situation.

Allowed and refused are both asserted, from the committed rows of ``tests/contract/access-v1.json``
and not from the application under test. An operation without a row fails, and so does one that the
tests cannot perform for want of an example or a link.
"""

import copy
import json
import os
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
import sqlalchemy as sa

from backend.core.clock import monotonic
from backend.core.context import SystemScope
from backend.managers.gateway import GatewayManager
from backend.managers.monitoring import MonitoringSettings
from backend.managers.tenant import PRINCIPALS
from backend.managers.tenant.models import TenantRow, UserRow
from backend.settings import Settings
from tests.security.conftest import CONSOLE_SECRET, People
from tests.support.access import (
    ANYBODY,
    PLATFORM_ROLES,
    Caller,
    Cast,
    Ground,
    Walk,
    belongings,
    ids_in,
    matrix,
    operations,
    path_of,
    rows,
    unlimited,
    write_matrix,
)
from tests.support.asking import ASK_ALL
from tests.support.errands import EVERYTHING
from tests.support.operations import PROMISED
from tests.support.platform import App

# Thousands of questions each: minutes where much else runs. None of them
# runs a line that the rooms' own tests do not, and measuring it takes as long again.
pytestmark = [pytest.mark.attack, pytest.mark.timeout(1800)]

ROWS = matrix()
ASKED = [one for one in operations(PROMISED) if ROWS.get(one.name, ANYBODY) != ANYBODY]
NOT_WHAT_IT_TAKES = {"after": "not a number"}
"""What gets past the gate and no further: a stream would have no end."""
LAST = "reset_totp"
"""Ends the log-in of whoever prepares things for the others."""
FIRST = {one.id for one in ASKED if one.template.endswith("/audit/verify")}
"""Read all that the others leave."""
TOKEN_SECONDS = 3600
"""How long the callers' tokens live: a walk on a busy machine must not see them end."""
LATER = TOKEN_SECONDS + 1
"""Seconds after which every token and key of the cast is over."""


def share(app: App, of: list[Any], number: int) -> list[Any]:
    """What is asked of much: a third on SQLite, another on PostgreSQL, unless all is asked for.

    Another third for the next number, so that each is asked somewhere. Of callers it is one of each
    role, for those of a role stand together, one by each kind of credential: every role asks for
    every operation on both databases, and every kind of credential for a third of them on each.
    """
    if ASK_ALL:
        return of
    first = number if app.platform.database.dialect == "sqlite" else number + 1
    return of[first % 3 :: 3]


@pytest.fixture
def app_settings(
    app_settings: Settings, prometheus_stand_in: str, monkeypatch: pytest.MonkeyPatch
) -> Settings:
    # Each thing of another's is named in the making of one more.
    monkeypatch.setattr("backend.managers.monitoring._slos.MAX_SLOS", 10_000)
    for room, bound in (
        ("_schedules", "MAX_SCHEDULES"),
        ("_channels", "MAX_CHANNELS"),
        ("_policies", "MAX_POLICIES"),
    ):
        monkeypatch.setattr(f"backend.managers.alerting.{room}.{bound}", 10_000)
    monkeypatch.setattr("backend.managers.webhooks._endpoints.MAX_WEBHOOKS", 10_000)
    monkeypatch.setattr("backend.managers.orchestrator._schedules.MAX_SCHEDULES", 10_000)
    lasting = {"client_token_seconds": TOKEN_SECONDS, "user_token_seconds": TOKEN_SECONDS}
    identity = app_settings.identity.model_copy(update={**lasting, "step_up_seconds": LATER})
    monitoring = MonitoringSettings(prometheus_url=prometheus_stand_in)
    update = {"identity": identity, "monitoring": monitoring}
    return unlimited(app_settings).model_copy(update=update)


@pytest.fixture
def cast(app: App, people: People, openapi: dict[str, Any]) -> Cast:
    return Cast(app, people, openapi)


def test_every_operation_has_its_row(openapi: dict[str, Any]) -> None:
    if os.environ.get("EMAIL_SENDER_RENEW"):
        write_matrix(rows(openapi))
    refuse_unlisted(openapi)


def refuse_unlisted(document: dict[str, Any]) -> None:
    """Fail when what a document declares is not what people reviewed."""
    declared, reviewed = rows(document), matrix()
    new = sorted(declared.keys() ^ reviewed.keys())
    assert not new, f"without a row, or gone: {new}; if it is meant: scripts/renew"
    changed = sorted(name for name in declared if declared[name] != reviewed[name])
    assert not changed, f"other roles may: {changed}; if it is meant: scripts/renew"


@pytest.mark.parametrize(
    ("declared", "said"),
    [
        # Nobody asked for a permission, as a handler without ``requires`` declares it.
        ({"operationId": "brand_new"}, "without a row"),
        ({"operationId": "brand_new", "security": [{"bearer": ["email:read"]}]}, "without a row"),
    ],
)
def test_a_new_operation_without_a_row_fails(
    openapi: dict[str, Any], declared: dict[str, Any], said: str
) -> None:
    document = copy.deepcopy(openapi)
    document["paths"]["/api/v1/brand-new"] = {"get": declared}
    with pytest.raises(AssertionError, match=rf"{said}.*GET /api/v1/brand-new"):
        refuse_unlisted(document)


def test_an_operation_that_asks_for_less_fails(openapi: dict[str, Any]) -> None:
    document = copy.deepcopy(openapi)
    listing = document["paths"]["/api/v1/clients"]["get"]
    for security in ([{"bearer": ["email:read"]}], []):
        listing["security"] = security
        with pytest.raises(AssertionError, match=r"other roles may: .'GET /api/v1/clients'"):
            refuse_unlisted(document)


async def test_in_ones_own_tenant(app: App, cast: Cast) -> None:
    walk = Walk("own tenant")
    ground = await cast.ground()
    callers = await cast.of(ground)
    in_order = sorted(ASKED, key=lambda one: (one.id == LAST, one.id not in FIRST))
    for number, operation in enumerate(in_order):
        row = ROWS[operation.name]
        last = await ground.able.prepare(LAST) if operation.id == LAST else None
        for caller in share(app, callers, number):
            if operation.of_oneself:
                # What a person has to have first is their room's to test: programs have no self.
                answer = await caller.ask(operation)
                held = (answer.status_code == 403) is not caller.may(row)
            elif not caller.may(row):
                answer = await caller.ask(operation)
                held = answer.status_code == 403 and (
                    answer.json()["permission"] == operation.permission
                    and f'scope="{operation.permission}"' in answer.headers["www-authenticate"]
                )
                if operation.template == "/oauth/userinfo":
                    held = answer.status_code == 401
            elif operation.streams:
                answer = await caller.ask(operation, params=NOT_WHAT_IT_TAKES)
                held = answer.status_code == 422
            elif operation.template.startswith("/oauth/"):
                answer = await caller.ask(operation, data={"token": "t"})
                held = answer.status_code == 200
            else:
                prepared = last or await ground.able.prepare(operation.id)
                if operation.id == "create_tenant" and caller.of_platform:
                    # A person owns what they create; a program names who is to be invited.
                    owned = {**prepared.body, "owner_email": "owner@example.test"}
                    prepared = replace(prepared, body=owned)
                answer = await cast.send(caller, prepared)
                held = answer.is_success
            walk.expect(held, caller.name, operation.name, answer)
    walk.close()


# PUT by a name makes the thing where there is none; a key alone is only changed so.
CALLED_BY_A_NAME = {
    one.id
    for one in ASKED
    if one.parameters("path") == ["name"] and one.method == "PUT" and one.id != "put_key"
}
# What ships with the platform is everybody's.
OF_ALL_TENANTS = {"adopt_alert_rule", "get_dashboard_template"}


async def test_with_the_ids_of_anothers_tenant(app: App, cast: Cast) -> None:
    """Eve's people ask for what is Ada's by its path."""
    walk = Walk("foreign ids in paths")
    ada, eve = await cast.ground(), await cast.ground()
    callers = await cast.of(eve)
    prepared = [
        (one, await ada.able.prepare(one.id))
        for one in ASKED
        if one.parameters("path") and not one.streams
    ]
    # What the platform's people may change of hers first; after that nothing.
    prepared.sort(key=lambda one: (not one[0].of_platform, one[0].id == LAST))
    hers: dict[str, list[dict[str, Any]]] = {}
    for number, (operation, thing) in enumerate(prepared):
        if not hers and not operation.of_platform:
            hers = await belongings(app, ada.tenant)
        row = ROWS[operation.name]
        for caller in share(app, callers, number):
            asked = thing
            if operation.of_platform and operation.id != LAST and caller.may(row):
                # Of several who may, each ends or deletes one of its own.
                asked = await ada.able.prepare(operation.id)
            answer = await cast.send(caller, asked)
            if not caller.may(row):
                held = answer.status_code == 403
            elif operation.of_platform or operation.id in OF_ALL_TENANTS:
                held = answer.is_success
            elif operation.id in CALLED_BY_A_NAME:
                # What is called by a name of one's own is another thing in each tenant.
                held = answer.is_success
            else:
                held = answer.status_code == 404
            walk.expect(held, caller.name, operation.name, answer)
    walk.expect_same(hers, await belongings(app, ada.tenant))
    walk.close()


async def test_with_the_ids_of_anothers_tenant_elsewhere(app: App, cast: Cast) -> None:
    """Eve's owner names it in every parameter of a query and every text of a body."""
    walk = Walk("foreign ids in queries and bodies")
    ada, eve = await cast.ground(), await cast.ground()
    owner = await cast.client(eve, "owner")
    things = await _things(ada)
    hers = await belongings(app, ada.tenant)
    secret = (ids_in(hers) | {*things}) - ids_in(await belongings(app, eve.tenant))
    # The document's examples are nobody's: both have asked with them.
    secret -= ids_in(json.dumps(PROMISED))
    for number, operation in enumerate(ASKED):
        if operation.streams or not owner.may(ROWS[operation.name]):
            continue
        for name in operation.parameters("query"):
            for thing in _fitting(app, things, name, number):
                answer = await owner.ask(operation, params={name: thing})
                walk.expect(
                    answer.status_code < 500 and not _told(secret, answer, thing),
                    f"{name}={thing}",
                    operation.name,
                    answer,
                )
        if "application/json" not in operation.described.get("requestBody", {}).get("content", {}):
            continue
        prepared = await eve.able.prepare(operation.id)
        fitting = partial(_fitting, app, things, number=number)
        for body, thing in _with_each(prepared.body, fitting):
            asked = replace(prepared, body=body)
            answer = await cast.send(owner, asked)
            walk.expect(
                answer.status_code < 500 and not _told(secret, answer, thing),
                json.dumps(body),
                operation.name,
                answer,
            )
    walk.expect_same(hers, await belongings(app, ada.tenant))
    walk.close()


async def _things(ground: Ground) -> dict[str, str]:
    """What a tenant's things are called, one of each by id, name and cursor, to what that is."""
    http = ground.owner.http
    found = {ground.tenant.id: "tenant", ground.tenant.slug: "tenant"}
    for operation in ASKED:
        if operation.parameters("path") and not operation.of_platform:
            named = (await ground.able.prepare(operation.id)).path_parameters
            found |= {one: parameter.removesuffix("_id") for parameter, one in named.items()}
    for operation in ASKED:
        if "cursor" in operation.parameters("query") and not operation.of_platform:
            prepared = await ground.able.prepare(operation.id)
            path = operation.template.format_map(prepared.path_parameters)
            listed = (await http.get(path, params={**prepared.query, "limit": 1})).json()
            found |= {listed["next_cursor"]: "cursor"} if listed["next_cursor"] else {}
    # The number of a version is everybody's, and found in any answer.
    return {one: what for one, what in found.items() if not one.isdigit()}


def _fitting(app: App, things: dict[str, str], field: str, number: int) -> list[str]:
    """What is put into a field: all that is called like it, and of the rest a few, in turns."""
    alike = [one for one, what in things.items() if what in field]
    rest = [one for one, what in things.items() if what not in field]
    return alike + (rest if ASK_ALL else share(app, rest, number)[number // 3 % 16 :: 16])


def _with_each(
    body: Any, fitting: Callable[[str], list[str]], within: str = ""
) -> Iterator[tuple[Any, str]]:
    """The body with each of its texts replaced by each thing that fits, one at a time."""
    for place, value in body.items() if isinstance(body, dict) else enumerate(body):
        field = place if isinstance(place, str) else within
        if isinstance(value, str):
            for thing in fitting(field):
                yield _set(body, place, thing), thing
        elif isinstance(value, dict | list):
            for inner, thing in _with_each(value, fitting, field):
                yield _set(body, place, inner), thing


def _set(body: Any, place: Any, value: Any) -> Any:
    changed = copy.copy(body)
    changed[place] = value
    return changed


def _told(secret: set[str], answer: Any, given: str) -> set[str]:
    """What an answer has of the secret that the question had not."""
    return {one for one in secret if one in answer.text and one not in given}


@pytest.mark.parametrize("situation", ["suspended", "expired", "revoked", "removed", "disabled"])
async def test_when_it_is_over(
    app: App, cast: Cast, situation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever could ask a moment ago cannot any more, for nothing at all."""
    walk = Walk(situation)
    ground = await cast.ground()
    callers = await cast.of(ground)
    if situation == "disabled":
        callers = [one for one in callers if one.user is not None]
    if situation == "suspended":
        # Of the platform's own tenant, which cannot be suspended.
        callers = [one for one in callers if not one.of_platform]
    for caller in callers:
        answer = await caller.http.get("/api/v1/me")
        walk.expect(answer.status_code == 200, caller.name, "before", answer)
    await ENDINGS[situation](app, ground, callers, monkeypatch)
    for number, operation in enumerate(ASKED):
        for caller in share(app, callers, number):
            answer = await caller.ask(operation)
            refused = answer.status_code == 401 or (
                situation == "suspended" and answer.json()["code"] == "tenant.suspended"
            )
            walk.expect(refused, caller.name, operation.name, answer)
    walk.close()


async def _suspend(app: App, ground: Ground, *_: Any) -> None:
    async with app.platform.database.transaction(SystemScope(EVERYTHING)) as tx:
        await tx.execute(
            sa.update(TenantRow).where(TenantRow.id == ground.tenant.id).values(state="suspended")
        )
        tx.signal(PRINCIPALS)


async def _disable(app: App, _: Ground, callers: list[Caller], *__: Any) -> None:
    async with app.platform.database.transaction(SystemScope(EVERYTHING)) as tx:
        ids = [one.user.id for one in callers if one.user is not None]
        await tx.execute(sa.update(UserRow).where(UserRow.id.in_(ids)).values(disabled=True))
        tx.signal(PRINCIPALS)


async def _expire(app: App, _: Ground, __: list[Caller], monkeypatch: pytest.MonkeyPatch) -> None:
    database, cache = app.platform.database, app.platform.of(GatewayManager)._cache
    now, then = database.clock(), monotonic() + LATER
    monkeypatch.setattr(database, "clock", lambda: now + timedelta(seconds=LATER))
    monkeypatch.setattr(cache, "_monotonic", lambda: then)


async def _revoke(app: App, ground: Ground, callers: list[Caller], *_: Any) -> None:
    for caller in callers:
        if caller.by == "key":
            path = path_of("api-keys", of_platform=caller.of_platform)
            answer = await ground.owner.http.delete(f"{path}/{caller.row}")
        else:
            token = caller.http.headers["authorization"].removeprefix("Bearer ")
            credential = caller.client if caller.by == "client" else ("console", CONSOLE_SECRET)
            answer = await app.client().post(
                "/oauth/revoke", data={"token": token}, auth=credential
            )
        assert answer.is_success, answer.text


async def _remove(_: App, ground: Ground, callers: list[Caller], *__: Any) -> None:
    lists = {"client": "clients", "key": "api-keys", "person": "members"}
    for caller in callers:
        path = path_of(lists[caller.by], of_platform=caller.of_platform)
        answer = await ground.owner.http.delete(f"{path}/{caller.row}")
        assert answer.is_success, answer.text


ENDINGS: dict[str, Callable[..., Awaitable[None]]] = {
    "suspended": _suspend,
    "expired": _expire,
    "revoked": _revoke,
    "removed": _remove,
    "disabled": _disable,
}


async def test_without_a_tenant(cast: Cast, app: App, people: People) -> None:
    """A log-in alone, of nobody's member, is no right: the platform's people included."""
    walk = Walk("no tenant")
    for role in ("", *PLATFORM_ROLES):
        name = role or "nobody's member"
        user = await people.person(platform_role=role or None)
        tokens = await people.tokens(user.email)
        answer = await people.exchange(tokens["id_token"])
        walk.expect(answer.json()["error"] == "invalid_target", name, "exchange", answer)
        for token, refusal in ((tokens["access_token"], 403), (tokens["id_token"], 401)):
            http = app.client(Authorization=f"Bearer {token}")
            for operation in ASKED:
                answer = await http.request(operation.method, operation.somewhere)
                held = answer.status_code == refusal
                if operation.of_oneself and refusal == 403:
                    held = answer.status_code not in {401, 403} and answer.status_code < 500
                if operation.template == "/oauth/userinfo" and refusal == 403:
                    held = answer.status_code == 200
                walk.expect(held, name, operation.name, answer)
    stranger = app.client()
    for operation in ASKED:
        answer = await stranger.request(operation.method, operation.somewhere)
        walk.expect(answer.status_code == 401, "a stranger", operation.name, answer)
    walk.close()
