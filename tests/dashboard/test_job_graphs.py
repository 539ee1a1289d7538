"""Graphs of jobs and their schedules: drawn, held up, stopped, begun again; due, run, paused."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from dashboard.widgets.markup import NONE
from dashboard.widgets.tasks import KIND
from dashboard.widgets.timing import words
from tests.dashboard.conftest import VIC

pytestmark = pytest.mark.page

TASK = {"kind": "http.request", "args": {"url": "https://books.example.com/"}}
GRAPH = {
    "name": "Month's end",
    "tasks": [
        {"name": "collect", **TASK},
        {"name": "close", **TASK, "depends_on": ["collect"]},
        {"name": "complain", **TASK, "depends_on": ["collect"], "runs_on": "failure"},
    ],
}
SCHEDULE = {
    "name": "Nightly import",
    "timing": {"type": "cron", "expression": "30 2 * * mon-fri", "zone": "Europe/Paris"},
    "graph": GRAPH,
}


@pytest.fixture
def graph(platform):
    return platform.api().post("/api/v1/job-graphs", json=GRAPH).raise_for_status().json()


@pytest.fixture
def schedule(platform):
    return platform.api().post("/api/v1/job-schedules", json=SCHEDULE).raise_for_status().json()


def opened(visit, schedule):
    screen = visit("job_schedules")
    screen.app.session_state["job-schedules-open"] = schedule["id"]
    screen.app.run()
    return screen


class TestGraph:
    def test_is_listed_and_drawn(self, visit, graph):
        (row,) = visit("job_graphs").rows("job-graphs")
        assert (row["name"], row["state"], row["total"]) == ("Month's end", "running", "3")
        screen = visit("job_graphs", id=graph["id"])
        assert "0 of 3 jobs have ended" in screen.text
        assert [
            (one["name"], one["state"], one["after"]) for one in screen.rows("graph-tasks")
        ] == [
            ("collect", "ready", NONE),
            ("close", "blocked", "collect"),
            ("complain", "blocked", "collect"),
        ]

    def test_is_held_up_and_goes_on(self, visit, platform, graph):
        visit("job_graphs", id=graph["id"]).click("graphs-pause")
        assert platform.items("job-graphs")[0]["paused"] is True
        screen = visit("job_graphs", id=graph["id"])
        assert "it is paused" in screen.text
        screen.click("graphs-resume")
        assert platform.items("job-graphs")[0]["paused"] is False

    def test_is_cancelled_and_begun_again(self, visit, platform, graph):
        screen = visit("job_graphs", id=graph["id"])
        screen = screen.click("graphs-cancel-start").click("graphs-cancel-yes")
        assert platform.items("job-graphs")[0]["state"] == "cancelled"
        visit("job_graphs", id=graph["id"]).click("graphs-retry")
        (now,) = platform.items("job-graphs")
        assert (now["state"], now["by_state"]) == ("running", {"ready": 1, "blocked": 2})

    def test_of_many_alike_ones_a_box_is_drawn_and_a_page_is_listed(self, visit, platform):
        names = [f"page-{number}" for number in range(140)]
        tasks = [
            {"name": "collect", **TASK},
            *({"name": name, **TASK, "depends_on": ["collect"]} for name in names),
            {"name": "close", **TASK, "depends_on": names},
        ]
        made = platform.api().post("/api/v1/job-graphs", json={"name": "Wide", "tasks": tasks})
        screen = visit("job_graphs", id=made.raise_for_status().json()["id"])
        shown = [one.proto.body for one in screen.app.get("html")]
        (picture,) = [one for one in shown if 'class="es-flow"' in one]
        titles = re.findall(r'class="es-flow-box" title="([^"]*)"', picture)
        assert titles == ["collect: ready", "page-…: 140 blocked", "close: blocked"]
        assert "1 ready, 141 blocked" in picture
        assert [one["name"] for one in screen.rows("graph-tasks")] == ["collect", *names[:49]]
        screen.click("graph-tasks-older")
        assert [one["name"] for one in screen.rows("graph-tasks")] == names[49:99]
        screen.app.pills(key="graph-tasks-state").set_value("ready").run()
        assert [one["name"] for one in screen.rows("graph-tasks")] == ["collect"]

    def test_leads_to_its_jobs_to_act_on_some_of_them(self, visit, platform, graph):
        asked = {"kind": "http.request", "args": TASK["args"], "delay_seconds": 600}
        alone = platform.api().post("/api/v1/jobs", json=asked).raise_for_status().json()
        screen = visit("job_graphs", id=graph["id"])
        screen.follow("Open its jobs as a list, to filter or act on many")
        assert sorted(row["state"] for row in screen.rows("jobs")) == [
            "blocked",
            "blocked",
            "ready",
        ]
        names = {row["about"] for row in screen.rows("jobs")}
        assert names == {f"{name} \u00b7 Month's end" for name in ("collect", "close", "complain")}
        screen.app.selectbox(key="jobs-state").select("ready").run()
        screen.click("jobs-cancel-all-start")
        assert f"Every ready job of graph {graph['id']} is taken out of the queue" in screen.text
        screen.click("jobs-cancel-all-yes")
        assert platform.get(f"jobs/{alone['id']}")["state"] == "ready"
        assert platform.get(f"job-graphs/{graph['id']}")["by_state"]["cancelled"] == 1

    def test_offers_no_act_to_whoever_may_only_look(self, visit, graph):
        screen = visit("job_graphs", person=VIC, id=graph["id"])
        assert "0 of 3 jobs have ended" in screen.text
        assert not [one for one in screen.app.button if one.key and one.key.startswith("graphs-p")]


class TestSchedule:
    def test_is_made_of_an_address_and_crontab_s_times(self, visit, platform):
        screen = visit("job_schedules").click("job-schedules-new")
        said = {
            "name": "Ping",
            "expression": "*/5 * * * *",
            "zone": "Europe/Paris",
            "url": "https://books.example.com/ping",
        }
        for name, value in said.items():
            screen.app.text_input(key=f"job-schedules-new-{name}").set_value(value)
        screen.press("Create schedule")
        assert screen.said == "Ping is submitted when it is time."
        (made,) = platform.items("job-schedules")
        assert made["timing"]["expression"] == "*/5 * * * *"
        args = {"method": "POST", "url": said["url"]}
        assert [one["args"] for one in made["graph"]["tasks"]] == [args]

    @pytest.mark.parametrize(
        ("kind", "said", "chosen", "tasks"),
        [
            (
                "report",
                {"parts": "day state", "zone": "Europe/Paris", "mailed-to": "eve@example.test"},
                {"counts": "email"},
                [
                    (
                        "report",
                        {
                            "of": "email",
                            "days": 1,
                            "zone": "Europe/Paris",
                            "by": ["day", "state"],
                            "csv": True,
                        },
                    ),
                    (
                        "email",
                        {
                            "to": ["eve@example.test"],
                            "subject": "Nightly",
                            "text": {"$result": "report", "path": "csv"},
                        },
                    ),
                ],
            ),
            ("report", {}, {}, [("report", {"of": "job", "days": 1})]),
            (
                "email",
                {"to": "ada@example.test bob@example.test", "subject": "Close", "text": "It is."},
                {},
                [
                    (
                        "email",
                        {
                            "to": ["ada@example.test", "bob@example.test"],
                            "subject": "Close",
                            "text": "It is.",
                        },
                    )
                ],
            ),
            (
                "n8n.workflow",
                {"url": "https://n8n.example.com/webhook/close"},
                {"answer": "callback"},
                [
                    (
                        "n8n.workflow",
                        {"url": "https://n8n.example.com/webhook/close", "answer": "callback"},
                    )
                ],
            ),
        ],
        ids=["report by mail", "report", "e-mail", "workflow"],
    )
    def test_is_made_of_what_it_does(self, visit, platform, kind, said, chosen, tasks):
        screen = visit("job_schedules").click("job-schedules-new")
        screen.app.selectbox(key="job-schedules-new-kind").set_value(kind).run()
        for name, value in {"name": "Nightly", "expression": "0 6 * * *", **said}.items():
            screen.app.text_input(key=f"job-schedules-new-{name}").set_value(value)
        for name, value in chosen.items():
            screen.app.selectbox(key=f"job-schedules-new-{name}").set_value(value)
        screen.press("Create schedule")
        assert screen.said == "Nightly is submitted when it is time."
        (made,) = platform.items("job-schedules")
        made = made["graph"]["tasks"]
        assert [(one["kind"], one["args"]) for one in made] == tasks
        after = [one.get("depends_on") or [] for one in made]
        assert after == [[], ["report"]][: len(made)]

    def test_offers_no_mail_to_who_may_not_send(self):
        session: Any = SimpleNamespace(can=lambda needed: needed.startswith("job:"))
        offered = {value for value, _ in KIND.options(session)}
        assert offered == {"http.request", "n8n.workflow", "report"}

    def test_what_is_no_crontab_is_told(self, visit, platform):
        screen = visit("job_schedules").click("job-schedules-new")
        said = {"name": "Ping", "expression": "61 * * * *", "url": "https://books.example.com/"}
        for name, value in said.items():
            screen.app.text_input(key=f"job-schedules-new-{name}").set_value(value)
        screen.press("Create schedule")
        assert "61" in screen.text
        assert not screen.app.warning
        assert platform.items("job-schedules") == []

    def test_says_when_it_is_due(self, visit, schedule):
        (row,) = visit("job_schedules").rows("job-schedules")
        assert (row["enabled"], row["timing"]) == ("on", "30 2 * * mon-fri (Europe/Paris)")
        screen = opened(visit, schedule)
        assert "Due next" in screen.text
        assert "It was not due in the last week." in screen.text

    @pytest.mark.parametrize(
        ("said", "told"),
        [
            (
                {"unit": "month", "every": 3, "days": ["1mon", "-1workday"]},
                "every 3 months on the 1st Monday and the last workday",
            ),
            (
                {"unit": "month", "days": ["fri", "-2", "22"]},
                "each month on each Friday, the 2nd last day and the 22nd",
            ),
            ({"unit": "month"}, "each month on the 1st"),
            ({"unit": "week", "days": ["mon", "workday"]}, "each week on Monday and each workday"),
            ({"unit": "week"}, "each week on Tuesday"),
            ({"unit": "year", "days": ["02-29"]}, "each year on 29 February"),
            ({"unit": "year"}, "each year on 1 December"),
            ({"every": 2}, "every 2 days"),
        ],
    )
    def test_says_what_a_calendar_is(self, said, told):
        timing = {"type": "calendar", "since": "2026-12-01", "zone": "Europe/Paris"}
        usual = {"unit": "day", "every": 1, "days": [], "times": ["06:00", "18:00"]}
        read = words(timing | usual | said)
        assert read == f"{told} at 06:00 and 18:00 (Europe/Paris)"

    @pytest.mark.parametrize(
        ("seconds", "told"),
        [(60, "each minute"), (5400, "every 90 minutes"), (172_800, "every 2 days")],
    )
    def test_says_what_an_interval_is(self, seconds, told):
        assert words({"type": "interval", "seconds": seconds}) == told

    def test_is_made_of_a_calendar_s_days_after_a_look_at_the_next(self, visit, platform):
        screen = visit("job_schedules").click("job-schedules-new")
        screen.app.selectbox(key="job-schedules-new-type").set_value("calendar").run()
        said = {
            "name": "Close the month",
            "days": "1mon -1workday",
            "times": "06:00, 18:00",
            "url": "https://books.example.com/close",
        }
        for name, value in said.items():
            screen.app.text_input(key=f"job-schedules-new-{name}").set_value(value)
        screen.app.selectbox(key="job-schedules-new-unit").set_value("month")
        screen.app.date_input(key="job-schedules-new-first-day").set_value(date(2027, 2, 1))
        screen.press("Preview")
        (listed,) = [one.value for one in screen.app.markdown if "2027" in one.value]
        assert [line[:18] for line in listed.splitlines()] == [
            "- 2027-02-01 06:00",
            "- 2027-02-01 18:00",
            "- 2027-02-26 06:00",
            "- 2027-02-26 18:00",
            "- 2027-03-01 06:00",
        ]
        assert platform.items("job-schedules") == []
        screen.press("Create schedule")
        (made,) = platform.items("job-schedules")
        assert made["timing"] == {
            "type": "calendar",
            "unit": "month",
            "every": 1,
            "days": ["1mon", "-1workday"],
            "times": ["06:00", "18:00"],
            "since": "2027-02-01",
            "zone": "UTC",
            "skipped": "shift",
            "repeated": "first",
        }

    @pytest.mark.parametrize(
        ("kind", "kept"),
        [("interval", {"seconds": 3600, "since": ...}), ("once", {"at": ...})],
    )
    def test_is_made_of_times_of_whoever_makes_it(self, visit, platform, kind, kept):
        screen = visit("job_schedules").click("job-schedules-new")
        screen.app.selectbox(key="job-schedules-new-type").set_value(kind).run()
        for name, value in {"name": "Ping", "url": "https://books.example.com/"}.items():
            screen.app.text_input(key=f"job-schedules-new-{name}").set_value(value)
        at = screen.app.datetime_input[0]
        at.set_value(datetime(2027, 2, 1, 6, 30))  # noqa: DTZ001 - as the widget has it
        screen.press("Create schedule")
        (made,) = platform.items("job-schedules")
        moment = {name: "2027-02-01T06:30:00Z" if one is ... else one for name, one in kept.items()}
        assert made["timing"] == {"type": kind, **moment}

    def test_is_run_paused_and_resumed(self, visit, platform, schedule):
        screen = opened(visit, schedule)
        screen.click("job-schedules-run-start").click("job-schedules-run-yes")
        assert [one["name"] for one in platform.items("job-graphs")] == ["Month's end"]
        screen = opened(visit, schedule)
        screen.click("job-schedules-pause-start").click("job-schedules-pause-yes")
        assert platform.items("job-schedules")[0]["due_at"] is None
        screen = opened(visit, schedule)
        assert "It is paused." in screen.text
        screen.click("job-schedules-resume-start").click("job-schedules-resume-yes")
        assert platform.items("job-schedules")[0]["due_at"] == schedule["due_at"]

    def test_is_due_by_what_it_says_now(self, visit, platform, schedule):
        screen = opened(visit, schedule)
        said = next(one for one in screen.app.text_input if one.label == "Crontab")
        said.set_value("0 12 * * *")
        screen.press("Save")
        (now,) = platform.items("job-schedules")
        assert now["timing"]["expression"] == "0 12 * * *"
        assert now["graph"] == schedule["graph"]

    def test_follows_a_calendar_from_here_on(self, visit, platform, schedule):
        screen = opened(visit, schedule)
        key = f"schedules-timing-{schedule['id']}"
        screen.app.selectbox(key=f"{key}-type").set_value("calendar").run()
        screen.click(f"{key}-save")
        assert "It needs" in screen.app.warning[0].value
        screen.app.text_input(key=f"{key}-times").set_value("18:00")
        screen.app.selectbox(key=f"{key}-unit").set_value("week")
        screen.app.text_input(key=f"{key}-days").set_value("mon fri")
        screen.click(f"{key}-save")
        (now,) = platform.items("job-schedules")
        assert now["timing"]["days"] == ["mon", "fri"]
        assert now["timing"]["zone"] == "Europe/Paris"
        screen = opened(visit, schedule)
        assert "each week on Monday and Friday at 18:00 (Europe/Paris)" in screen.text
        # Nothing was changed in it: it is kept as it is.
        screen.click(f"{key}-save")
        assert platform.items("job-schedules")[0]["timing"] == now["timing"]

    def test_what_did_not_run_is_run(self, visit, platform, schedule):
        screen = opened(visit, schedule)
        first = next(one for one in screen.app.date_input if one.label == "First day")
        # A time of the day a week ago is in the last week only if it is later than now.
        first.set_value(first.value - timedelta(days=6))
        screen.press("Run them")
        count = len(platform.items("job-graphs"))
        assert count >= 4
        assert screen.said == f"{count} of its times are submitted, 0 had run."
        screen = opened(visit, schedule)
        (_, *rows) = screen.rows("schedule-times")
        assert {row["outcome"] for row in rows} == {"late"}
        assert f"{count} late. Each cell is an hour" in screen.text
        hours = re.findall(
            r'<i class="es-(\w+)" style="opacity:1.00" title="([^"]*)"', screen.markup
        )
        assert len(hours) == 7 * 24
        late = [words for tone, words in hours if tone == "amber"]
        assert len(late) == count
        for said in late:
            hour = datetime.strptime(said[:16], "%Y-%m-%d %H:%M").replace(tzinfo=UTC)
            assert hour.astimezone(ZoneInfo("Europe/Paris")).hour == 2, said
            assert said.endswith(": 1 late")
