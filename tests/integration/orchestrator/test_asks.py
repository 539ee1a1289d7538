"""What jobs ask of others by HTTP: any address, and workflows of n8n, which may answer later."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest

from backend.core.ids import uuid7
from backend.managers.orchestrator import OrchestratorManager, OrchestratorSettings, Worker
from backend.managers.orchestrator._drafts import MAX_TASKS
from backend.settings import Settings
from tests.support.hooks import HookServer
from tests.support.platform import App, TenantClient


class N8n(HookServer):
    """Takes what webhooks of workflows are sent, and answers as it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.status = 200
        self.taken: list[tuple[str, Mapping[str, str], Any]] = []

    async def take(self, path: str, headers: Mapping[str, str], body: bytes) -> int:
        self.taken.append((path, headers, json.loads(body or b"null")))
        return self.status

    def will_say(self, status: int, said: Any) -> None:
        self.status, self.said = status, json.dumps(said).encode()
        self.more_headers = {"content-type": "application/json; charset=utf-8"}

    async def asked(self, times: int = 1) -> tuple[str, Mapping[str, str], Any]:
        """What it was asked the so-manieth time."""
        async with asyncio.timeout(60):
            while len(self.taken) < times:
                await asyncio.sleep(0.02)
        return self.taken[times - 1]


@pytest.fixture
async def n8n() -> AsyncIterator[N8n]:
    async with N8n().running() as made:
        yield made


@pytest.fixture
def app_settings(app_settings: Settings) -> Settings:
    own = OrchestratorSettings(allow_private_targets=True)
    return app_settings.model_copy(update={"orchestrator": own})


@pytest.fixture
async def ada(app: App) -> AsyncIterator[TenantClient]:
    jobs = app.platform.of(OrchestratorManager)
    worker = Worker(app.platform.database, jobs, poll_seconds=0.05)
    working = asyncio.create_task(worker.run())
    try:
        yield await app.caller("operator")
    finally:
        worker.stop()
        await working


async def submit(ada: TenantClient, kind: str, args: dict[str, Any], **more: Any) -> str:
    """A graph of one task; the id of its job."""
    task = {"name": "ask", "kind": kind, "args": args, **more}
    made = await ada.http.post("/api/v1/job-graphs", json={"name": "One", "tasks": [task]})
    assert made.status_code == 201, made.text
    tasks = await ada.http.get(f"/api/v1/job-graphs/{made.json()['id']}/tasks")
    return str(tasks.json()["items"][0]["id"])


async def until(ada: TenantClient, job_id: str, *states: str) -> dict[str, Any]:
    async with asyncio.timeout(60):
        while True:
            job: dict[str, Any] = (await ada.http.get(f"/api/v1/jobs/{job_id}")).json()
            if job["state"] in states:
                return job
            await asyncio.sleep(0.02)


