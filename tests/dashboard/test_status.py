"""Status: the sentence, the strip, what nobody looked at, and who is told why."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from tests.dashboard.conftest import VIC

pytestmark = pytest.mark.page

UNTIL = datetime(2026, 11, 26, 9, 0, tzinfo=UTC)


def check(name, *, ok=True, required=True, uptime=1.0, detail=None):
    return {"name": name, "ok": ok, "required": required, "uptime": uptime, "detail": detail}


def answer(**parts):
    """What the platform tells of a day that was looked at throughout."""
    points = [
        {"at": (UTC_POINT + timedelta(minutes=n)).isoformat(), "status": "ready", "failing": []}
        for n in range(1440)
    ]
    return {
        "status": "ready",
        "since": UTC_POINT.isoformat(),
        "until": UNTIL.isoformat(),
        "step_seconds": 60,
        "uptime": 1.0,
        "measured": 1.0,
        "checks": [check("database"), check("mail_server", required=False)],
        "points": points,
        "incidents": [],
        **parts,
    }


UTC_POINT = UNTIL - timedelta(days=1)


def told(platform, **parts):
    platform.wire.alter("GET", "/api/v1/status", lambda _: answer(**parts))


class TestVerdict:
    @pytest.mark.parametrize(
        ("parts", "said"),
        [
            ({}, "Up All that the platform needs works."),
            (
                {
                    "status": "degraded",
                    "checks": [check("mail_server", ok=False, required=False)],
                },
                "Degraded Requests are served; Mail server fails.",
            ),
            (
                {
                    "status": "not_ready",
                    "checks": [
                        check("database", ok=False),
                        check("trace_collector", ok=False),
                        check("workers", ok=False, required=False),
                    ],
                },
                "Down Nothing is served: Database and Trace collector fail.",
            ),
        ],
    )
    def test_names_what_fails(self, visit, platform, parts, said):
        told(platform, **parts)
        assert said in visit("status", person=VIC).text


class TestUptime:
    @pytest.mark.parametrize(
        ("uptime", "measured", "said", "unsaid"),
        [
            (1.0, 1.0, "Up at 100 % of the looks", "Nobody looked"),
            (0.999999, 1.0, "Up at > 99.99 % of the looks", "Nobody looked"),
            (
                0.5,
                0.25,
                "Nobody looked in 75 % of the time, which is",
                "100 %",
            ),
            (None, 0.0, "Nobody looked in this time: whether it was up is not known.", "Up at"),
        ],
    )
    def test_tells_what_is_not_known_apart(self, visit, platform, uptime, measured, said, unsaid):
        told(platform, uptime=uptime, measured=measured, checks=[check("database", uptime=uptime)])
        text = visit("status", person=VIC).text
        assert said in text
        assert unsaid not in text


class TestIncidents:
    def test_are_listed_with_how_long_they_lasted(self, visit, platform):
        began = UNTIL - timedelta(hours=2)
        ended = began + timedelta(minutes=5)
        told(
            platform,
            incidents=[
                {
                    "name": "workers",
                    "started_at": UNTIL.isoformat(),
                    "ended_at": None,
                    "detail": None,
                },
                {
                    "name": "database",
                    "started_at": began.isoformat(),
                    "ended_at": ended.isoformat(),
                    "detail": None,
                },
            ],
        )
        rows = visit("status", person=VIC).rows("status-incidents")
        assert [(row["what"], row["lasted"]) for row in rows] == [
            ("Workers", "goes on"),
            ("Database", "5.0 min"),
        ]

    def test_of_a_quiet_day_are_said_to_be_none(self, visit, platform):
        told(platform)
        assert "Nothing failed in the last day." in visit("status", person=VIC).text


class TestReal:
    def test_a_viewer_sees_how_it_is_and_not_why(self, visit, platform):
        screen = visit("status", person=VIC)
        assert "What the platform needs" in screen.text
        assert {row["what"] for row in screen.rows("status-checks")} >= {"Database", "Workers"}
        assert not platform.called("GET", "platform/status")

    def test_who_runs_the_platform_sees_what_each_check_says(self, visit, platform):
        screen = visit("status")
        rows = {row["what"]: row for row in screen.rows("status-checks")}
        assert rows["Database"]["detail"].startswith("sqlite")
        assert rows["Database"]["now"] == "works"
        assert platform.called("GET", "platform/status")[-1].query == {"hours": "24"}
