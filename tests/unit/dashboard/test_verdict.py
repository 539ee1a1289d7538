"""The verdict: for each situation one sentence, which names its cause."""

from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import pytest

from backend.managers.dashboard._verdict import (
    SEVERITIES,
    CheckFact,
    EndingFact,
    Facts,
    SloFact,
    SlowFact,
    judge,
)

WELL = Facts(
    checks=[
        CheckFact("database", ok=True, required=True, detail="sqlite"),
        CheckFact("mail_server", ok=True, required=False, detail="250 ready"),
    ],
    age_seconds=4,
    workers=2,
    worker_seen_at=datetime(2026, 12, 1, 12, 0, tzinfo=UTC),
    waiting_seconds=0.5,
    requests=1200,
    error_rate=0.0,
    p95_ms=42.4,
    settled=100,
    bounced=1,
    sequencer_seconds=0.2,
    skew_seconds=0.01,
    disk_free=0.6,
    ending=[EndingFact("The certificate of example.test", 80)],
    slos=[SloFact("1", "API errors", "met"), SloFact("2", "Failover", "not_measured", "No drill.")],
)
IDLE: dict[str, Any] = {
    "requests": 0,
    "error_rate": None,
    "p95_ms": None,
    "settled": 0,
    "bounced": 0,
}
READ_ONLY = CheckFact("database", ok=False, required=True, detail="The database is read-only")
REFUSED = CheckFact("mail_server", ok=False, required=False, detail="connection refused")
AGO = datetime(2026, 12, 1, 11, 0, tzinfo=UTC)

SITUATIONS: dict[str, tuple[Any, ...]] = {
    "all good": (
        {},
        "ok", "well", "/status",
        (
            "All works: 1200 requests in the last 15 minutes, 95 % of them within 42 ms, "
            "99 % of 100 messages taken."
        ),
    ),
    "worker stopped": (
        {"workers": 0, "worker_seen_at": AGO, "due": True},
        "critical", "workers", "/jobs?state=ready",
        (
            "No worker was seen since 2026-12-01 11:00 UTC, and work waits: "
            "no mail goes out and no job runs."
        ),
    ),
    "all workers draining": (
        {"workers": 0, "draining": 2, "worker_seen_at": AGO, "due": True},
        "critical", "workers", "/jobs?state=ready",
        "2 workers are draining and none takes work, and work waits: no mail and no job is begun.",
    ),
    "the only worker draining and no work": (
        {"workers": 0, "draining": 1, "worker_seen_at": AGO},
        "warning", "workers", "/jobs?state=ready",
        "1 worker is draining and none takes work: no mail and no job is begun.",
    ),
    "no worker and no work": (
        {"workers": 0, "worker_seen_at": None},
        "warning", "workers", "/jobs?state=ready",
        "No worker was ever seen: no mail goes out and no job runs.",
    ),
    "relay down": (
        {"checks": [WELL.checks[0], REFUSED], "open_messages": 7},
        "critical", "relay", "/emails?state=deferred",
        "The mail server takes nothing, and 7 messages wait: connection refused.",
    ),
    "a tenant's own relay down": (
        {"relay": "535 authentication failed.", "open_messages": 1},
        "critical", "relay", "/emails?state=deferred",
        "The mail server takes nothing, and 1 message waits: 535 authentication failed.",
    ),
    "13 % bounce": (
        {"bounced": 13, "reasons": {"550 no such user": 11, "552 full": 2}},
        "critical", "bounces", "/emails?state=bounced",
        (
            "13 % of the mail bounced in the last 15 minutes (13 of 100), "
            "most often: 550 no such user."
        ),
    ),
    "one of two bounces": (
        {"settled": 2, "bounced": 1},
        "warning", "bounces", "/emails?state=bounced",
        "50 % of the mail bounced in the last 15 minutes (1 of 2).",
    ),
    "one tenant slow": (
        {"slow": [SlowFact("Acme", 2400.0, "7"), SlowFact("Globex", 1200.0)]},
        "warning", "slow_tenant", "/tenants?id=7",
        "Requests of Acme are slow, and 1 more: 95 % within 2400 ms.",
    ),
    "slow for oneself": (
        {"p95_ms": 3100.0},
        "warning", "slow", "/traces",
        "Requests are slow: 95 % within 3100 ms in the last 15 minutes.",
    ),
    "database read-only": (
        {"checks": [READ_ONLY, WELL.checks[1]]},
        "critical", "database", "/status",
        "Nothing can be written: The database is read-only.",
    ),
    "no traffic at all": (
        IDLE,
        "idle", "no_traffic", "/status",
        (
            "Nothing was asked of it and no mail was settled in the last 15 minutes: "
            "whether it serves well is not known."
        ),
    ),
    "requests fail": (
        {"error_rate": 0.06},
        "critical", "errors", "/traces?failed=true",
        "6 % of 1200 requests failed in the last 15 minutes.",
    ),
    "Elasticsearch down": (
        {"export": "logs.example.test does not answer."},
        "warning", "export", "/logs",
        "Log lines are not exported and wait here: logs.example.test does not answer.",
    ),
    "clock ahead": (
        {"skew_seconds": 240.0},
        "warning", "clock", "/status",
        (
            "This machine's clock is 4 minutes ahead of the database's: "
            "times and log-ins may be wrong."
        ),
    ),
    "clock behind": (
        {"skew_seconds": -7.5},
        "warning", "clock", "/status",
        (
            "This machine's clock is 7 seconds behind the database's: "
            "times and log-ins may be wrong."
        ),
    ),
    "disk nearly full": (
        {"disk_free": 0.02},
        "critical", "disk", "/status", "Only 2 % of the disk is free.",
    ),
    "disk filling": (
        {"disk_free": 0.08},
        "warning", "disk", "/status", "Only 8 % of the disk is free.",
    ),
    "certificate about to end": (
        {"ending": [*WELL.ending, EndingFact("The signing key", 1)]},
        "warning", "ending", "/keys", "The signing key ends in 1 day.",
    ),
    "certificate ended": (
        {"ending": [EndingFact("The certificate of example.test", -1)]},
        "critical", "ending", "/keys", "The certificate of example.test has ended.",
    ),
    "sequencer behind": (
        {"sequencer_seconds": 600.0},
        "warning", "sequencer", "/status",
        "Records have had no number for 10 minutes: events, exports and the audit trail wait.",
    ),
    "queue grows": (
        {"waiting_seconds": 900.0},
        "warning", "queue", "/jobs?state=ready",
        "The oldest job has been due for 15 minutes: 2 workers cannot keep up.",
    ),
    "nobody looks": (
        {"age_seconds": 7200.0},
        "unknown", "not_measured", "/status",
        "The platform's health was looked at 2 hours ago: how it is now is not known.",
    ),
    "nobody ever looked": (
        {"age_seconds": None},
        "unknown", "not_measured", "/status",
        "Nobody has looked at the platform's health yet.",
    ),
    "an objective missed": (
        {"slos": [SloFact("1", "A", "at_risk"), SloFact("2", "API errors", "missed", "99 %.")]},
        "warning", "slo", "/slos?id=2", "API errors is missed: 99 %.",
    ),
    "something else required": (
        {"checks": [*WELL.checks, CheckFact("collector", ok=False, required=True)]},
        "critical", "check", "/status",
        "The platform is not ready: collector: it does not work.",
    ),
    "something else not required": (
        {"checks": [*WELL.checks, CheckFact("events", ok=False, required=False, detail="late")]},
        "warning", "check", "/status", "events does not work: late.",
    ),
}  # fmt: skip


