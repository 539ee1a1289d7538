"""Spans by OTLP/HTTP: what is taken in, kept, found and forgotten, on both databases."""

import gzip
import json
import time
from datetime import timedelta

import httpx
import pytest
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from backend.core.context import SystemScope
from backend.core.telemetry import new_span_id, new_trace_id
from backend.managers.tracing import OTLP_PATH, TracingManager, TracingSettings
from backend.managers.tracing.errands import TRACES
from tests.support.platform import TenantClient

PROTOBUF = {"Content-Type": "application/x-protobuf"}
ROOT, NODE = "workflow.execute", "node.execute"


@pytest.fixture
def app_settings(app_settings):
    tracing = TracingSettings(
        share=0,
        settle_seconds=0,
        inflated_limit_bytes=100_000,
        trace_spans=50,
        trace_bytes=100_000,
        export_spans=100,
    )
    return app_settings.model_copy(update={"tracing": tracing})


def add_span(scope, trace_id, name, *, parent="", span_id=None, ms=20, failed=False, **attributes):
    began = time.time_ns() - 10**9
    span = scope.spans.add(
        trace_id=bytes.fromhex(trace_id),
        span_id=bytes.fromhex(span_id or new_span_id()),
        parent_span_id=bytes.fromhex(parent),
        name=name,
        kind=1,
        start_time_unix_nano=began,
        end_time_unix_nano=began + ms * 1_000_000,
    )
    if failed:
        span.status.code = 2
    for key, value in attributes.items():
        span.attributes.add(key=key.replace("__", ".")).value.string_value = value
    return span.span_id.hex()


def workflow(trace_id, *, failed=False, nodes=2, execution="4711", service="n8n"):
    """What n8n 2.41 sends of an execution: a root, and a span for each node."""
    message = ExportTraceServiceRequest()
    resource = message.resource_spans.add()
    resource.resource.attributes.add(key="service.name").value.string_value = service
    scope = resource.scope_spans.add()
    root = add_span(
        scope, trace_id, ROOT, ms=100, n8n__workflow__id="wf1", n8n__execution__id=execution
    )
    for number in range(nodes):
        add_span(scope, trace_id, NODE, parent=root, failed=failed, n8n__node__name=f"n{number}")
    return message


async def export(caller: TenantClient, message, **headers):
    return await caller.http.post(
        OTLP_PATH, content=message.SerializeToString(), headers={**PROTOBUF, **headers}
    )


async def found(caller: TenantClient, **query: str):
    answer = await caller.http.get("/api/v1/traces", params=query)
    assert answer.status_code == 200, answer.text
    return [one["trace_id"] for one in answer.json()["items"]]


