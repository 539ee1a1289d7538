"""What a request brings along changes neither whose it is nor what it may set."""

import copy
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from backend.core.ids import uuid7
from backend.managers.monitoring import MonitoringSettings
from backend.settings import Settings
from tests.security.conftest import People
from tests.support.access import Cast, Walk, belongings, ids_in, operations, unlimited
from tests.support.operations import PROMISED
from tests.support.platform import App

pytestmark = pytest.mark.attack

PRIVILEGED: dict[str, Any] = {
    "tenant_id": uuid7(),
    "tenant": "acme",
    "id": uuid7(),
    "user_id": uuid7(),
    "owner": True,
    "permissions": ["platform:write"],
    "platform_admin": True,
    "platform_role": "administrator",
    "disabled": False,
    "created_at": "2020-01-01T00:00:00Z",
    "created_by": "system",
    "password_hash": "$argon2id$",
    "secret_hash": "00",
    "key_hash": "00",
    "seq": 1,
    "__proto__": {"role": "owner"},
    "constructor": {"prototype": {"role": "owner"}},
}
"""What somebody would like to set, or a careless reader would take over."""

CLAIMS = (
    "X-Tenant",
    "X-Tenant-Id",
    "X-Organization-Id",
    "X-User",
    "X-User-Id",
    "X-Remote-User",
    "Remote-User",
    "X-Forwarded-User",
    "X-Forwarded-Email",
    "X-Auth-Request-User",
    "X-Role",
    "X-Permissions",
    "X-Original-URL",
    "X-Rewrite-URL",
    "X-HTTP-Method-Override",
    "Forwarded",
    "Via",
)
"""Headers by which one or another gateway, proxy or framework is told who asks for what."""


@pytest.fixture
def app_settings(app_settings: Settings, prometheus_stand_in: str) -> Settings:
    monitoring = MonitoringSettings(prometheus_url=prometheus_stand_in)
    return unlimited(app_settings).model_copy(update={"monitoring": monitoring})


@pytest.fixture
def cast(app: App, people: People, openapi: dict[str, Any]) -> Cast:
    return Cast(app, people, openapi)


