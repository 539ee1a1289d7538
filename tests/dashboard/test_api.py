"""The typed client: what it sends, what it makes of the answers, how it names failures."""

from __future__ import annotations

import inspect
import json
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from dashboard import api, schemas, settings
from tests.dashboard import contract

SETTINGS = settings.Settings(
    api_url="http://api.test",
    issuer_url="http://issuer.test",
    client_id="console",
    client_secret="hidden",
    public_url="http://localhost:8401",
    timeout_seconds=5,
)
ID = "0198c1de-0000-7000-8000-000000000001"


class Tokens:
    """Hands out numbered tokens."""

    def __init__(self) -> None:
        self.number = 1

    def bearer(self, *, renew: bool = False) -> str:
        self.number += renew
        return f"token-{self.number}"


def client(answer) -> api.Api:
    http = httpx.Client(transport=httpx.MockTransport(answer))
    return api.Api(SETTINGS, http, Tokens())


class TestProblem:
    def test_carries_the_members_of_a_problem_document(self):
        body = {
            "type": "/problems/invalid_input",
            "title": "The request is not valid.",
            "detail": "One field is wrong.",
            "code": "invalid_input",
            "request_id": "req-1",
            "errors": [{"pointer": "/slug", "detail": "too short"}],
        }
        with pytest.raises(api.ApiProblem) as caught:
            client(lambda _: httpx.Response(422, json=body)).create_tenant(slug="a", name="A")
        problem = caught.value
        assert (problem.title, problem.detail) == (
            "The request is not valid.",
            "One field is wrong.",
        )
        assert (problem.code, problem.status, problem.request_id) == ("invalid_input", 422, "req-1")
        assert problem.errors == (api.FieldProblem(pointer="/slug", detail="too short"),)

    def test_takes_the_request_id_from_the_header_of_a_bare_answer(self):
        answer = httpx.Response(502, text="<h1>Bad gateway</h1>", headers={"X-Request-Id": "req-2"})
        with pytest.raises(api.ApiProblem) as caught:
            client(lambda _: answer).me()
        assert (caught.value.status, caught.value.request_id) == (502, "req-2")
        assert caught.value.code == "console.unexplained"

    @pytest.mark.parametrize(
        ("error", "code"),
        [
            (httpx.ReadTimeout("slow"), "console.timeout"),
            (httpx.ConnectError("down"), "console.unreachable"),
            (httpx.ReadError("reset"), "console.unreachable"),
        ],
    )
    def test_names_the_absence_of_an_answer(self, error, code):
        def fail(_):
            raise error

        with pytest.raises(api.ApiProblem) as caught:
            client(fail).me()
        assert (caught.value.code, caught.value.status) == (code, 0)

    def test_names_an_answer_of_another_form(self):
        with pytest.raises(api.ApiProblem) as caught:
            client(lambda _: httpx.Response(200, json={"items": [{"id": 1}]})).list_emails()
        assert caught.value.code == "console.unreadable"


class TestApi:
    def test_asks_once_more_with_a_fresh_token_after_a_401(self):
        seen = []

        def answer(request):
            seen.append(request.headers["Authorization"])
            if len(seen) == 1:
                return httpx.Response(
                    401, json={"title": "Log in first.", "code": "unauthenticated"}
                )
            return httpx.Response(200, json={"items": [], "next_cursor": None})

        assert client(answer).list_jobs().items == []
        assert seen == ["Bearer token-1", "Bearer token-2"]

    def test_gives_up_at_the_second_401(self):
        refusal = httpx.Response(401, json={"title": "Log in first.", "code": "unauthenticated"})
        with pytest.raises(api.ApiProblem) as caught:
            client(lambda _: refusal).list_jobs()
        assert caught.value.status == 401

    @pytest.mark.parametrize(
        "error",
        [
            httpx.RemoteProtocolError("Server disconnected without sending a response."),
            httpx.ReadError("reset"),
            httpx.WriteError("broken pipe"),
        ],
    )
    def test_sends_again_what_a_kept_connection_lost(self, error):
        seen = []

        def answer(request):
            seen.append((request.method, request.headers["Idempotency-Key"], request.content))
            if len(seen) == 1:
                raise error
            return httpx.Response(200, json={"valid": True, "records": 3})

        assert client(answer).verify_audit().valid
        assert len(seen) == 2
        assert seen[0] == seen[1]

    def test_sends_only_the_filters_that_are_set(self):
        seen = []

        def answer(request):
            seen.append(dict(request.url.params))
            return httpx.Response(200, json={"items": [], "next_cursor": None})

        client(answer).list_emails(state="bounced", recipient=None, cursor="c1")
        assert seen == [{"state": "bounced", "cursor": "c1", "limit": "50"}]

    def test_gives_every_write_its_own_idempotency_key(self):
        seen = []

        def answer(request):
            seen.append(request.headers["Idempotency-Key"])
            return httpx.Response(
                201,
                json={
                    "id": ID,
                    "slug": "a",
                    "name": "A",
                    "state": "active",
                    "created_at": "2026-01-02T03:04:05Z",
                },
            )

        calls = client(answer)
        calls.create_tenant(slug="a", name="A")
        calls.create_tenant(slug="a", name="A")
        assert len(set(seen)) == 2

    @pytest.mark.parametrize("hostile", ["../me", "x?y=1", "", "..%2f", "1/cancel"])
    def test_refuses_an_id_that_would_leave_its_path(self, hostile):
        def answer(_):
            pytest.fail("nothing may be sent")

        with pytest.raises(api.ApiProblem) as caught:
            client(answer).get_job(hostile)
        assert caught.value.status == 404

    def test_ignores_what_a_newer_platform_adds(self):
        record = {"id": ID, "at": "2026-01-02T03:04:05Z", "actor": "a", "action": "b", "new": 1}
        body = {"items": [record], "next_cursor": None, "also_new": True}
        assert client(lambda _: httpx.Response(200, json=body)).list_audit().items[0].actor == "a"