class TestRequest:
    async def test_its_answer_is_the_result(self, ada: TenantClient, n8n: N8n) -> None:
        n8n.will_say(201, {"id": 7})
        args = {"url": n8n.url, "method": "PUT", "body": {"a": 1}, "headers": {"X-A": "b"}}
        job_id = await submit(ada, "http.request", args)
        job = await until(ada, job_id, "succeeded")
        assert job["result"] == {"status": 201, "body": {"id": 7}}
        _, headers, body = await n8n.asked()
        assert (body, headers["x-a"], headers["idempotency-key"]) == ({"a": 1}, "b", job_id)
        assert headers["traceparent"].split("-")[1] == job["trace_id"]

    async def test_its_answer_is_kept_as_text_where_it_is_no_json_that_is_kept(
        self, ada: TenantClient, n8n: N8n
    ) -> None:
        n8n.more_headers = {"content-type": "application/json"}
        for body in (
            b'{"a": "\\u0000"}',
            b'{"\\ud800": 1}',
            b'{"a": NaN}',
            b"[1e999]",
            b"9" * 5000,
            b"[" * 101 + b"]" * 101,
            b"[" * 30_000 + b"]" * 30_000,
            b"\x00\xff",
        ):
            n8n.said = body
            job_id = await submit(ada, "http.request", {"url": n8n.url})
            job = await until(ada, job_id, "succeeded")
            text = body.decode("utf-8", "replace").replace("\x00", "\ufffd")
            assert (job["result"], job["attempt"]) == ({"status": 200, "body": text}, 1)

    async def test_says_nothing_in_headers_that_is_none_or_ours_to_say(
        self, ada: TenantClient, n8n: N8n
    ) -> None:
        refused = ("a\r\nB: c", "\u00e9", "\x7f")
        headers: list[dict[str, str]] = [{"X-A": value} for value in refused]
        headers += [
            {name: "3"} for name in ("", "X A:", "X\u00e9", "Content-length", "HOST", "Upgrade")
        ]
        for said in headers:
            args = {"url": n8n.url, "method": "POST", "body": {"a": 1}, "headers": said}
            answer = await ada.http.post(
                "/api/v1/jobs", json={"kind": "http.request", "args": args}
            )
            assert (answer.status_code, answer.json()["code"]) == (422, "orchestrator.job_invalid")
        args = {"url": n8n.url, "headers": {"idempotency-key": "mine", "X-A": "a\tb~"}}
        await until(ada, await submit(ada, "http.request", args), "succeeded")
        ((_, heard, _),) = n8n.taken
        assert (heard["idempotency-key"], heard["x-a"]) == ("mine", "a\tb~")

    async def test_what_is_nested_as_deeply_as_may_be_is_shown(
        self, ada: TenantClient, n8n: N8n
    ) -> None:
        """A level more was kept once, and no page with its job opened any more."""
        deepest, more = (json.loads("[" * n + "]" * n) for n in (95, 101))
        args = {"url": n8n.url, "method": "POST", "body": deepest}
        n8n.will_say(200, deepest)
        job_id = await submit(ada, "http.request", args)
        job = await until(ada, job_id, "succeeded")
        assert job["result"]["body"] == deepest
        listed = await ada.http.get("/api/v1/jobs")
        assert [one["id"] for one in listed.json()["items"]] == [job_id]
        shown = await ada.http.get(f"/api/v1/jobs/{job_id}/args")
        assert shown.json()["args"]["body"] == deepest
        body = {"kind": "http.request", "args": {**args, "body": more}}
        refused = await ada.http.post("/api/v1/jobs", json=body)
        assert (refused.status_code, refused.json()["code"]) == (422, "invalid_input")

    async def test_what_it_is_given_is_shown_without_secrets(
        self, app: App, ada: TenantClient, n8n: N8n
    ) -> None:
        n8n.will_say(200, None)
        deep: Any = {"password": "three-words-here"}  # pragma: allowlist secret
        for _ in range(60):
            deep = [deep]
        args = {
            "url": n8n.url,
            "method": "POST",
            "headers": {"X-Access-Token": "abc-123", "X-Plain": "Bearer abcdefgh12345"},
            "body": {"customer": "C-4711", "deep": deep},
        }
        job_id = await submit(ada, "http.request", args)
        await until(ada, job_id, "succeeded")
        path = f"/api/v1/jobs/{job_id}/payload"
        for role in ("viewer", "operator"):
            caller = await app.caller(role, ada.tenant)
            shown = (await caller.http.get(path)).json()["args"]
            assert shown["url"] == n8n.url
            assert shown["headers"] == {
                "X-Access-Token": "[credential]",
                "X-Plain": "Bearer [bearer_token]",
            }
            assert shown["body"]["customer"] == "C-4711"
            assert "three-words" not in json.dumps(shown)
            assert "[credential]" in json.dumps(shown["body"]["deep"])
        owner = await app.caller("owner", ada.tenant)
        ours = {"name": "customer", "expression": "C-[0-9]+"}
        said = {"keep_days": 30, "patterns": [ours]}
        kept = await owner.http.put("/api/v1/log-settings", json=said)
        assert kept.is_success, kept.text
        assert (await ada.http.get(path)).json()["args"]["body"]["customer"] == "[customer]"
        missing = await ada.http.get(f"/api/v1/jobs/{uuid7()}/payload")
        assert (missing.status_code, missing.json()["code"]) == (404, "orchestrator.job_not_found")

    @pytest.mark.parametrize(
        ("status", "state", "error"),
        [
            (400, "dead", "It answered 400"),
            (404, "dead", "It answered 404"),
            (429, "ready", "It answered 429"),
            (503, "ready", "It answered 503"),
        ],
    )
    async def test_of_what_it_refused_it_is_asked_again_where_that_may_help(
        self, ada: TenantClient, n8n: N8n, status: int, state: str, error: str
    ) -> None:
        n8n.status = status
        job_id = await submit(ada, "http.request", {"url": n8n.url}, backoff_seconds=3600)
        await n8n.asked()
        job = await until(ada, job_id, "dead", "ready")
        while job["error"] is None:
            job = await until(ada, job_id, "dead", "ready")
        assert (job["state"], job["error"]) == (state, error)


