"""Health checks and the exposition, without an application around them."""

import asyncio

import pytest
from prometheus_client.parser import text_string_to_metric_families

from backend.core.context import Errand
from backend.core.errors import UnavailableError, UpstreamError
from backend.core.room import FleetGauge
from backend.core.telemetry import RequestRecord
from backend.managers.monitoring import MonitoringManager, manager

REQUEST = RequestRecord(
    0, 0.02, "GET", "/api/v1/jobs/{job_id}", "/api/v1/jobs/1", 200, "", "", "", "", "", "", "",
    forced=False, problem="",
)  # fmt: skip


@pytest.fixture
def monitoring():
    return MonitoringManager()


def samples(text):
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


class TestCheckHealth:
    async def test_tells_each_dependency_with_its_latency(self, monitoring):
        async def works():
            return "fine"

        async def fails():
            raise UpstreamError("no answer")

        async def breaks():
            raise ZeroDivisionError("secret")

        monitoring.add_check("works", works)
        monitoring.add_check("fails", fails, required=False)
        monitoring.add_check("breaks", breaks)
        found = {one.name: one for one in await monitoring.check_health()}
        assert (found["works"].ok, found["works"].detail) == (True, "fine")
        assert found["works"].milliseconds >= 0
        assert (found["fails"].ok, found["fails"].required) == (False, False)
        assert found["fails"].detail == "no answer"
        # A driver's message may quote a password: only its kind is shown.
        assert (found["breaks"].ok, found["breaks"].detail) == (False, "ZeroDivisionError")

    async def test_a_dependency_that_hangs_is_given_up(self, monitoring, monkeypatch):
        monkeypatch.setattr(manager, "_TIMEOUT_SECONDS", 0.01)

        async def hangs():
            await asyncio.Event().wait()
            return "never"

        monitoring.add_check("hangs", hangs)
        (found,) = await monitoring.check_health()
        assert (found.ok, found.detail) == (False, "no answer within 0.01 s")

    async def test_probes_at_the_same_time_ask_once(self, monitoring, monkeypatch):
        now = [100.0]
        monkeypatch.setattr(manager, "monotonic", lambda: now[0])
        asked = []

        async def works():
            asked.append(1)
            await asyncio.sleep(0)
            return ""

        monitoring.add_check("works", works)
        await asyncio.gather(*(monitoring.check_health() for _ in range(10)))
        assert len(asked) == 1
        now[0] += 1.1
        await monitoring.check_health()
        assert len(asked) == 2


NOTHING = Errand("test.nothing", frozenset())
STATES = FleetGauge("test_things", "Things.", NOTHING, None, "state", ("ready", "running"))  # type: ignore[arg-type]
ONE = FleetGauge("test_waiting", "What waits.", NOTHING, None)  # type: ignore[arg-type]


class TestExpose:
    async def test_requests_are_a_histogram_by_method_endpoint_and_status(self, monitoring):
        monitoring.observe([REQUEST, REQUEST._replace(status=404, seconds=20.0)])
        found = samples(await monitoring.expose_fleet())
        labels = (("endpoint", "/api/v1/jobs/{job_id}"), ("method", "GET"), ("status", "200"))
        name = "http_request_duration_seconds"
        assert found[f"{name}_count", labels] == 1
        assert found[f"{name}_sum", labels] == 0.02
        assert found[f"{name}_bucket", tuple(sorted((*labels, ("le", "0.025"))))] == 1
        assert found[f"{name}_bucket", tuple(sorted((*labels, ("le", "0.01"))))] == 0
        missing = (labels[0], labels[1], ("status", "404"))
        assert found[f"{name}_bucket", tuple(sorted((*missing, ("le", "10.0"))))] == 0
        assert found[f"{name}_bucket", tuple(sorted((*missing, ("le", "+Inf"))))] == 1
        assert {key[0] for key in found if key[0].startswith("http_")} == {
            f"{name}_{part}" for part in ("bucket", "count", "sum")
        }

    async def test_attempts_count_by_kind_and_outcome(self, monitoring):
        for outcome, seconds in (("done", 0.3), ("done", 0.4), ("dead", 2.0)):
            monitoring.count_event(
                "job_finished", kind="email.send", outcome=outcome, seconds=seconds, job="j-1"
            )
        monitoring.count_event("job_claimed", kind="email.send", count=3)
        monitoring.count_event("claim_ended", seconds=0.1, claimed=3)
        found = samples(await monitoring.expose_fleet())
        done = (("kind", "email.send"), ("outcome", "done"))
        event = ("event", "job_finished")
        assert found["email_sender_orchestrator_events_total", (event, *done)] == 2
        name = "email_sender_orchestrator_attempt_duration_seconds"
        assert found[f"{name}_count", done] == 2
        assert found[f"{name}_sum", done] == pytest.approx(0.7)
        assert not [key for key in found if "j-1" in str(key)]

    async def test_the_fleets_gauges_are_absent_where_nobody_asked_the_database(self, monitoring):
        async def count():
            return {"ready": 7}

        async def count_one():
            return {"": 3}

        monitoring.add_gauge(STATES, count)
        monitoring.add_gauge(ONE, count_one)
        found = samples(await monitoring.expose_fleet())
        assert found[STATES.name, (("state", "ready"),)] == 7
        assert found[STATES.name, (("state", "running"),)] == 0
        assert found[ONE.name, ()] == 3
        own = {family.name for family in monitoring.registry.collect()}
        assert not own & {STATES.name, ONE.name}

    async def test_a_figure_that_is_not_known_is_not_shown(self, monitoring, monkeypatch):
        now = [100.0]
        monkeypatch.setattr(manager, "monotonic", lambda: now[0])
        answers = [{"": 3}]

        async def count():
            if not answers:
                raise UnavailableError
            return answers.pop()

        monitoring.add_gauge(ONE, count)
        await monitoring.expose_fleet()
        await monitoring.expose_fleet()  # within the second nobody asks again
        now[0] += 1.1
        for _ in range(2):
            with pytest.raises(UnavailableError):
                await monitoring.expose_fleet()
