"""Prometheus: queries that stand in the address, errors at their place, saved ones, targets."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from dashboard.client import models
from dashboard.views.prometheus import Asked, on_a_grid, pointed, to_csv, window_of, written
from dashboard.widgets.promql import MAX_NAMES, Mark, place_of
from tests.dashboard.conftest import VIC, settings_of
from tests.support.prometheus import stand_in
from tests.support.serving import patient_settings

pytestmark = pytest.mark.page

SPEECH = 'invalid parameter "query": 1:5: parse error: unexpected end of input'
UP = {"__name__": "up", "job": "api"}


class Told:
    """What the Prometheus behind the platform answers, and what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, Mapping[str, list[str]]]] = []
        self.lines: list[dict[str, Any]] = []
        self.refused: str | None = None
        self.names = ["up", "orders_total"]
        self.targets: list[dict[str, Any]] = []
        self.rules: list[dict[str, Any]] = []

    def __call__(self, path: str, query: Mapping[str, list[str]]) -> tuple[int, Any]:
        self.asked.append((path.removeprefix("/api/v1/"), query))
        if self.refused and "query" in query:
            return 400, {"status": "error", "errorType": "bad_data", "error": self.refused}
        match path.removeprefix("/api/v1/"):
            case "query_range":
                start, step = float(query["start"][0]), float(query["step"][0])
                data: Any = {
                    "resultType": "matrix",
                    "result": [
                        {
                            "metric": one["metric"],
                            "values": [
                                [start + step * at, value]
                                for at, value in enumerate(one["range"])
                                if value is not None
                            ],
                        }
                        for one in self.lines
                    ],
                }
            case "query":
                # The readiness check names no time.
                at = float(query.get("time", ["0"])[0])
                found = [
                    {"metric": one["metric"], "value": [at, one["range"][-1]]} for one in self.lines
                ]
                data = {"resultType": "vector", "result": found}
            case "label/__name__/values":
                data = self.names
            case "labels":
                data = ["__name__", "job"]
            case "targets":
                data = {"activeTargets": self.targets, "droppedTargets": []}
            case "rules":
                data = {"groups": [{"name": "g", "rules": self.rules}]}
            case _:
                data = []
        return 200, {"status": "success", "data": data}

    def last(self, path: str) -> Mapping[str, list[str]]:
        return [query for asked, query in self.asked if asked == path][-1]


@pytest.fixture
def told() -> Told:
    made = Told()
    made.lines = [
        {"metric": UP, "range": ["1", "0", None, "1"]},
        {"metric": {**UP, "job": "<b>worker</b>"}, "range": ["2", "NaN", "3", "+Inf"]},
    ]
    return made


@pytest.fixture
def backend(folder, told: Told) -> Iterator[Any]:
    with stand_in(told) as url:
        database = f"sqlite:///{folder / 'console.db'}"
        yield patient_settings(folder, database, 8400, prometheus_url=url)


def run(screen, text: str):
    """What the editor hands over."""
    screen.app.session_state["prometheus-editor-asked"] = text
    screen.app.run()
    assert not screen.app.exception
    return screen