class TestWorkflow:
    async def test_its_response_is_the_result(self, ada: TenantClient, n8n: N8n) -> None:
        n8n.will_say(200, [{"email": "a@example.com"}])
        args = {"url": n8n.url, "payload": {"list": 3}, "headers": {"X-Token": "t"}}
        job_id = await submit(ada, "n8n.workflow", args)
        job = await until(ada, job_id, "succeeded")
        assert job["result"] == {"status": 200, "body": [{"email": "a@example.com"}]}
        _, headers, body = await n8n.asked()
        assert (body, headers["idempotency-key"]) == ({"list": 3}, job_id)
        assert headers["x-token"] == "t"
        assert "x-callback-url" not in headers

    async def test_its_call_back_is_the_result(self, app: App, ada: TenantClient, n8n: N8n) -> None:
        args = {"url": n8n.url, "payload": {"list": 3}, "answer": "callback"}
        args["headers"] = {"x-callback-url": "https://example.com/mine"}
        job_id = await submit(ada, "n8n.workflow", args)
        job = await until(ada, job_id, "awaiting")
        assert (job["worker"], job["error"]) == (None, None)
        _, headers, body = await n8n.asked()
        address = headers["x-callback-url"]
        assert body == {"list": 3, "callback_url": address}
        assert address.startswith("http://localhost:8400/job-callbacks/")
        stranger = app.client()
        for said in ({"sent": 12}, {"sent": 13}):
            answer = await stranger.post(address, json=said)
            assert (answer.status_code, answer.content) == (204, b"")
        job = await until(ada, job_id, "succeeded")
        assert (job["result"], job["attempt"]) == ({"sent": 12}, 1)

    async def test_nobody_answers_elsewhere_or_with_what_is_none(
        self, app: App, ada: TenantClient, n8n: N8n
    ) -> None:
        job_id = await submit(ada, "n8n.workflow", {"url": n8n.url, "answer": "callback"})
        await until(ada, job_id, "awaiting")
        address = (await n8n.asked())[1]["x-callback-url"]
        stranger = app.client()
        refusals = {
            b"{": (400, "malformed_json"),
            b"NaN": (400, "malformed_json"),
            b"": (400, "malformed_json"),
            b'"\\u0000"': (422, "invalid_input"),
            b'{"\\ud800": 1}': (422, "invalid_input"),
            b"[1e999]": (422, "invalid_input"),
            b"[" * 101 + b"]" * 101: (422, "invalid_input"),
            b"[" * 30_000 + b"]" * 30_000: (422, "invalid_input"),
            b'"' + b"a" * 65_536 + b'"': (413, "too_large"),
        }
        for body, expected in refusals.items():
            answer = await stranger.post(address, content=body)
            assert (answer.status_code, answer.json()["code"]) == expected
        elsewhere = []
        head, last = address[:-2], address[-2:]
        others = (
            f"{head}{'B' if last[0] == 'A' else 'A'}{last[1]}",
            # The same bytes to a decoder that does not look at spare bits.
            f"{address[:-1]}{chr(ord(last[1]) + 1)}",
            f"{address}=",
            f"{address}AAAA",
        )
        for other in others:
            answer = await stranger.post(other, json={})
            assert (answer.status_code, answer.json()["code"]) == (
                404,
                "orchestrator.callback_not_found",
            )
            elsewhere.append({**answer.json(), "instance": "", "request_id": ""})
        assert (await ada.http.post(f"/api/v1/jobs/{job_id}/cancel")).status_code == 200
        answer = await stranger.post(address, json={})
        elsewhere.append({**answer.json(), "instance": "", "request_id": ""})
        assert all(one == elsewhere[0] for one in elsewhere)

    @pytest.mark.parametrize(
        ("status", "said", "state", "error"),
        [
            (
                404,
                {
                    "code": 404,
                    "message": 'The requested webhook "POST hook" is not registered.',
                    "hint": "The workflow must be active",
                },
                "ready",
                "No active workflow has the webhook POST /hook",
            ),
            (404, {"message": "No such list"}, "dead", "It answered 404: No such list"),
            (403, {}, "dead", "It answered 403"),
            (
                500,
                {"message": "Error in workflow"},
                "ready",
                "It answered 500: Error in workflow",
            ),
        ],
    )
    @pytest.mark.parametrize("answer", ["response", "callback"])
    async def test_what_it_refused_is_told_apart(
        self,
        ada: TenantClient,
        n8n: N8n,
        answer: str,
        status: int,
        said: Any,
        state: str,
        error: str,
    ) -> None:
        n8n.will_say(status, said)
        args = {"url": n8n.url, "answer": answer}
        job_id = await submit(ada, "n8n.workflow", args, backoff_seconds=3600)
        await n8n.asked()
        job = await until(ada, job_id, "dead", "ready")
        while job["error"] is None:
            job = await until(ada, job_id, "dead", "ready")
        assert (job["state"], job["error"]) == (state, error)

    async def test_what_it_does_not_take_is_refused(self, ada: TenantClient, n8n: N8n) -> None:
        for args in ({}, {"url": n8n.url, "answer": "later"}, {"url": n8n.url, "payload": 1}):
            task = {"name": "ask", "kind": "n8n.workflow", "args": args}
            answer = await ada.http.post(
                "/api/v1/job-graphs", json={"name": "One", "tasks": [task]}
            )
            assert answer.status_code == 422