class TestExport:
    async def test_a_workflow_is_taken_kept_and_shown_as_a_tree(self, app):
        caller = await app.caller("workflow")
        trace_id = new_trace_id()
        answer = await export(caller, workflow(trace_id))
        assert (answer.status_code, answer.content) == (200, b"")
        assert answer.headers["content-type"] == "application/x-protobuf"
        await app.keep_spans()
        tree = (await caller.http.get(f"/api/v1/traces/{trace_id}")).json()
        assert [(s["name"], s["depth"]) for s in tree["spans"]] == [(ROOT, 0), (NODE, 1), (NODE, 1)]
        trace = tree["trace"]
        assert (trace["service"], trace["name"], trace["kept_for"]) == ("n8n", ROOT, "first_seen")
        assert (trace["spans"], trace["errors"], trace["execution_id"]) == (3, 0, "4711")
        assert 99 < trace["duration_ms"] < 200

    async def test_json_and_gzip_say_the_same(self, app):
        caller = await app.caller("workflow")
        trace_id, span_id = new_trace_id(), new_span_id()
        span = {
            "traceId": trace_id,
            "spanId": span_id,
            "name": "checkout",
            "startTimeUnixNano": str(time.time_ns()),
            "endTimeUnixNano": str(time.time_ns() + 5_000_000),
            "status": {"code": 2, "message": "no stock"},
            "attributes": [{"key": "paid", "value": {"boolValue": True}}],
            "unheardOf": 1,
        }
        body = {"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}
        request = httpx.Request("POST", "http://x", json=body).content
        answer = await caller.http.post(
            OTLP_PATH,
            content=gzip.compress(request),
            headers={"Content-Type": "application/json", "Content-Encoding": "gzip"},
        )
        assert (answer.status_code, answer.json()) == (200, {})
        await app.keep_spans()
        tree = (await caller.http.get(f"/api/v1/traces/{trace_id}")).json()
        (kept,) = tree["spans"]
        assert (kept["span_id"], kept["message"], kept["status"]) == (span_id, "no stock", 2)
        assert (kept["service"], kept["attributes"]) == ("unknown_service", {"paid": True})
        assert tree["trace"]["kept_for"] == "error"
        assert await found(caller, attribute="paid=true") == [trace_id]
        assert await found(caller, attribute="paid=false") == []

    async def test_what_cannot_be_kept_is_counted_and_said(self, app):
        caller = await app.caller("workflow")
        message = workflow(new_trace_id())
        spans = message.resource_spans[0].scope_spans[0].spans
        spans[1].trace_id = b"short"
        spans[2].start_time_unix_nano = 0
        answer = await export(caller, message)
        said = ExportTraceServiceResponse.FromString(answer.content).partial_success
        assert answer.status_code == 200
        assert (said.rejected_spans, said.error_message[:10]) == (2, "A trace id")
        await app.keep_spans()
        reader = await app.caller("viewer", caller.tenant)
        today = (await reader.http.get("/api/v1/trace-settings")).json()["today"]
        assert (today["kept"] >= 1, today["rejected"]) == (True, 2)

    @pytest.mark.parametrize(
        ("headers", "body", "status"),
        [
            ({}, b"\xff\xff\xff", 400),
            ({"Content-Encoding": "gzip"}, b"no gzip", 400),
            ({"Content-Encoding": "gzip"}, gzip.compress(b"x" * 200, mtime=0)[:-12], 400),
            ({"Content-Encoding": "gzip"}, gzip.compress(bytes(50_000_000), mtime=0), 413),
            ({"Content-Encoding": "br"}, b"", 415),
            ({"Content-Type": "text/plain"}, b"", 415),
        ],
    )
    async def test_refuses_in_the_form_of_the_protocol(self, app, headers, body, status):
        caller = await app.caller("workflow")
        answer = await caller.http.post(OTLP_PATH, content=body, headers={**PROTOBUF, **headers})
        assert answer.status_code == status, answer.text
        assert Status.FromString(answer.content).message

    @pytest.mark.parametrize(
        "body", [b"[]", b'{"resourceSpans": 7}', b"{", b'{"resourceSpans":[1]}']
    )
    async def test_refuses_json_that_is_no_export(self, app, body):
        caller = await app.caller("workflow")
        headers = {"Content-Type": "application/json"}
        answer = await caller.http.post(OTLP_PATH, content=body, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (400, 3)

    async def test_the_credential_says_whose_they_are(self, app):
        ada, eve = await app.caller("workflow"), await app.caller("workflow")
        trace_id = new_trace_id()
        await export(ada, workflow(trace_id))
        await app.keep_spans()
        assert await found(ada) == [trace_id]
        assert await found(eve) == []
        assert (await eve.http.get(f"/api/v1/traces/{trace_id}")).status_code == 404
        # The same id of somebody else's is another trace.
        await export(eve, workflow(trace_id, nodes=1))
        await app.keep_spans()
        assert len((await eve.http.get(f"/api/v1/traces/{trace_id}")).json()["spans"]) == 2
        assert (await app.client().post(OTLP_PATH, headers=PROTOBUF)).status_code == 401
        viewer = await app.caller("viewer")
        assert (await export(viewer, workflow(trace_id))).status_code == 403


class TestSampling:
    async def test_keeps_errors_and_new_shapes_and_counts_the_rest(self, app):
        caller = await app.caller("owner")
        first, second, failed = (new_trace_id() for _ in range(3))
        for trace_id, broken in ((first, False), (second, False), (failed, True)):
            await export(caller, workflow(trace_id, failed=broken))
            await app.keep_spans()
        assert sorted(await found(caller, service="n8n")) == sorted([first, failed])
        assert await found(caller, failed="true") == [failed]
        today = (await caller.http.get("/api/v1/trace-settings")).json()["today"]
        assert today["dropped_by_policy"] >= 3
        # Whether kept or not, all of them count.
        operations = (await caller.http.get("/api/v1/trace-operations")).json()["items"]
        node = next(one for one in operations if one["name"] == NODE)
        assert (node["spans"], node["errors"], node["error_rate"]) == (6, 2, 2 / 6)

    async def test_a_late_part_joins_what_is_kept_and_a_retry_doubles_nothing(self, app):
        caller = await app.caller("workflow")
        trace_id = new_trace_id()
        message = workflow(trace_id)
        spans = message.resource_spans[0].scope_spans[0].spans
        root = ExportTraceServiceRequest()
        root.CopyFrom(message)
        del root.resource_spans[0].scope_spans[0].spans[1:]
        del spans[0]  # n8n sends a node's span when it has run, and the root at the end
        for part in (message, message, root, root):
            await export(caller, part)
            await app.keep_spans()
        tree = (await caller.http.get(f"/api/v1/traces/{trace_id}")).json()
        assert tree["trace"]["spans"] == 3
        assert [span["depth"] for span in tree["spans"]] == [0, 1, 1]
        assert tree["trace"]["name"] == ROOT

    async def test_what_comes_while_others_are_written_is_kept(self, app, monkeypatch):
        caller = await app.caller("owner")
        store = app.platform.of(TracingManager).store
        ours, trace_id = new_trace_id(), new_trace_id()

        async def ask():
            header = {"traceparent": f"00-{ours}-{new_span_id()}-01"}
            await caller.http.get("/api/v1/quotas", headers=header)
            app.asgi._telemetry.drain()

        # One of ours is decided on while the first is written, and n8n's come during the second.
        during = [ask, lambda: export(caller, workflow(trace_id))]
        write = store._write

        async def write_slowly(*arguments):
            if during:
                await during.pop(0)()
            return await write(*arguments)

        monkeypatch.setattr(store, "_write", write_slowly)
        await ask()
        for _ in range(3):
            await store.flush(app.platform.database)
        assert not during
        assert trace_id in await found(caller, service="n8n")

    async def test_a_trace_has_so_many_spans_and_no_more(self, app):
        caller = await app.caller("workflow")
        trace_id = new_trace_id()
        answer = await export(caller, workflow(trace_id, nodes=60))
        said = ExportTraceServiceResponse.FromString(answer.content).partial_success
        assert said.rejected_spans == 11
        await app.keep_spans()
        await export(caller, workflow(trace_id, nodes=5))
        await app.keep_spans()
        assert (await caller.http.get(f"/api/v1/traces/{trace_id}")).json()["trace"]["spans"] == 50
        today = (await caller.http.get("/api/v1/trace-settings")).json()["today"]
        assert (today["kept"] >= 50, today["dropped_by_overflow"]) == (True, 17)

    async def test_a_trace_has_so_many_bytes_and_no_more_however_often_it_goes_on(self, app):
        caller = await app.caller("workflow")
        trace_id = new_trace_id()
        for _ in range(20):
            message = ExportTraceServiceRequest()
            scope = message.resource_spans.add().scope_spans.add()
            add_span(scope, trace_id, NODE, failed=True, **{f"k{n}": "v" * 4000 for n in range(5)})
            assert (await export(caller, message)).status_code == 200
            await app.keep_spans()
        trace = (await caller.http.get(f"/api/v1/traces/{trace_id}")).json()["trace"]
        assert 80_000 < trace["size_bytes"] <= 100_000
        today = (await caller.http.get("/api/v1/trace-settings")).json()["today"]
        assert today["dropped_by_overflow"] == 20 - trace["spans"]
        assert today["kept_bytes"] < 110_000

    async def test_ids_of_any_length_are_kept_as_far_as_an_index_holds_them(self, app):
        caller = await app.caller("workflow")
        trace_id, endless = new_trace_id(), "".join(new_trace_id() for _ in range(128))
        assert (await export(caller, workflow(trace_id, execution=endless))).status_code == 200
        await app.keep_spans()
        assert await found(caller, execution_id=endless[:512]) == [trace_id]

    async def test_our_own_request_is_in_the_callers_trace(self, app):
        caller = await app.caller("owner")
        trace_id, node = new_trace_id(), new_span_id()
        message = workflow(trace_id, nodes=0)
        scope = message.resource_spans[0].scope_spans[0]
        add_span(scope, trace_id, NODE, parent=scope.spans[0].span_id.hex(), span_id=node)
        sent = await caller.http.get(
            "/api/v1/quotas", headers={"traceparent": f"00-{trace_id}-{node}-01"}
        )
        await export(caller, message)
        await app.keep_spans()
        tree = (await caller.http.get(f"/api/v1/traces/{trace_id}")).json()
        assert [(s["service"], s["depth"]) for s in tree["spans"]] == [
            ("n8n", 0),
            ("n8n", 1),
            ("email-sender", 2),
        ]
        assert await found(caller, request_id=sent.headers["x-request-id"]) == [trace_id]
        # What sends spans makes none by it, or everybody's exports would make exports.
        assert await found(caller, operation=f"POST {OTLP_PATH}") == []


class TestKeptByLog:
    async def say(self, caller: TenantClient, *lines: dict[str, str]):
        body = b"".join(json.dumps({"message": "m", **line}).encode() + b"\n" for line in lines)
        answer = await caller.http.post("/api/v1/logs", content=body)
        assert answer.json()["accepted"] == len(lines), answer.text

    async def test_keeps_what_a_log_warns_of(self, app):
        caller, other = await app.caller("owner"), await app.caller("owner")
        shape, before, between, quiet, foreign = (new_trace_id() for _ in range(5))
        for each in (caller, other):
            await export(each, workflow(shape))
        await app.keep_spans()
        await self.say(
            caller,
            {"trace.id": before, "level": "warn"},
            {"trace.id": before, "level": "info"},
            {"trace.id": quiet, "level": "info"},
        )
        for trace_id in (before, between, quiet, foreign):
            await export(caller, workflow(trace_id))
        await self.say(caller, {"trace.id": between, "level": "error"})
        # What another tenant's log says of the same id is about another trace.
        await self.say(other, {"trace.id": foreign, "level": "fatal"})
        await app.keep_spans()
        assert sorted(await found(caller, service="n8n")) == sorted([shape, before, between])
        tree = (await caller.http.get(f"/api/v1/traces/{before}")).json()
        assert tree["trace"]["kept_for"] == "log"
        today = (await caller.http.get("/api/v1/trace-settings")).json()["today"]
        assert today["kept_by_log"] == 6
        # One that comes later joins it, whatever becomes of its line.
        late = workflow(before, nodes=1)
        await export(caller, late)
        await app.keep_spans()
        assert (await caller.http.get(f"/api/v1/traces/{before}")).json()["trace"]["spans"] == 5

    async def test_what_has_its_own_reason_is_not_counted(self, app):
        caller = await app.caller("owner")
        failed = new_trace_id()
        await self.say(caller, {"trace.id": failed, "level": "error"})
        await export(caller, workflow(failed, failed=True))
        await app.keep_spans()
        tree = (await caller.http.get(f"/api/v1/traces/{failed}")).json()
        assert tree["trace"]["kept_for"] == "error"
        today = (await caller.http.get("/api/v1/trace-settings")).json()["today"]
        assert today["kept_by_log"] == 0
        series = (await app.client().get("/metrics")).text
        assert 'email_sender_tracing_spans_total{outcome="kept"}' in series


class TestFind:
    async def test_by_whatever_is_known_of_it(self, app):
        caller = await app.caller("owner")
        one, two = new_trace_id(), new_trace_id()
        await export(caller, workflow(one, execution="1", failed=True))
        await export(caller, workflow(two, execution="2", service="shop", failed=True))
        await app.keep_spans()
        for query, wanted in (
            ({"service": "shop"}, [two]),
            ({"operation": NODE, "execution_id": "1"}, [one]),
            ({"workflow_id": "wf1"}, [two, one]),
            ({"attribute": "n8n.node.name=n1"}, [two, one]),
            ({"attribute": "n8n.node.name=n9"}, []),
            ({"min_ms": "90", "workflow_id": "wf1"}, [two, one]),
            ({"min_ms": "9000"}, []),
            ({"created_after": "2020-01-01T00:00:00Z", "service": "n8n"}, [one]),
            ({"created_before": "2020-01-01T00:00:00Z"}, []),
        ):
            assert sorted(await found(caller, **query)) == sorted(wanted), query
        wanted = {"limit": "1", "workflow_id": "wf1"}
        page = (await caller.http.get("/api/v1/traces", params=wanted)).json()
        assert page["next_cursor"]
        rest = await found(caller, **wanted, cursor=page["next_cursor"])
        assert sorted([page["items"][0]["trace_id"], *rest]) == sorted([one, two])

    async def test_two_beside_each_other(self, app):
        caller = await app.caller("owner")
        one, two = new_trace_id(), new_trace_id()
        await export(caller, workflow(one, nodes=1, failed=True))
        await export(caller, workflow(two, nodes=3, failed=True))
        await app.keep_spans()
        answer = await caller.http.get(f"/api/v1/traces/{one}/comparison", params={"other": two})
        node = next(each for each in answer.json()["operations"] if each["name"] == NODE)
        assert (node["count"], node["other_count"]) == (1, 3)
        gone = await caller.http.get(
            f"/api/v1/traces/{one}/comparison", params={"other": new_trace_id()}
        )
        assert gone.status_code == 404


class TestSettings:
    async def test_a_tenant_says_what_is_kept_and_the_trail_knows(self, app):
        caller = await app.caller("owner")
        saved = await caller.http.put("/api/v1/trace-settings", json={"share": 1, "keep_days": 2})
        assert (saved.json()["share"], saved.json()["keep_days"]) == (1.0, 2)
        ids = [new_trace_id() for _ in range(3)]
        await app.keep_spans()
        for trace_id in ids:
            await export(caller, workflow(trace_id))
            await app.keep_spans()
        assert sorted(await found(caller, service="n8n")) == sorted(ids)
        (record,) = await caller.audit(app.platform, "trace_settings.changed")
        assert record.data["keep_days"] == 2
        refused = await caller.http.put("/api/v1/trace-settings", json={"keep_days": 400})
        assert refused.json()["code"] == "tracing.kept_too_long"
        operator = await app.caller("operator", caller.tenant)
        assert (await operator.http.put("/api/v1/trace-settings", json={})).status_code == 403

    async def test_old_traces_go_with_their_spans(self, app, monkeypatch):
        caller, other = await app.caller("owner"), await app.caller("owner")
        await caller.http.put("/api/v1/trace-settings", json={"keep_days": 2})
        for each in (caller, other):
            await export(each, workflow(new_trace_id()))
        await app.keep_spans()
        database, store = app.platform.database, app.platform.of(TracingManager).store
        clock = database.clock
        monkeypatch.setattr(database, "clock", lambda: clock() + timedelta(days=3))
        async with database.transaction(SystemScope(TRACES)) as tx:
            assert await store.sweep(tx)
        assert await found(caller, service="n8n") == []
        assert len(await found(other, service="n8n")) == 1
