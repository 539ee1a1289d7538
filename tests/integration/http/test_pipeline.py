"""What the pipeline gives every request on either plane: ids, a trace, limits, one record."""

import re

import pytest
import sqlalchemy as sa
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from backend.core.context import Scope
from backend.core.ids import uuid7
from backend.core.telemetry import parse_traceparent
from backend.managers.gateway import GatewayManager
from backend.managers.orchestrator.models import JobRow
from backend.managers.tracing import TracingManager
from tests.support.platform import App

EMAIL = {"to": ["ada@example.test"], "subject": "Hello", "text": "There"}
TRACE, PARENT = "4bf92f3577b34da6a3ffffffffffffff", "b7ad6b7169203331"


@pytest.fixture
def records(app: App):
    """The records of requests, as the consumers of the telemetry queue get them."""
    seen = []
    app.asgi._telemetry._consumers.append(seen.extend)

    def drained():
        app.asgi._telemetry.drain()
        return seen

    return drained


class TestRequestId:
    async def test_is_the_callers_when_it_is_harmless_and_else_our_own(self, app: App) -> None:
        async with app.client() as http:
            for given, kept in (
                ("order-7:1", True),
                ("x" * 100, True),
                ("x" * 101, False),
                ("a b", False),
                ('"', False),
                ("", False),
            ):
                answer = await http.get("/livez", headers={"X-Request-Id": given})
                assert (answer.headers["x-request-id"] == given) is kept

    async def test_is_in_the_problem_and_in_the_audit_record(self, app: App) -> None:
        ada = await app.caller()
        answer = await ada.http.get(f"/api/v1/emails/{uuid7()}", headers={"X-Request-Id": "r-1"})
        assert answer.json()["request_id"] == answer.headers["x-request-id"] == "r-1"
        await ada.http.post("/api/v1/emails", json=EMAIL, headers={"X-Request-Id": "r-2"})
        (act,) = await ada.audit(app.platform, "email.submitted")
        assert act.request_id == "r-2"


class TestTrace:
    async def test_a_job_carries_the_span_of_the_request_that_submitted_it(
        self, app: App, records
    ) -> None:
        ada = await app.caller()
        for flags in ("01", "00"):
            header = f"00-{TRACE}-{PARENT}-{flags}"
            made = await ada.http.post(
                "/api/v1/emails", json=EMAIL, headers={"traceparent": header}
            )
            async with app.platform.database.read(Scope("test", ada.tenant.id)) as tx:
                job = await tx.scalar(sa.select(JobRow).where(JobRow.id == made.json()["job_id"]))
            record = records()[-1]
            assert (record.trace_id, record.parent_id) == (TRACE, PARENT)
            assert record.forced is (flags == "01")
            assert job.traceparent == f"00-{TRACE}-{record.span_id}-{flags}"

    async def test_a_header_that_is_none_begins_a_new_trace(self, app: App, records) -> None:
        async with app.client() as http:
            await http.get("/livez", headers={"traceparent": f"00-{'0' * 32}-{PARENT}-01"})
        record = records()[-1]
        assert record.parent_id == ""
        assert not record.forced
        assert parse_traceparent(f"00-{record.trace_id}-{record.span_id}-00")

    async def test_kept_requests_become_spans_under_their_caller(self, app: App, records) -> None:
        exporter = InMemorySpanExporter()
        tracing = TracingManager(lambda: exporter, service="email-sender", share=0, slow_seconds=60)
        tracing.start()
        app.asgi._telemetry._consumers.append(tracing.observe)
        ada = await app.caller()
        for flags in ("01", "00"):
            header = {"traceparent": f"00-{TRACE}-{PARENT}-{flags}"}
            await ada.http.get(f"/api/v1/emails/{uuid7()}", headers=header)
        record = records()[-2]
        tracing.close()
        (span,) = exporter.get_finished_spans()
        assert span.name == "GET /api/v1/emails/{email_id}"
        assert f"{span.context.span_id:016x}" == record.span_id
        assert span.parent is not None
        assert f"{span.parent.span_id:016x}" == PARENT
        attributes = dict(span.attributes or {})
        assert attributes["email_sender.tenant"] == ada.tenant.id
        assert attributes["error.type"] == "email.not_found"


