"""The typed client: what it sends, what it makes of the answers, how it names failures."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from types import SimpleNamespace

import httpx
import pytest

from dashboard import client, settings
from dashboard.client import models

SETTINGS = settings.Settings(
    api_url="http://api.test",
    issuer_url="http://issuer.test",
    client_id="console",
    client_secret="hidden",
    public_url="http://localhost:8401",
    timeout_seconds=5,
)
ID = "0198c1de-0000-7000-8000-000000000001"
TENANT = models.TenantCreate(slug="a", name="A")


VERDICT = {
    "valid": True,
    "records": 3,
    "head_seq": 3,
    "head_hash": None,
    "first_invalid_seq": None,
    "unsequenced": 0,
    "complete": True,
    "findings": [],
    "removed_seq": 0,
    "from_seq": 1,
}


class Tokens:
    """Hands out numbered tokens."""

    def __init__(self) -> None:
        self.number = 1

    def bearer(self, *, renew: bool = False) -> str:
        self.number += renew
        return f"token-{self.number}"


def asking(answer) -> client.Api:
    http = httpx.Client(transport=httpx.MockTransport(answer))
    return client.Api(client.Connection(SETTINGS, http, Tokens()))


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
        with pytest.raises(client.ApiProblem) as caught:
            asking(lambda _: httpx.Response(422, json=body)).create_tenant(TENANT)
        problem = caught.value
        assert (problem.title, problem.detail) == (
            "The request is not valid.",
            "One field is wrong.",
        )
        assert (problem.code, problem.status, problem.request_id) == ("invalid_input", 422, "req-1")
        assert problem.errors == (client.FieldProblem(pointer="/slug", detail="too short"),)

    def test_takes_the_request_id_from_the_header_of_a_bare_answer(self):
        answer = httpx.Response(502, text="<h1>Bad gateway</h1>", headers={"X-Request-Id": "req-2"})
        with pytest.raises(client.ApiProblem) as caught:
            asking(lambda _: answer).get_me()
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

        with pytest.raises(client.ApiProblem) as caught:
            asking(fail).get_me()
        assert (caught.value.code, caught.value.status) == (code, 0)

    def test_names_an_answer_of_another_form(self):
        with pytest.raises(client.ApiProblem) as caught:
            asking(lambda _: httpx.Response(200, json={"items": [{"id": 1}]})).list_emails()
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

        assert asking(answer).list_jobs().items == []
        assert seen == ["Bearer token-1", "Bearer token-2"]

    def test_gives_up_at_the_second_401(self):
        refusal = httpx.Response(401, json={"title": "Log in first.", "code": "unauthenticated"})
        with pytest.raises(client.ApiProblem) as caught:
            asking(lambda _: refusal).list_jobs()
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
            return httpx.Response(200, json=VERDICT)

        assert asking(answer).verify_audit().valid
        assert len(seen) == 2
        assert seen[0] == seen[1]

    def test_sends_only_the_filters_that_are_set(self):
        seen = []

        def answer(request):
            seen.append(dict(request.url.params))
            return httpx.Response(200, json={"items": [], "next_cursor": None})

        asking(answer).list_emails(state="bounced", recipient=None, cursor="c1", limit=50)
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
                    "reason": None,
                    "state_since": None,
                    "purge_at": None,
                    "plan": "unlimited",
                },
            )

        calls = asking(answer)
        calls.create_tenant(TENANT)
        calls.create_tenant(TENANT)
        assert len(set(seen)) == 2

    @pytest.mark.parametrize("hostile", ["../me", "x?y=1", "", "..", "..%2f", "1/cancel", "a\\b"])
    @pytest.mark.parametrize("ask", [client.Api.get_job, client.Api.get_template])
    def test_refuses_what_would_leave_its_path(self, hostile, ask):
        def answer(_):
            pytest.fail("nothing may be sent")

        with pytest.raises(client.ApiProblem) as caught:
            ask(asking(answer), hostile)
        assert caught.value.status == 404


class TestConnection:
    """What generated methods rest on, and no operation of today needs."""

    def test_hands_over_a_file_with_the_name_it_was_given(self):
        def answer(request):
            assert dict(request.url.params) == {"since": "2026-01-02T03:04:05+00:00", "all": "true"}
            headers = {
                "Content-Type": "text/csv; charset=utf-8",
                "Content-Disposition": 'attachment; filename="suppressions.csv"',
            }
            return httpx.Response(200, content=b"address\r\n", headers=headers)

        query = {"since": datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), "all": True, "cursor": None}
        found = asking(answer).connection.download("GET", "/x", query=query)
        assert (found.content, found.media_type) == (b"address\r\n", "text/csv")
        assert found.filename == "suppressions.csv"

    def test_sends_a_file_as_it_is(self):
        seen = []

        def answer(request):
            seen.append((request.content, request.headers["Content-Type"]))
            return httpx.Response(204)

        asking(answer).connection.tell("POST", "/x", content=b"a,b", media_type="text/csv")
        assert seen == [(b"a,b", "text/csv")]

    def test_carries_a_tag_there_and_back(self):
        template = {
            "name": "hello",
            "subject": "Hello",
            "text": "Hi",
            "html": None,
            "updated_at": "2026-01-02T03:04:05Z",
        }

        def answer(request):
            if request.method == "GET":
                return httpx.Response(200, json=template, headers={"ETag": '"v1"'})
            assert request.headers["If-Match"] == '"v1"'
            assert json.loads(request.content) == {"subject": "Hello", "text": "Ho"}
            return httpx.Response(200, json=template, headers={"ETag": '"v2"'})

        api = asking(answer)
        found = api.get_template("hello")
        body = models.TemplatePut(subject=found.value.subject, text="Ho")
        assert api.put_template("hello", body, if_match=found.etag).etag == '"v2"'


class TestGate:
    def test_exchanges_with_the_clients_credentials(self):
        seen = []

        def answer(request):
            seen.append(request)
            return httpx.Response(
                200, json={"access_token": "t", "token_type": "Bearer", "expires_in": 300}
            )

        http = httpx.Client(transport=httpx.MockTransport(answer))
        grant = client.Gate(SETTINGS, http).exchange("the-login", "tenant-1")
        form = dict(httpx.QueryParams(seen[0].content.decode()))
        assert form == {
            "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
            "subject_token": "the-login",
            "subject_token_type": "urn:ietf:params:oauth:token-type:id_token",
            "tenant": "tenant-1",
        }
        assert seen[0].headers["Authorization"].startswith("Basic ")
        assert grant.access_token == "t"
        assert repr(grant) == "TokenResponse(...)"

    def test_does_not_follow_a_redirect_with_the_credentials(self):
        gate = client.open_gate(SETTINGS)
        assert gate.http.follow_redirects is False
        assert gate.http.trust_env is False
        gate.http.close()


LAST = SimpleNamespace(items=[3], next_cursor=None)


class TestWalk:
    def test_goes_from_cursor_to_cursor_until_there_is_none(self):
        found = {None: SimpleNamespace(items=[1, 2], next_cursor="b"), "b": LAST}
        assert [page.items for page in client.walk(found.__getitem__)] == [[1, 2], [3]]