# Every call the console can make, with all it can carry.
CALLS: dict[str, dict[str, Any]] = {
    "me": {},
    "overview": {"minutes": 15},
    "list_emails": {"state": "bounced", "recipient": "ada@example.test", "cursor": "c"},
    "get_email": {"email_id": ID},
    "get_email_content": {"email_id": ID},
    "get_sink_copies": {"email_id": ID},
    "list_jobs": {"state": "dead", "kind": "email.send", "cursor": "c"},
    "get_job": {"job_id": ID},
    "cancel_job": {"job_id": ID},
    "retry_job": {"job_id": ID},
    "list_audit": {"action": "a.b", "actor": "user:1", "target": "email:1", "cursor": "c"},
    "verify_audit": {},
    "list_tenants": {"cursor": "c"},
    "create_tenant": {"slug": "acme", "name": "Acme", "owner_email": "ada@example.test"},
    "list_roles": {},
    "list_members": {"cursor": "c"},
    "add_member": {
        "email": "ada@example.test", "name": "Ada", "role": "viewer", "password": "a" * 12
    },
    "change_member_role": {"user_id": ID, "role": "viewer"},
    "remove_member": {"user_id": ID},
    "list_clients": {"cursor": "c"},
    "create_client": {"name": "Invoices", "role": "workflow"},
    "rotate_client": {"client_row_id": ID},
    "delete_client": {"client_row_id": ID},
    "list_api_keys": {"cursor": "c"},
    "create_api_key": {
        "name": "Report", "role": "viewer", "expires_at": datetime(2099, 1, 1, tzinfo=UTC)
    },
    "revoke_api_key": {"key_id": ID},
}  # fmt: skip


class TestContract:
    def test_is_held_for_every_call(self):
        methods = {name for name, _ in inspect.getmembers(api.Api, inspect.isfunction)}
        assert {name for name in methods if not name.startswith("_")} == set(CALLS)

    @pytest.mark.parametrize(
        ("name", "more"),
        [
            # The sink is no part of the document.
            *((name, {}) for name in CALLS if name != "get_sink_copies"),
            ("list_audit", {"platform": True}),
            ("verify_audit", {"platform": True}),
        ],
    )
    def test_is_understood_with_everything_left_out_that_may_be(self, name, more):
        def answer(request):
            call = (request.method, request.url.path)
            schema = contract.answer_schema(*call)
            status = 200 if schema else 204
            if schema and "201" in contract.operation(*call)["responses"]:
                status = 201
            body = contract.barest(schema) if schema else None
            asked = json.loads(request.content) if request.content else None
            contract.hold(*call, dict(request.url.params), asked, status, body)
            return httpx.Response(status, json=body) if schema else httpx.Response(status)

        getattr(client(answer), name)(**CALLS[name], **more)

    @pytest.mark.parametrize(
        "lie",
        [
            {"user_id": ID, "email": "a@x.test", "name": "A", "role": "viewer"},
            {"id": 1, "email": "", "name": "", "role": "", "created_at": "2026-01-02T03:04:05Z"},
            {"id": "", "email": "", "name": "", "role": "", "created_at": "yesterday"},
            {
                "id": "", "email": "", "name": "", "role": "",
                "created_at": "2026-01-02T03:04:05Z", "more": 1,
            },
        ],
    )  # fmt: skip
    def test_refuses_a_fake_that_answers_something_else(self, lie):
        with pytest.raises(AssertionError, match="GET /api/v1/members"):
            contract.hold(
                "GET", "/api/v1/members", {}, None, 200, {"items": [lie], "next_cursor": None}
            )


class TestGate:
    def test_exchanges_with_the_clients_credentials(self):
        seen = []

        def answer(request):
            seen.append(request)
            return httpx.Response(200, json={"access_token": "t", "expires_in": 300})

        http = httpx.Client(transport=httpx.MockTransport(answer))
        grant = api.Gate(SETTINGS, http).exchange("the-login", "tenant-1")
        form = dict(httpx.QueryParams(seen[0].content.decode()))
        assert form == {
            "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
            "subject_token": "the-login",
            "subject_token_type": "urn:ietf:params:oauth:token-type:id_token",
            "tenant": "tenant-1",
        }
        assert seen[0].headers["Authorization"].startswith("Basic ")
        assert grant.access_token == "t"
        assert "access_token" not in repr(grant)

    def test_does_not_follow_a_redirect_with_the_credentials(self):
        gate = api.open_gate(SETTINGS)
        assert gate.http.follow_redirects is False
        assert gate.http.trust_env is False
        gate.http.close()


class TestWalk:
    def test_goes_from_cursor_to_cursor_until_there_is_none(self):
        pages = {
            None: schemas.Page(items=[1, 2], next_cursor="b"),
            "b": schemas.Page(items=[3], next_cursor=None),
        }
        assert [page.items for page in api.walk(pages.__getitem__)] == [[1, 2], [3]]