class TestRecord:
    async def test_both_planes_leave_one_with_the_routes_template(self, app: App, records) -> None:
        ada = await app.caller()
        records().clear()
        await ada.http.get(f"/api/v1/jobs/{uuid7()}")
        await ada.http.post("/oauth/introspect", data={"token": "x"})
        await ada.http.post("/oauth/token", data={"grant_type": "nonsense"})
        await ada.http.get(f"/nowhere/{uuid7()}")
        await ada.http.delete("/api/v1/jobs")
        await ada.http.get("/api/v1/emails/%0a")
        await ada.http.get("/livez")
        seen = [(r.method, r.route, r.status) for r in records()]
        assert seen[:4] == [
            ("GET", "/api/v1/jobs/{job_id}", 404),
            ("POST", "/oauth/introspect", 200),
            ("POST", "/oauth/token", 400),
            ("GET", "(none)", 404),
        ]
        assert seen[4][2] == 405
        assert seen[5][2] in {404, 422}
        assert seen[6] == ("GET", "/livez", 200)
        assert not [route for _, route, _ in seen if re.search(r"[0-9a-f]{8}-|%|\n", route)]
        assert {r.tenant_id for r in records()[:2]} == {ada.tenant.id}
        assert {r.actor for r in records()[:2]} == {f"client:{ada.client_id}"}

    async def test_what_no_router_saw_is_told_by_its_route_too(self, app: App, records) -> None:
        ada, nobody = await app.caller(), app.client()
        once = {"Idempotency-Key": "k-1"}
        await ada.http.post("/api/v1/emails", json=EMAIL, headers=once)
        big = b"x" * (2**20 + 1)
        records().clear()
        replayed = await ada.http.post("/api/v1/emails", json=EMAIL, headers=once)
        assert replayed.headers["idempotency-replayed"] == "true"
        await nobody.get(f"/api/v1/emails/{uuid7()}/content")
        await nobody.get("/api/v1/emails/batch")
        await nobody.delete("/api/v1/emails/batch/")
        await nobody.put("/oauth/introspect", headers={"X-API-Key": "es_wrong"})
        await nobody.post("/oauth/token", headers={"Authorization": "Bearer wrong"})
        await ada.http.put(f"/api/v1/members/{uuid7()}", content=big)
        await nobody.get(f"/api/v1/nowhere/{uuid7()}")
        await nobody.request("BREW", "/api/v1/clients")
        assert [(r.method, r.route, r.status) for r in records()] == [
            ("POST", "/api/v1/emails", 202),
            ("GET", "/api/v1/emails/{email_id}/content", 401),
            # A message of that name, as the router would have taken it, and not another's 405.
            ("GET", "/api/v1/emails/{email_id}", 401),
            ("DELETE", "/api/v1/emails/batch", 401),
            ("PUT", "/oauth/introspect", 401),
            ("POST", "/oauth/token", 401),
            ("PUT", "/api/v1/members/{user_id}", 413),
            ("GET", "(none)", 401),
            ("BREW", "/api/v1/clients", 401),
        ]


@pytest.mark.usefixtures("stopped")
class TestLimits:
    async def test_known_callers_see_what_is_left_and_unknown_ones_nothing(self, app: App) -> None:
        ada = await app.caller()
        left = []
        for _ in range(3):
            answer = await ada.http.get("/api/v1/me")
            found = re.fullmatch(r'"(\w+)";r=(\d+);t=(\d+)', answer.headers["ratelimit"])
            assert found is not None
            assert f'"{found[1]}";q=' in answer.headers["ratelimit-policy"]
            left.append(int(found[2]))
        assert left[0] - left[1] == left[1] - left[2] == 1
        introspected = await ada.http.post("/oauth/introspect", data={"token": "x"})
        assert "ratelimit" in introspected.headers
        async with app.client() as http:
            assert "ratelimit" not in (await http.get("/livez")).headers

    async def test_unknown_callers_pay_by_address_before_any_database_work(
        self, app: App, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async with app.client() as http:
            burst = app.platform.settings.gateway.coarse_burst_requests
            answers = [await http.get("/api/v1/me") for _ in range(burst + 1)]
            assert [answer.status_code for answer in answers] == [401] * burst + [429]
            answer = answers[-1]
            assert answer.json()["code"] == "rate_limited"
            assert int(answer.headers["retry-after"]) >= 1
            assert "ratelimit-policy" in answer.headers

            async def asked(*_: object) -> None:
                raise AssertionError("asked the database")

            monkeypatch.setattr(app.platform.of(GatewayManager), "authenticate", asked)
            token = {"Authorization": "Bearer nonsense"}
            assert (await http.get("/api/v1/me", headers=token)).status_code == 429
            app.asgi._telemetry.drain()
            exposed = (await http.get("/metrics")).text
            assert 'endpoint="/api/v1/me",method="GET",status="429"' in exposed
            # Probes are never limited: a flood must not make the orchestrator restart us.
            assert (await http.get("/livez")).status_code == 200