def _closed(schema: dict[str, Any], body: Any, at: tuple[Any, ...] = ()) -> Iterator[Any]:
    """Where in a body there is an object whose fields are the API's: the way to each."""
    if "$ref" in schema:
        schema = PROMISED["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    for branch in schema.get("anyOf", ()):
        yield from _closed(branch, body, at)
    if isinstance(body, dict) and "properties" in schema:
        yield at
        for name, value in body.items():
            yield from _closed(schema["properties"].get(name, {}), value, (*at, name))
    elif isinstance(body, list):
        for number, value in enumerate(body):
            yield from _closed(schema.get("items", {}), value, (*at, number))


def _known(schema: dict[str, Any], way: tuple[Any, ...]) -> set[str]:
    """The fields of the object that the way leads to."""
    found: set[str] = set()
    waiting = [(schema, way)]
    while waiting:
        one, rest = waiting.pop()
        if "$ref" in one:
            one = PROMISED["components"]["schemas"][one["$ref"].rpartition("/")[2]]
        waiting += [(branch, rest) for branch in one.get("anyOf", ())]
        if not rest:
            found |= one.get("properties", {}).keys()
        elif isinstance(rest[0], int):
            waiting.append((one.get("items", {}), rest[1:]))
        else:
            waiting.append((one.get("properties", {}).get(rest[0], {}), rest[1:]))
    return found


def _within(body: Any, way: tuple[Any, ...], name: str, value: Any) -> Any:
    changed = copy.deepcopy(body)
    place = changed
    for step in way:
        place = place[step]
    place[name] = value
    return changed


# What Prometheus, amtool and Grafana send has fields of theirs, which are passed over.
OF_OTHERS = {
    "POST /alertmanager/api/v2/alerts",
    "POST /alertmanager/api/v2/silences",
    "POST /api/v1/alerts/grafana",
}


async def test_no_body_takes_a_field_that_is_not_its_own(cast: Cast) -> None:
    """Mass assignment: each object of each body, with each field that one would like to set."""
    walk = Walk("mass assignment")
    ground = await cast.ground()
    for operation in operations(PROMISED):
        content = operation.described.get("requestBody", {}).get("content", {})
        if "application/json" not in content:
            continue
        schema = content["application/json"]["schema"]
        if schema.get("$ref") == "#/components/schemas/OtlpExport":
            # OTLP's own: receivers pass over fields that they do not know.
            continue
        if not schema:
            # Any JSON at all: it is a value that is kept, and none of its fields is ours.
            continue
        if operation.name in OF_OTHERS:
            continue
        prepared = await ground.able.prepare(operation.id)
        ways = list(_closed(schema, prepared.body))
        assert ways, operation.name
        for way in ways:
            for name in PRIVILEGED.keys() - _known(schema, way):
                body = _within(prepared.body, way, name, PRIVILEGED[name])
                answer = await cast.send(ground.owner, replace(prepared, body=body))
                held = answer.status_code == 422 and name in answer.text
                walk.expect(held, f"{way} {name}", operation.name, answer)
    walk.close()


async def test_no_header_changes_who_asks_or_for_what(app: App, cast: Cast) -> None:
    """Tenant smuggling: Eve says in every header that she is Ada."""
    walk = Walk("smuggled in headers")
    ada, eve = await cast.ground(), await cast.ground()
    owner, viewer = await cast.client(eve, "owner"), await cast.client(eve, "viewer")
    await ada.able.perform("send_email")
    hers = await belongings(app, ada.tenant)
    secret = ids_in(hers)
    asked = [
        (one, (await eve.able.prepare(one.id)).asked_with)
        for one in operations(PROMISED)
        if one.method == "GET" and one.permission and not one.streams
        if not one.of_platform and not one.parameters("path")
    ]
    for value in (ada.tenant.id, ada.tenant.slug, ada.owner.row, f"user:{ada.owner.row}", "owner"):
        headers = dict.fromkeys(CLAIMS, value)
        for operation, query in asked:
            answer = await owner.ask(operation, headers=headers, params=query)
            held = answer.is_success and not secret & ids_in(answer.text)
            walk.expect(held, value, operation.name, answer)
        me = (await viewer.http.get("/api/v1/me", headers=headers)).json()
        held = (me["tenant"]["id"], me["role"]) == (eve.tenant.id, "viewer")
        walk.expect(held, value, "GET /api/v1/me", me)
        # Neither another address nor another method, for a permission that was asked of this one.
        for override in ("DELETE", "POST"):
            more = {"X-HTTP-Method-Override": override, "X-Original-URL": "/api/v1/clients"}
            answer = await viewer.http.get("/api/v1/members", headers=headers | more)
            walk.expect("client_id" not in answer.text, override, "GET /api/v1/members", answer)
    walk.expect_same(hers, await belongings(app, ada.tenant))
    walk.close()


async def test_a_browsers_log_in_is_no_credential_of_the_api(app: App, people: People) -> None:
    """Cross-site requests bring cookies along; there is nothing for them to be worth."""
    walk = Walk("by cookie")
    owner = await app.caller("owner")
    user = await people.person()
    await people.member(owner.tenant, user, "owner")
    browser = app.client()
    await people.tokens(user.email, http=browser)
    (session,) = [one.value for one in browser.cookies.jar if one.name == "email_sender_session"]
    forced = app.client(Cookie=f"email_sender_session={session}; Authorization={session}")
    for operation in operations(PROMISED):
        if operation.described.get("security") and {} not in operation.described["security"]:
            answer = await forced.request(operation.method, operation.somewhere)
            walk.expect(answer.status_code == 401, "a browser", operation.name, answer)
    walk.close()
