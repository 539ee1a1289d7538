"""An address says what is meant, or is refused: unknown parameters, and a slash too many."""

import asyncio
import secrets
from typing import Any

import httpx
import pytest

from tests.support.platform import App

LISTS = [
    "/api/v1/emails",
    "/api/v1/jobs",
    "/api/v1/suppressions",
    "/api/v1/email-templates",
    "/api/v1/clients",
    "/api/v1/api-keys",
    "/api/v1/limits",
    "/api/v1/members",
    "/api/v1/roles",
    "/api/v1/audit",
]


def pointers(answer: Any) -> list[str]:
    assert answer.status_code == 422, answer.text
    assert answer.json()["code"] == "invalid_input"
    return [one["pointer"] for one in answer.json()["errors"]]


class TestUnknownParameters:
    async def test_a_misspelt_filter_is_refused_on_every_list(self, app: App) -> None:
        owner = await app.caller()
        for path in LISTS:
            assert (await owner.http.get(path)).is_success, path
            answer = await owner.http.get(path, params={"sate": "bounced", "limit": "1"})
            assert pointers(answer)[0] == "/query/sate", path

    @pytest.mark.slow
    async def test_every_operation_refuses_one(self, app: App, openapi: dict[str, Any]) -> None:
        """Whatever the method, before the body is looked at, and without doing anything."""
        owner = await app.caller()
        for path, item in openapi["paths"].items():
            if not path.startswith("/api/v1/") or path.startswith("/api/v1/platform/"):
                continue
            for method in item:
                target = path.replace("{name}", "n").replace("{", "").replace("}", "")
                answer = await owner.http.request(method, f"{target}?x-unknown=1")
                while answer.status_code == httpx.codes.TOO_MANY_REQUESTS:
                    await asyncio.sleep(float(answer.headers["Retry-After"]))
                    answer = await owner.http.request(method, f"{target}?x-unknown=1")
                assert pointers(answer) == ["/query/x-unknown"], (method, path)

    async def test_it_says_what_there_is(self, app: App) -> None:
        owner = await app.caller()
        answer = await owner.http.get("/api/v1/emails?State=bounced")
        detail = answer.json()["errors"][0]["detail"]
        assert detail == (
            "No such parameter; this operation takes business_key, created_after, created_before, "
            "cursor, limit, recipient, state"
        )
        answer = await owner.http.get("/api/v1/me?fields=name")
        assert answer.json()["errors"][0]["detail"].endswith("takes none")

    async def test_one_that_is_given_twice_is_refused_where_the_last_would_count(
        self, app: App
    ) -> None:
        owner = await app.caller()
        answer = await owner.http.get("/api/v1/emails?state=bounced&state=queued")
        assert pointers(answer) == ["/query/state"]
        async with owner.http.stream(
            "GET", "/api/v1/events?kind=email.*&kind=job.*&after=x"
        ) as stream:
            await stream.aread()
        assert pointers(stream) == ["/query/after"]

    @pytest.mark.parametrize(
        ("query", "pointer"),
        [
            ("%73%61te=1", "/query/sate"),
            ("limit=1&", None),
            ("&&", None),
            ("=1", "/query/"),
            ("sate", "/query/sate"),
            ("a/b=1", "/query/a~1b"),
            ("limit+=1", "/query/limit "),
            ("x" * 5000, "/query/" + "x" * 100),
            ("%FF=1", "/query/\ufffd"),
        ],
    )
    async def test_however_it_is_written(self, app: App, query: str, pointer: str | None) -> None:
        owner = await app.caller()
        request = owner.http.build_request("GET", "/api/v1/emails")
        request.url = request.url.copy_with(query=query.encode())
        answer = await owner.http.send(request)
        if pointer is None:
            assert answer.is_success, answer.text
        else:
            assert pointers(answer) == [pointer]

    async def test_thousands_are_one_short_answer(self, app: App) -> None:
        owner = await app.caller()
        query = "&".join(f"x{number}=1" for number in range(150))
        answer = await owner.http.get(f"/api/v1/emails?{query}")
        assert len(pointers(answer)) == 20
        query = "&".join(f"x{number}=1" for number in range(5000))
        answer = await owner.http.get(f"/api/v1/emails?{query}")
        assert answer.status_code == 422
        assert len(answer.content) < 1000

    async def test_who_may_not_is_told_that_first(self, app: App) -> None:
        viewer = await app.caller("viewer")
        assert (await viewer.http.post("/api/v1/clients?x=1")).status_code == 403
        assert (await app.client().get("/api/v1/emails?x=1")).status_code == 401

    @pytest.mark.slow
    async def test_oauth_passes_over_what_it_does_not_know(self, app: App) -> None:
        """RFC 6749, section 3.1 and 3.2: unrecognized parameters are ignored."""
        owner = await app.caller()
        answer = await app.client().post(
            "/oauth/token?audience=x",
            data={"grant_type": "client_credentials", "resource": "y"},
            auth=(owner.client_id, owner.client_secret),
        )
        assert answer.is_success, answer.text
        token = answer.json()["access_token"]
        answer = await owner.http.post("/oauth/introspect?x=1", data={"token": token})
        assert answer.json()["active"] is True
        assert (await app.client().get("/livez?x=1")).is_success
        assert (await app.client().get("/openapi.json?x=1")).is_success


class TestTrailingSlash:
    async def test_is_passed_over(self, app: App) -> None:
        owner = await app.caller()
        for path in [*LISTS, "/api/v1/me", "/livez", "/readyz", "/oauth/jwks"]:
            plain = await owner.http.get(path)
            answer = await owner.http.get(f"{path}/")
            assert answer.status_code == plain.status_code, path
            assert "location" not in answer.headers
            assert (await owner.http.get(f"{path}//")).status_code == 404, path

    async def test_an_act_is_the_same_act(self, app: App) -> None:
        owner = await app.caller()
        key = {"Idempotency-Key": secrets.token_hex(8)}
        body = {"to": ["ada@example.test"], "subject": "s", "text": "t"}
        first = await owner.http.post("/api/v1/emails/", json=body, headers=key)
        assert first.status_code == 202, first.text
        again = await owner.http.post("/api/v1/emails", json=body, headers=key)
        assert (again.json(), again.headers["idempotency-replayed"]) == (first.json(), "true")
        one = await owner.http.get(f"/api/v1/emails/{first.json()['id']}/")
        assert one.json()["id"] == first.json()["id"]
        assert (await owner.http.get("/api/v1/emails/?limit=1")).is_success

    async def test_permission_and_method_are_asked_all_the_same(self, app: App) -> None:
        viewer = await app.caller("viewer")
        assert (await viewer.http.post("/api/v1/clients/", json={})).status_code == 403
        refused = await viewer.http.put("/api/v1/emails/")
        assert (refused.status_code, refused.headers["allow"]) == (405, "GET, POST")
        assert (await app.client().get("/api/v1/emails/")).status_code == 401
        token = viewer.http.headers["Authorization"][7:]
        answer = await viewer.http.post("/oauth/introspect/", data={"token": token})
        assert answer.status_code == 403

    async def test_what_is_not_there_stays_so(self, app: App) -> None:
        owner = await app.caller()
        for path in ("/api/v1/nothing/", "/api/v1/", "//", "/api/v1/emails//content"):
            assert (await owner.http.get(path)).status_code == 404, path