class TestQuery:
    def test_asks_what_the_address_says_and_says_what_is_asked(self, visit, platform, told):
        screen = visit("prometheus", person=VIC, query="up", kind="range", range="6h")
        asked = platform.called("GET", "prometheus/query-range")[-1].query
        since, until = (datetime.fromisoformat(asked[name]) for name in ("since", "until"))
        assert (asked["query"], until - since) == ("up", timedelta(hours=6))
        rows = screen.rows("prometheus-range")
        assert [(row["series"], row["last"], row["points"]) for row in rows] == [
            ('up{job="api"}', "1", "3"),
            ('up{job="<b>worker</b>"}', "+Inf", "4"),
        ]
        assert (rows[1]["least"], rows[1]["greatest"]) == ("2", "3")
        # The tenant's wall stands in what Prometheus is asked.
        assert platform.seeds.demo_id in told.last("query_range")["query"][0]
        run(screen, "sum(up)")
        assert platform.called("GET", "prometheus/query-range")[-1].query["query"] == "sum(up)"
        assert (screen.address["query"], screen.address["range"]) == ("sum(up)", "6h")
        screen.app.selectbox(key="prometheus-span").select("24h").run()
        screen.app.segmented_control(key="prometheus-kind").set_value("instant").run()
        assert screen.address == {
            "tenant": "demo", "query": "sum(up)", "kind": "instant", "range": "24h",
        }  # fmt: skip
        assert [row["value"] for row in screen.rows("prometheus-moment")] == ["1", "+Inf"]

    def test_strangers_labels_are_no_markup_in_the_chart(self, visit, told):
        screen = visit("prometheus", query="up")
        drawn = screen.app.get("plotly_chart")[0].proto.spec
        assert "&lt;b&gt;worker" in drawn
        assert "<b>worker" not in drawn

    def test_own_times_are_of_the_persons_clock(self, visit, platform):
        times = {"since": "2026-11-20 08:00:00", "until": "2026-11-20T09:00:00+00:00"}
        screen = visit("prometheus", query="up", **times)
        asked = platform.called("GET", "prometheus/query-range")[-1].query
        assert datetime.fromisoformat(asked["until"]) == datetime(2026, 11, 20, 9, tzinfo=UTC)
        assert screen.address["since"] == times["since"]
        screen.app.text_input(key="prometheus-since").set_value("yesterday").run()
        assert "Times are written as 2026-01-31 08:00:00." in screen.text
        assert len(platform.called("GET", "prometheus/query-range")) == 1

    def test_an_error_is_shown_at_its_place(self, visit, told):
        screen = visit("prometheus", query="sum(\nrate(up[5m]")
        assert "The query cannot be read" in screen.text
        mark = screen.component("prometheus-editor")["mark"]
        assert mark == {"line": 2, "column": 5}
        assert "Line 2, column 5:" in screen.text
        assert [one.value for one in screen.app.code] == ["rate(up[5m]\n    ^"]
        run(screen, "sum(up)")
        assert screen.component("prometheus-editor")["mark"] is None
        assert "cannot be read" not in screen.text

    def test_an_error_that_only_prometheus_places(self, visit, told):
        told.refused = SPEECH
        screen = visit("prometheus", query="up offset 1e20", whose="platform")
        assert screen.component("prometheus-editor")["mark"] == {"line": 1, "column": 5}

    def test_a_refusal_without_a_place_is_said_alone(self, visit, told):
        screen = visit("prometheus", query="info(up)")
        assert "A query may not hold info" in screen.text
        assert screen.component("prometheus-editor")["mark"] is None
        assert not screen.app.code

    def test_completes_the_names_that_are_there(self, visit, platform, told):
        told.names = [f"m{number}" for number in range(MAX_NAMES + 1)]
        screen = visit("prometheus", person=VIC)
        known = screen.component("prometheus-editor")
        assert known["labels"] == ["__name__", "job"]
        assert known["metrics"][0] == "m0"
        assert {"rate", "by"} <= set(known["metrics"])
        # They go to the browser with the page.
        assert sum(name in told.names for name in known["metrics"]) == MAX_NAMES
        run(screen, "up")
        # Kept for a minute: who asks again and again asks for no names.
        assert len(platform.called("GET", "prometheus/label-values")) == 1
        assert platform.seeds.demo_id in str(told.last("label/__name__/values"))

    def test_nothing_found_is_no_chart(self, visit, told):
        told.lines = []
        screen = visit("prometheus", query="up")
        assert "Nothing has a value in this time range." in screen.text
        assert not screen.app.get("plotly_chart")


class TestWhose:
    def test_the_platforms_staff_may_see_all(self, visit, platform, told):
        screen = visit("prometheus", query="up")
        assert platform.seeds.demo_id in told.last("query_range")["query"][0]
        screen.app.segmented_control(key="prometheus-whose").set_value("platform").run()
        assert told.last("query_range")["query"] == ["up"]
        assert screen.address["whose"] == "platform"

    def test_a_viewer_is_asked_nothing_about_it(self, visit, platform, told):
        screen = visit("prometheus", person=VIC, query="up", whose="platform")
        assert "whose" not in screen.address
        assert platform.called("GET", "platform/prometheus/query-range") == []
        assert platform.seeds.demo_id in told.last("query_range")["query"][0]


