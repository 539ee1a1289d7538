"""What rules can ask of other rooms, as these know it: counted, foreseen, seen."""

from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from backend.core.context import SystemScope
from backend.managers.alerting import (
    AnomalyCondition,
    AuditCondition,
    ConditionInvalidError,
    EventCondition,
    ForecastCondition,
    HealthCondition,
    LogPatternCondition,
    PrometheusCondition,
    TraceCondition,
    _counting,
)
from backend.managers.alerting._finding import Finding
from backend.managers.alerting._standing import Seen
from backend.managers.monitoring import HISTORY, Health, MonitoringManager
from backend.settings import Settings
from tests.integration.alerting.test_looking import Watch
from tests.integration.logging.test_search import said, send
from tests.support.platform import App
from tests.support.prometheus import stand_in
from tests.support.series import write_hours


@pytest.fixture
async def watch(app: App) -> Watch:
    return Watch(app, await app.caller("owner"))


async def acts(watch: Watch, *told: Any) -> None:
    """Each as an act and its event: action, target, data."""
    async with watch.database.transaction(watch.scope) as tx:
        for action, target, data in told:
            tx.audit(action, target, **data)
            tx.emit(action, target, **data)


FAILED = "login.failed"


class TestCounting:
    async def test_acts_are_counted_by_whoever_did_them(self, watch: Watch) -> None:
        rule = AuditCondition(
            actions=("access.denied", FAILED), compare=">=", threshold=5, by="target"
        )
        await watch.rule(rule)
        await acts(watch, (FAILED, "user:a", {"count": 4}), (FAILED, "user:b", {}))
        assert (await watch.look()).fired == 0
        await acts(watch, (FAILED, "user:a", {}))
        assert (await watch.look()).fired == 1
        (alert,) = await watch.alerts(state="firing")
        assert (alert.labels["target"], alert.value) == ("user:a", 5)
        assert "5 of access.denied, login.failed in 5 min by user:a, >= 5" in alert.summary

    async def test_only_those_with_the_same_data_count(self, watch: Watch) -> None:
        rule = AuditCondition(
            actions=("audit_verification.finished",),
            where={"valid": ("false", "no")},
            compare=">",
            threshold=0,
        )
        (found,) = await watch.found(rule)
        assert (found.seen, found.value) == (Seen.GONE, 0)
        await acts(watch, ("audit_verification.finished", "v:1", {"valid": True}))
        assert (await watch.found(rule))[0].seen is Seen.GONE
        await acts(watch, ("audit_verification.finished", "v:2", {"valid": False}))
        assert (await watch.found(rule))[0].seen is Seen.HOLDS

    @pytest.mark.parametrize("more", [{"actor": "user:ada"}, {"target": "user:a"}])
    async def test_acts_of_one_or_on_one(self, watch: Watch, more: dict[str, Any]) -> None:
        await acts(watch, (FAILED, "user:a", {}))
        rule = AuditCondition(actions=(FAILED,), compare=">=", threshold=1, **more)
        assert (await watch.found(rule))[0].seen is Seen.HOLDS
        more = dict.fromkeys(more, "user:else")
        others = AuditCondition(actions=(FAILED,), compare=">=", threshold=1, **more)
        assert (await watch.found(others))[0].seen is Seen.GONE

    async def test_nobody_counts_what_others_did(self, app: App, watch: Watch) -> None:
        other = Watch(app, await app.caller("owner"))
        await acts(other, (FAILED, "user:a", {}))
        for rule in (
            AuditCondition(actions=(FAILED,), compare=">=", threshold=1),
            EventCondition(kinds=(FAILED,), compare=">=", threshold=1),
        ):
            assert (await watch.found(rule))[0].seen is Seen.GONE

    async def test_events_are_counted_by_subject_before_they_have_a_number(
        self, watch: Watch
    ) -> None:
        rule = EventCondition(kinds=("job.dead",), compare=">=", threshold=2, by="subject")
        async with watch.database.transaction(watch.scope) as tx:
            tx.emit("job.dead", "job:1")
            tx.emit("job.dead", "job:1")
            tx.emit("job.dead", "job:2")
            tx.emit("job.cancelled", "job:2")
        one, two = await watch.found(rule)
        assert (one.labels, one.seen, one.value) == ({"subject": "job:1"}, Seen.HOLDS, 2)
        assert (two.labels, two.seen, two.value) == ({"subject": "job:2"}, Seen.GONE, 1)
        alone = EventCondition(kinds=("job.dead",), subject="job:2", compare="==", threshold=1)
        assert (await watch.found(alone))[0].seen is Seen.HOLDS

    async def test_what_more_could_change_is_not_measured(
        self, watch: Watch, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(_counting, "_LOOKED_AT", 3)
        async with watch.database.transaction(watch.scope) as tx:
            for number in range(4):
                tx.emit("job.dead", f"job:{number}")
        few = EventCondition(kinds=("job.dead",), compare="<", threshold=10)
        assert (await watch.found(few))[0].seen is Seen.NOTHING
        many = EventCondition(kinds=("job.dead",), compare=">=", threshold=3)
        assert (await watch.found(many))[0].seen is Seen.HOLDS

    async def test_whoever_is_not_found_any_more_is_over(self, watch: Watch) -> None:
        rule = await watch.rule(
            AuditCondition(
                actions=(FAILED,), compare=">=", threshold=1, by="target", window_seconds=60
            )
        )
        await acts(watch, (FAILED, "user:a", {}))
        assert (await watch.look()).fired == 1
        await watch.replaced(
            rule,
            condition=AuditCondition(
                actions=(FAILED,), compare=">=", threshold=1, by="target", target="user:b"
            ),
        )
        assert (await watch.look()).resolved == 1

    async def test_events_that_nobody_tells_of_are_refused(self, watch: Watch) -> None:
        with pytest.raises(ConditionInvalidError, match=r"no events of the kind job\.died"):
            await watch.rule(EventCondition(kinds=("job.died",), compare=">", threshold=0))


HOUR = timedelta(hours=1)


async def hours(watch: Watch, values: Any, name: str = "filled") -> None:
    end = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    await write_hours(
        watch.database, watch.scope.tenant_id, values, name=name, kind="gauge", end=end
    )


class TestForetelling:
    async def test_a_metric_that_will_reach_a_threshold(self, watch: Watch) -> None:
        rule = ForecastCondition(
            metric="filled", aggregate="avg", compare=">", threshold=1020, within_hours=48
        )
        (found,) = await watch.found(rule)
        assert (found.seen, found.text) == (Seen.NOTHING, "filled has not been recorded")
        noise = np.random.default_rng(4).normal(0, 1, 1000)
        await hours(watch, np.arange(1000) + noise)
        (found,) = await watch.found(rule)
        assert found.seen is Seen.HOLDS, found
        assert found.text.startswith("avg of filled comes to 10")
        far = ForecastCondition(metric="filled", aggregate="avg", compare=">", threshold=2000)
        assert (await watch.found(far))[0].seen is Seen.GONE

    async def test_an_hour_that_is_unusual(self, watch: Watch) -> None:
        rule = AnomalyCondition(metric="filled", aggregate="avg", direction="above")
        usual = 400 + np.random.default_rng(4).normal(0, 5, 8 * 168)
        await hours(watch, [*usual[:-1], 900.0])
        (found,) = await watch.found(rule)
        assert (found.seen, found.value) == (Seen.HOLDS, 900), found
        below = AnomalyCondition(metric="filled", aggregate="avg", direction="below")
        assert (await watch.found(below))[0].seen is Seen.GONE

    async def test_it_is_not_looked_up_each_minute(self, watch: Watch) -> None:
        rule = await watch.rule(AnomalyCondition(metric="filled", aggregate="avg"))
        await watch.look()
        assert await watch.next_look(rule) == timedelta(minutes=5)


UP: dict[str, Any] = {"series": []}


def answer(path: str, query: Mapping[str, list[str]]) -> tuple[int, Any]:
    UP["asked"] = query.get("query", [""])[0]
    data: Any = {"resultType": "vector", "result": UP["series"]}
    if path != "/api/v1/query":
        data = []
    return 200, {"status": "success", "data": data}


class TestPrometheus:
    @pytest.fixture
    async def app_settings(self, app_settings: Settings) -> AsyncIterator[Settings]:
        UP["series"] = []
        with stand_in(answer) as url:
            own = app_settings.monitoring.model_copy(update={"prometheus_url": url})
            yield app_settings.model_copy(update={"monitoring": own})

    async def test_each_series_is_an_alert_until_it_is_gone(self, watch: Watch) -> None:
        await watch.rule(PrometheusCondition(query='up{job="shop"} == 0'))
        assert (await watch.look()).fired == 0
        UP["series"] = [
            {"metric": {"__name__": "up", "instance": name}, "value": [1, "0"]}
            for name in ("a", "b")
        ]
        assert (await watch.look()).fired == 2
        assert watch.scope.tenant_id in UP["asked"]
        assert {one.labels["instance"] for one in await watch.alerts()} == {"a", "b"}
        UP["series"] = UP["series"][:1]
        assert (await watch.look()).resolved == 1
        UP["series"] = [{"metric": {}, "value": [1, "NaN"]}]
        assert (await watch.found(PrometheusCondition(query="0/0")))[0].value is None


async def test_without_a_prometheus_nothing_is_measured(watch: Watch) -> None:
    (found,) = await watch.found(PrometheusCondition(query="up"))
    assert found.seen is Seen.NOTHING
    assert "connect one" in found.text


class TestTraces:
    async def test_what_came_of_our_own_requests(self, app: App, watch: Watch) -> None:
        service = "email-sender"
        rate = TraceCondition(service=service, measure="rate", compare=">", threshold=0)
        slow = TraceCondition(service=service, measure="latency", compare=">", threshold=0)
        assert (await watch.found(rate))[0].seen is Seen.GONE
        assert (await watch.found(slow))[0].seen is Seen.NOTHING
        for path in ("alerts", "alert-rules", "alerts"):
            await watch.http.get(f"/api/v1/{path}")
        await app.keep_spans()
        assert (await watch.found(rate))[0].seen is Seen.HOLDS
        (found,) = await watch.found(slow)
        assert (found.seen, found.labels) == (Seen.HOLDS, {"service": service})
        failed = TraceCondition(
            service=service, measure="error_share", compare=">", threshold=0.05, by_operation=True
        )
        each = await watch.found(failed)
        assert {one.labels["operation"] for one in each} >= {
            "GET /api/v1/alerts",
            "GET /api/v1/alert-rules",
        }
        assert {one.seen for one in each} == {Seen.GONE}
        one = TraceCondition(
            service=service,
            measure="rate",
            compare=">=",
            threshold=0.4,
            operation="GET /api/v1/alerts",
        )
        assert (await watch.found(one))[0].value == pytest.approx(0.4)


class TestHealth:
    async def looked(self, app: App, *found: Health) -> None:
        """A minute of the platform's health, as its own probe keeps it."""
        monitoring = app.platform.of(MonitoringManager)
        monitoring._history.note(app.platform.database.clock(), found)
        await monitoring._history.flush(app.platform.database, everything=True)

    async def test_a_part_that_does_not_work(self, app: App, watch: Watch) -> None:
        whole, each = HealthCondition(), HealthCondition(component="*")
        disk = HealthCondition(component="disk")
        for rule in (whole, each, disk):
            assert (await watch.found(rule))[0].seen is Seen.NOTHING
        await self.looked(
            app,
            Health("disk", ok=False, required=False, milliseconds=1, detail="1 % free of /secret"),
            Health("database", ok=True, required=True, milliseconds=1, detail=""),
        )
        assert (await watch.found(whole))[0] == Finding(Seen.GONE, "The platform is degraded")
        failing = Finding(Seen.HOLDS, "disk does not work", labels={"component": "disk"})
        assert await watch.found(each) == [failing]
        assert await watch.found(disk) == [failing]
        assert (await watch.found(HealthCondition(component="database")))[0].seen is Seen.GONE
        needs_other = await watch.found(HealthCondition(needs=("workers",)))
        assert needs_other[0].seen is Seen.GONE
        assert await watch.found(HealthCondition(needs=("workers", "disk"))) == [
            Finding(Seen.HOLDS, "The platform is degraded: disk")
        ]

    async def test_the_platform_is_not_ready(self, app: App, watch: Watch) -> None:
        await watch.rule(HealthCondition(), hold_seconds=60)
        await self.looked(
            app, Health("database", ok=False, required=True, milliseconds=1, detail="gone")
        )
        assert (await watch.look()).fired == 0
        await watch.later(seconds=61)
        assert (await watch.look()).fired == 1

    async def test_it_is_read_for_the_platform(self, watch: Watch) -> None:
        async with watch.database.read(SystemScope(HISTORY)) as tx:
            assert tx.tenant_id != watch.scope.tenant_id


async def test_lines_that_none_before_was_like(app: App) -> None:
    ada = await app.caller("owner")
    watch = Watch(app, ada)
    rule = LogPatternCondition(window_seconds=300, source=None)
    (found,) = await watch.found(rule)
    assert found.seen is Seen.NOTHING
    await send(ada, said(3600, "order 1 failed", level="error"))
    await send(ada, said(1, "order 2 failed", level="error"))
    (found,) = await watch.found(rule)
    assert found.seen is Seen.GONE, found
    await watch.rule(rule)
    await send(ada, said(1, "disk of Ada is full", level="error"))
    assert (await watch.look()).fired == 1
    (alert,) = await watch.alerts()
    assert alert.value == 1
    assert "Ada" not in f"{alert.summary}{alert.labels}", "an alert outlives the lines"


class TestTrying:
    async def tried(self, watch: Watch, condition: Any, status: int = 200, **more: Any) -> Any:
        body = {"name": "r", "severity": "info", "condition": condition, **more}
        answer = await watch.http.post("/api/v1/alert-rules/test", json=body)
        assert answer.status_code == status, answer.text
        return answer.json()

    async def test_says_when_a_metric_would_have_fired(self, watch: Watch) -> None:
        await hours(watch, [1.0] * 30 + [9.0] * 5 + [1.0] * 5)
        rule = {
            "kind": "metric",
            "metric": "filled",
            "aggregate": "avg",
            "compare": ">",
            "threshold": 5,
            "window_seconds": 3600,
        }
        found = await self.tried(watch, rule, days=2, hold_seconds=7200)
        assert found["step_seconds"] == 3600
        (line,) = found["lines"]
        (one,) = line["firings"]
        since, fired, ended = (
            datetime.fromisoformat(one[name]) for name in ("since", "fired_at", "ended_at")
        )
        assert (fired - since, ended - since) == (2 * HOUR, 5 * HOUR)
        assert one["value"] == 9
        assert await watch.alerts() == [], "nothing is kept"
        assert (await self.tried(watch, {**rule, "metric": "other"}))["lines"] == []

    async def test_says_when_log_lines_would_have_fired(self, app: App) -> None:
        ada = await app.caller("owner")
        watch = Watch(app, ada)
        await send(ada, *(said(120, f"failed {n}", level="error") for n in range(3)))
        rule = {"kind": "log", "compare": ">=", "threshold": 3, "level": "error"}
        found = await self.tried(watch, rule)
        (line,) = found["lines"]
        assert found["complete"]
        assert sum(line["points"]) == 3
        (one,) = line["firings"]
        ended, fired = (datetime.fromisoformat(one[name]) for name in ("ended_at", "fired_at"))
        assert ended - fired == timedelta(seconds=found["step_seconds"])
        ago = datetime.now(UTC) - fired
        assert timedelta(hours=1.5) < ago < timedelta(hours=2.5)

    async def test_what_is_known_of_the_present_alone_cannot_be_tried(self, watch: Watch) -> None:
        refused = await self.tried(watch, {"kind": "health"}, status=422)
        assert refused["code"] == "alerting.no_history"
