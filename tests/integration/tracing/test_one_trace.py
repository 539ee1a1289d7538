"""One trace from whoever calls us to the mail server: each hop, on both databases."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from backend.core.telemetry import new_span_id, new_trace_id
from backend.managers.tracing import OTLP_PATH
from backend.sink import SmtpSink
from tests.integration.tracing.test_export import NODE, PROTOBUF, ROOT, add_span, workflow
from tests.support.mailing import Mailing, open_mailing

EMAIL = {"to": ["ada@example.test"], "subject": "Hello", "text": "Hi"}


@pytest_asyncio.fixture
async def mailing(database_url: str, tmp_path: Path) -> AsyncIterator[Mailing]:
    sink = SmtpSink(tmp_path / "sink", port=0)
    await sink.start()
    where = f"smtp://127.0.0.1:{sink.port}"
    async with open_mailing(
        database_url,
        tmp_path,
        where,
        sink_directory=tmp_path / "sink",
        give_up_after_seconds=0.25,
    ) as made:
        made.port = sink.port
        yield made
    await sink.stop()


async def sent(
    mailing: Mailing, email: dict[str, Any], state: str, flags: str
) -> tuple[Any, dict[str, Any], str, str]:
    """Who sent it, what became of it, and the trace and the span that it was sent in."""
    caller = await mailing.caller("owner")
    trace_id, node = new_trace_id(), new_span_id()
    header = {"traceparent": f"00-{trace_id}-{node}-{flags}"}
    answer = await caller.http.post("/api/v1/emails", json=email, headers=header)
    assert answer.status_code == 202, answer.text
    made = await mailing.settled(caller, answer.json()["id"], state)
    await mailing.ended(caller, made["job_id"])
    return caller, made, trace_id, node


async def spans_of(mailing: Mailing, caller: Any, trace_id: str) -> list[dict[str, Any]]:
    await mailing.keep_spans()
    answer = await caller.http.get(f"/api/v1/traces/{trace_id}")
    assert answer.status_code == 200, answer.text
    spans: list[dict[str, Any]] = answer.json()["spans"]
    return spans


class TestOneTrace:
    async def test_from_the_workflow_to_the_mail_server(self, mailing: Mailing) -> None:
        caller, email, trace_id, node = await sent(mailing, EMAIL, "accepted", "01")
        message = workflow(trace_id, nodes=0)
        scope = message.resource_spans[0].scope_spans[0]
        root = scope.spans[0].span_id.hex()
        add_span(scope, trace_id, NODE, parent=root, span_id=node)
        body = message.SerializeToString()
        assert (await caller.http.post(OTLP_PATH, content=body, headers=PROTOBUF)).is_success
        spans = await spans_of(mailing, caller, trace_id)
        assert [(one["name"], one["depth"], one["kind"]) for one in spans] == [
            (ROOT, 0, 1),
            (NODE, 1, 1),
            ("POST /api/v1/emails", 2, 2),
            ("job email.send", 3, 5),
            ("smtp.send", 4, 3),
        ]
        assert not any(one["orphan"] for one in spans)
        attempt, smtp = spans[3:]
        assert attempt["attributes"]["email_sender.job"] == email["job_id"]
        assert smtp["attributes"] == {
            "server.address": "127.0.0.1",
            "server.port": mailing.port,
            "network.protocol.name": "smtp",
            "smtp.response.status_code": 250,
            "email_sender.recipients.accepted": 1,
        }
        assert attempt["offset_ms"] <= smtp["offset_ms"]
        assert smtp["duration_ms"] <= attempt["duration_ms"]
        # The mail's page and the job's find it by what the job says.
        job = (await caller.http.get(f"/api/v1/jobs/{email['job_id']}")).json()
        assert job["trace_id"] == trace_id

    async def test_a_refusal_is_an_error_that_names_nobody(self, mailing: Mailing) -> None:
        refused = "bounce-zoe@example.test"
        email = {**EMAIL, "to": ["ada@example.test", refused]}
        caller, made, trace_id, _ = await sent(mailing, email, "partial", "00")
        assert {one["state"] for one in made["recipients"]} == {"accepted", "bounced"}
        # Nobody asked for this trace, and nothing of n8n came: it is kept for its error.
        spans = await spans_of(mailing, caller, trace_id)
        smtp = next(one for one in spans if one["name"] == "smtp.send")
        assert smtp["status"] == 2
        code = smtp["attributes"]["smtp.response.status_code"]
        assert 500 <= code < 600
        assert smtp["attributes"]["error.type"] == str(code)
        assert smtp["attributes"]["email_sender.recipients.bounced"] == 1
        told = str([one["attributes"] for one in spans])
        assert "zoe" not in told
        assert "ada@" not in told

    async def test_each_attempt_has_its_own(self, mailing: Mailing) -> None:
        email = {**EMAIL, "to": ["defer-zoe@example.test"]}
        caller, made, trace_id, _ = await sent(mailing, email, "bounced", "01")
        spans = await spans_of(mailing, caller, trace_id)
        attempts = {one["span_id"]: one for one in spans if one["name"] == "job email.send"}
        smtp = [one for one in spans if one["name"] == "smtp.send"]
        assert len(attempts) == len(smtp) == made["attempts"] > 1
        assert {one["parent_id"] for one in smtp} == attempts.keys()
        assert {one["attributes"]["email_sender.recipients.deferred"] for one in smtp} == {1}

    @pytest.mark.parametrize("header", ["", "00-nonsense", f"00-{'0' * 32}-{'1' * 16}-01"])
    async def test_who_is_in_no_trace_begins_one(self, mailing: Mailing, header: str) -> None:
        caller = await mailing.caller("owner")
        answer = await caller.http.post(
            "/api/v1/emails", json=EMAIL, headers={"traceparent": header}
        )
        email = await mailing.settled(caller, answer.json()["id"], "accepted")
        job = (await caller.http.get(f"/api/v1/jobs/{email['job_id']}")).json()
        assert int(job["trace_id"], 16)