class TestSaved:
    def test_is_saved_opened_changed_and_deleted(self, visit, platform, told):
        screen = visit("prometheus", query="up")
        screen.app.text_input(key="prometheus-save-name").set_value("Who is up")
        screen.press("Save as new")
        assert screen.said == "Who is up is saved for everybody in this tenant."
        (kept,) = platform.items("prometheus-queries")
        assert (kept["name"], kept["query"], screen.address["saved"]) == (
            "Who is up", "up", kept["id"],
        )  # fmt: skip
        other = visit("prometheus")
        other.app.session_state["prometheus-kept-opened"] = kept["id"]
        other.app.run()
        assert (other.address["query"], other.address["saved"]) == ("up", kept["id"])
        assert not other.has_button("prometheus-save")
        run(other, "up == 0")
        other.click("prometheus-save")
        (changed,) = platform.items("prometheus-queries")
        assert changed["query"] == "up == 0"
        # The first window has the version before.
        run(screen, "up == 1").click("prometheus-save")
        assert "The query has changed meanwhile" in screen.text
        assert platform.items("prometheus-queries") == [changed]
        screen.app.run()
        screen.click("prometheus-delete-start").click("prometheus-delete-yes")
        assert screen.said == "Who is up is deleted."
        assert platform.items("prometheus-queries") == []
        assert "saved" not in screen.address

    def test_a_viewer_opens_and_changes_none(self, visit, platform, told):
        made = platform.api().post(
            "/api/v1/prometheus-queries", json={"name": "Who is up", "query": "up"}
        )
        screen = visit("prometheus", person=VIC, saved=made.json()["id"], query="up")
        assert [row["name"] for row in screen.rows("prometheus-kept")] == ["Who is up"]
        assert not screen.has_button("prometheus-delete-start")
        assert not any(button.label == "Save as new" for button in screen.app.button)

    def test_one_that_is_gone_is_said(self, visit, told):
        screen = visit("prometheus", saved="0197a3c2-0000-7000-8000-000000000000", query="up")
        assert "not there any more" in screen.text


def target(job: str, health: str, **labels: str) -> dict[str, Any]:
    return {
        "labels": {"job": job, **labels},
        "scrapePool": job,
        "health": health,
        "lastScrape": "2026-11-20T09:00:00.5Z" if health != "unknown" else "0001-01-01T00:00:00Z",
        "lastScrapeDuration": 0.0125,
        "scrapeUrl": f"http://{job}:8400/metrics",
        "lastError": "connection refused" if health == "down" else "",
    }


class TestTargets:
    def test_says_what_fails_first(self, visit, told):
        told.targets = [target("api", "up"), target("worker", "down")]
        screen = visit("prometheus", part="targets", whose="platform")
        rows = screen.rows("prometheus-targets")
        assert [(row["job"], row["health"], row["error"]) for row in rows] == [
            ("worker", "fails", "connection refused"),
            ("api", "works", "–"),
        ]
        assert "Fails 1 of 2 are not scraped." in screen.text
        assert rows[1]["took"] == "12.5"

    @pytest.mark.parametrize(
        ("healths", "said"),
        [
            (["up", "up"], "Works All 2 are scraped."),
            (["up", "unknown"], "Not measured 1 of 2 were not scraped yet."),
        ],
    )
    def test_what_was_not_looked_at_is_not_well(self, visit, told, healths, said):
        told.targets = [target(f"job{n}", health) for n, health in enumerate(healths)]
        assert said in visit("prometheus", part="targets", whose="platform").text

    def test_a_tenant_sees_its_own_without_addresses(self, visit, platform, told):
        own = target("acme", "down", tenant_id=platform.seeds.demo_id)
        told.targets = [target("api", "up"), own]
        screen = visit("prometheus", person=VIC, part="targets")
        (row,) = screen.rows("prometheus-targets")
        assert (row["job"], row["health"]) == ("acme", "fails")
        columns = screen.component("prometheus-targets")["columns"]
        assert [one["key"] for one in columns] == ["job", "health", "labels", "scraped", "took"]


def alerting(name: str, *states: str, health: str = "ok") -> dict[str, Any]:
    alerts = [
        {
            "labels": {"alertname": name, "instance": f"i{number}"},
            "annotations": {"summary": "It is down"},
            "state": state,
            "activeAt": "2026-11-20T09:00:00Z",
        }
        for number, state in enumerate(states)
    ]
    return {
        "name": name, "type": "alerting", "health": health, "query": "up == 0", "labels": {},
        "alerts": alerts,
    }  # fmt: skip