class TestJudge:
    @pytest.mark.parametrize("name", SITUATIONS)
    def test_names_the_cause(self, name: str) -> None:
        changed, severity, cause, address, sentence = SITUATIONS[name]
        found = judge(replace(WELL, **changed))
        assert (found.severity, found.cause, found.address) == (severity, cause, address)
        assert found.sentence == sentence
        assert not found.others

    def test_tells_the_cause_before_what_follows_from_it(self) -> None:
        # The database is away: nothing was answered, no worker beats, all objectives are missed.
        found = judge(
            replace(
                WELL,
                checks=[READ_ONLY, REFUSED],
                workers=0,
                due=True,
                error_rate=0.9,
                slos=[SloFact("1", "API errors", "missed")],
            )
        )
        assert found.cause == "database"
        assert [one.cause for one in found.others] == ["workers", "errors", "relay", "slo"]

    def test_tells_the_worse_before_the_earlier(self) -> None:
        found = judge(replace(WELL, skew_seconds=60.0, bounced=40))
        assert (found.cause, [one.cause for one in found.others]) == ("bounces", ["clock"])

    def test_without_traffic_a_failure_is_told_and_not_the_silence(self) -> None:
        found = judge(replace(WELL, **IDLE, workers=0, due=True))
        assert (found.cause, [one.cause for one in found.others]) == ("workers", ["no_traffic"])

    def test_not_to_know_is_never_well(self) -> None:
        for facts in (Facts(), replace(WELL, age_seconds=None), replace(WELL, **IDLE)):
            assert judge(facts).severity != "ok"
        assert "0 %" not in judge(replace(WELL, **IDLE)).sentence

    def test_an_objective_that_is_not_measured_is_no_alarm(self) -> None:
        # It is shown as what it is; the platform is no worse for it.
        only = [SloFact("2", "Failover", "not_measured", "No drill.")]
        assert judge(replace(WELL, slos=only)).severity == "ok"

    def test_severities_stand_from_best_to_worst(self) -> None:
        made: list[dict[str, Any]] = [
            {},
            IDLE,
            {"skew_seconds": 9.0},
            {"age_seconds": None},
            {"disk_free": 0.01},
        ]
        order = [judge(replace(WELL, **changed)).severity for changed in made]
        assert order == list(SEVERITIES)
        assert all(SEVERITIES.index(a) < SEVERITIES.index(b) for a, b in pairwise(order))

    def test_a_share_is_never_rounded_to_all_or_none(self) -> None:
        found = judge(replace(WELL, settled=10_000, bounced=1)).sentence
        assert "over 99.9 % of 10000 messages taken" in found