class TestLargeGraphs:
    async def test_as_many_as_a_graph_may_have_are_handed_in_at_once(
        self, ada: TenantClient
    ) -> None:
        asks = {"kind": "http.request", "args": {"url": f"https://example.test/{'x' * 200}"}}
        tasks: list[dict[str, Any]] = [{"name": "begin", "delay_seconds": 3600, **asks}]
        tasks += [{"name": f"t{n}", "depends_on": ["begin"], **asks} for n in range(MAX_TASKS - 2)]
        tasks += [{"name": "end", "depends_on": [f"t{n}" for n in range(0, 9_900, 11)], **asks}]
        made = await ada.http.post("/api/v1/job-graphs", json={"name": "All", "tasks": tasks})
        assert made.status_code == 201, made.text
        path = f"/api/v1/job-graphs/{made.json()['id']}"
        graph = (await ada.http.get(path)).json()
        assert (graph["state"], graph["total"]) == ("running", MAX_TASKS)
        assert (await ada.http.post(f"{path}/cancel")).is_success
        over = {"name": "All", "tasks": [{"name": "a", "subject": "x" * 9_000_000, **asks}]}
        refused = await ada.http.post("/api/v1/job-graphs", json=over)
        assert (refused.status_code, refused.json()["code"]) == (413, "too_large")
        assert refused.json()["limit_bytes"] == 8 * 2**20