class TestRules:
    def test_alerts_stand_above_the_rules(self, visit, told):
        told.rules = [alerting("Down", "pending", "firing"), alerting("Quiet")]
        screen = visit("prometheus", part="rules", whose="platform")
        assert "Firing An alert fires." in screen.text
        alerts = screen.rows("prometheus-alerts")
        assert [(row["state"], row["labels"], row["summary"]) for row in alerts] == [
            ("firing", "instance=i1", "It is down"),
            ("pending", "instance=i0", "It is down"),
        ]
        rules = screen.rows("prometheus-rules")
        assert [(row["name"], row["state"], row["alerts"]) for row in rules] == [
            ("Down", "firing", "2"), ("Quiet", "inactive", "0"),
        ]  # fmt: skip

    @pytest.mark.parametrize(
        ("health", "said", "state"),
        [
            ("ok", "Quiet Of 1 rules none fires.", "inactive"),
            ("err", "Fails 1 rules cannot be evaluated.", "fails"),
            ("unknown", "Not measured Some rules were not evaluated yet.", "not looked at"),
        ],
    )
    def test_a_rule_that_is_not_evaluated_is_not_quiet(self, visit, told, health, said, state):
        told.rules = [alerting("A", health=health)]
        screen = visit("prometheus", part="rules", whose="platform")
        assert said in screen.text
        assert [row["state"] for row in screen.rows("prometheus-rules")] == [state]


class TestWithoutOne:
    @pytest.fixture
    def backend(self, folder):
        return settings_of(folder)

    @pytest.mark.parametrize("part", ["query", "targets", "rules"])
    def test_says_how_to_connect_one(self, visit, part):
        screen = visit("prometheus", part=part, query="up")
        assert "No Prometheus is connected" in screen.text
        assert 'role="alert"' not in screen.markup


class TestTexts:
    def test_a_grid_has_nothing_where_nothing_was(self):
        line = models.SampleLineOut(
            labels={}, times=[160.0, 220.0], values=["1", "NaN"], histograms=0
        )
        found = models.SampleRangeOut(lines=[line], warnings=[], step_seconds=60)
        window = datetime.fromtimestamp(100, tz=UTC), datetime.fromtimestamp(400, tz=UTC)
        times, values = on_a_grid(found, window)
        assert [at.timestamp() for at in times] == [100, 160, 220, 280, 340, 400]
        assert values == [[None, 1.0, None, None, None, None]]

    def test_a_file_has_the_values_as_they_are(self):
        line = models.SampleLineOut(
            labels={"job": "a"}, times=[0.5, 60.5], values=["1", "+Inf"], histograms=0
        )
        rows = list(csv.reader(io.StringIO(to_csv(
            models.SamplesOut(lines=[line], warnings=[])
        ).decode())))  # fmt: skip
        assert rows[0] == ["series", "at", "value"]
        assert rows[1][0] == '{job="a"}'
        assert rows[2][2] == "'+Inf"

    def test_a_place_is_read_from_what_is_said(self):
        assert place_of("2:17: unexpected end") == Mark(2, 17)
        assert place_of("unexpected 2:17: end") is None
        assert pointed("a\n\tb c", Mark(2, 4)) == "\tb c\n\t  ^"
        assert pointed("a", Mark(9, 1)) == "\n^"

    def test_a_series_is_written_as_in_promql(self):
        assert written({"__name__": "up", "job": "a"}) == 'up{job="a"}'
        assert written({"__name__": "up"}) == "up"
        assert written({}) == "{}"

    def test_a_window_ends_after_it_begins(self):
        now = datetime(2026, 11, 20, 9, tzinfo=ZoneInfo("Asia/Kolkata"))
        asked = Asked("query", "tenant", "up", "range", "own", "2026-11-20T09:00Z", "", "")
        assert window_of(asked, now) == "The time range ends before it begins."
        later = asked._replace(since="", until="2026-11-20T08:00:00Z")
        assert window_of(later, now) == (
            datetime(2026, 11, 20, 7, tzinfo=UTC), datetime(2026, 11, 20, 8, tzinfo=UTC)
        )  # fmt: skip
        assert window_of(asked._replace(until="soon"), now) == (
            "Times are written as 2026-01-31 08:00:00."
        )
