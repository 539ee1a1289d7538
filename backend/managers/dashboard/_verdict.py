"""The verdict of the overview: facts in, one sentence out. No I/O and no clock.

Each rule looks for one cause. The worst finding is told; of equally bad ones the first rule's, for
rules stand in the order of causes: without a database nothing else can work, and without a worker
mail waits that no mail server refuses. What is not known is never well: a platform that nobody
looks at, and one that nothing asks anything of, are told apart from one that works.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Literal

from backend.core.cursors import LAG_SECONDS
from backend.managers.monitoring import DISK_LOW, SKEW_SECONDS

Severity = Literal["ok", "idle", "warning", "unknown", "critical"]
SEVERITIES: Final[tuple[Severity, ...]] = ("ok", "idle", "warning", "unknown", "critical")
"""From the best to the worst: not to know is worse than a warning, which somebody measured."""

OLD_SECONDS: Final = 120.0
"""Twelve looks of the probe that did not come."""
WAITING_SECONDS: Final = 300.0
SLOW_MS: Final = 1000.0
DISK_FULL: Final = 0.03
DAYS_LEFT: Final = 14
FAILING: Final = 0.01
FAILING_BADLY: Final = 0.05
BOUNCED: Final = 0.05
BOUNCED_BADLY: Final = 0.10
FEW_MESSAGES: Final = 10
"""Below so many a share says little: one of two that bounces is a warning and no outage."""

_STATUS: Final = "/status"
_TRACES: Final = "/traces"
_TOLD: Final = frozenset(
    {"database", "mail_server", "workers", "disk", "sequencer", "clock", "log_export"}
)
"""Checks of which a rule of their own tells, by what was measured of them."""


@dataclass(frozen=True, slots=True)
class CheckFact:
    """What one check of the platform's health said last."""

    name: str
    ok: bool
    required: bool
    detail: str = ""


@dataclass(frozen=True, slots=True)
class SloFact:
    """An objective as it stands; ``reason`` is a sentence."""

    id: str
    name: str
    state: Literal["met", "at_risk", "missed", "not_measured"]
    reason: str = ""


@dataclass(frozen=True, slots=True)
class SlowFact:
    """Whose requests are slow, by name."""

    name: str
    p95_ms: float
    id: str = ""


@dataclass(frozen=True, slots=True)
class EndingFact:
    """Something without which somebody is kept out, and in how many days it ends.

    Below 0: it has ended. ``address`` is of the page that shows it.
    """

    what: str
    days: int
    address: str = "/keys"


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """All that the sentence is made of; None is what was not measured.

    Attributes:
        window: Of which time counts are, for people: ``the last 15 minutes``.
        checks: Of the platform's health.
        age_seconds: Of the newest look at the platform's health.
        workers: That take work.
        draining: Workers that take nothing more.
        worker_seen_at: When any was seen last.
        due: Whether jobs are due.
        waiting_seconds: How long the oldest of them has been.
        requests: Of the window.
        error_rate: Share of them that the platform failed to serve.
        p95_ms: How long they took.
        slow: Tenants whose requests are slow, where one looks across tenants.
        settled: Messages of the window of which the end is known.
        bounced: Those of them that nobody took.
        partial: Those that some of their recipients' servers took.
        open_messages: That wait to be delivered.
        reasons: Why messages bounced, by how many.
        relay: What the mail server says that takes the mail; None: it works, or nobody knows.
        export: What the log's export says; None: it works, or there is none.
        sequencer_seconds: Age of the oldest record that has no number yet.
        skew_seconds: The process's clock before the database's.
        disk_free: Share of the disk that is free.
        ending: What programs are let in by, with its end.
        slos: The objectives that are looked at.
    """

    window: str = "the last 15 minutes"
    checks: Sequence[CheckFact] = ()
    age_seconds: float | None = None
    workers: int | None = None
    draining: int = 0
    worker_seen_at: datetime | None = None
    due: bool = False
    waiting_seconds: float | None = None
    requests: int = 0
    error_rate: float | None = None
    p95_ms: float | None = None
    slow: Sequence[SlowFact] = ()
    settled: int = 0
    bounced: int = 0
    partial: int = 0
    open_messages: int = 0
    reasons: Mapping[str, int] = field(default_factory=dict)
    relay: str | None = None
    export: str | None = None
    sequencer_seconds: float | None = None
    skew_seconds: float | None = None
    disk_free: float | None = None
    ending: Sequence[EndingFact] = ()
    slos: Sequence[SloFact] = ()


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is not as it should be.

    Attributes:
        severity: How bad.
        cause: A word for programs.
        sentence: For people, with the cause.
        address: Of the console's page that shows the rows.
    """

    severity: Severity
    cause: str
    sentence: str
    address: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """The worst finding, and the others behind it, the worst first."""

    severity: Severity
    cause: str
    sentence: str
    address: str
    others: Sequence[Finding] = ()


def judge(facts: Facts) -> Verdict:
    """Say in one sentence how it is."""
    found = [finding for rule in _RULES if (finding := rule(facts)) is not None]
    # Sorting is stable: of equally bad findings the first rule's stays first.
    found.sort(key=lambda one: -SEVERITIES.index(one.severity))
    worst = found[0] if found else _well(facts)
    return Verdict(worst.severity, worst.cause, worst.sentence, worst.address, found[1:])


def _well(facts: Facts) -> Finding:
    said = [f"{_count(facts.requests, 'request')} in {facts.window}"]
    if facts.requests and facts.p95_ms is not None:
        said.append(f"95 % of them within {facts.p95_ms:.0f} ms")
    if facts.settled:
        taken = facts.settled - facts.bounced - facts.partial
        said.append(
            f"{_percent(taken / facts.settled)} of {_count(facts.settled, 'message')} taken"
        )
    return Finding("ok", "well", f"All works: {', '.join(said)}.", _STATUS)


# --- what the platform stands on --------------------------------------------------------------


def _database(facts: Facts) -> Finding | None:
    check = _failing_check(facts, "database")
    if check is None:
        return None
    said = check.detail.rstrip(".") or "the database does not take it"
    return Finding("critical", "database", f"Nothing can be written: {said}.", _STATUS)


def _disk(facts: Facts) -> Finding | None:
    free = facts.disk_free
    if free is None or free >= DISK_LOW:
        return None
    severity: Severity = "critical" if free < DISK_FULL else "warning"
    return Finding(severity, "disk", f"Only {_percent(free)} of the disk is free.", _STATUS)


def _other_required(facts: Facts) -> Finding | None:
    failing = [
        check
        for check in facts.checks
        if not check.ok and check.required and check.name not in _TOLD
    ]
    if not failing:
        return None
    first = failing[0]
    return Finding(
        "critical", "check", f"The platform is not ready: {first.name}: {_said(first)}.", _STATUS
    )


def _unseen(facts: Facts) -> Finding | None:
    age = facts.age_seconds
    if age is None:
        return Finding(
            "unknown", "not_measured", "Nobody has looked at the platform's health yet.", _STATUS
        )
    if age <= OLD_SECONDS:
        return None
    return Finding(
        "unknown",
        "not_measured",
        f"The platform's health was looked at {_age(age)} ago: how it is now is not known.",
        _STATUS,
    )


# --- what it does -----------------------------------------------------------------------------


def _workers(facts: Facts) -> Finding | None:
    if facts.workers is None or facts.workers:
        return None
    at = facts.worker_seen_at
    seen = f"No worker was seen since {at:%Y-%m-%d %H:%M} UTC" if at else "No worker was ever seen"
    comes = "no mail goes out and no job runs"
    if few := facts.draining:
        seen = f"{_count(few, 'worker')} {'is' if few == 1 else 'are'} draining and none takes work"
        comes = "no mail and no job is begun"
    waits = facts.due or facts.open_messages
    said = ", and work waits" if waits else ""
    return Finding(
        "critical" if waits else "warning",
        "workers",
        f"{seen}{said}: {comes}.",
        "/jobs?state=ready",
    )


def _relay(facts: Facts) -> Finding | None:
    check = _failing_check(facts, "mail_server")
    said = facts.relay or (check and _said(check))
    if not said:
        return None
    few = facts.open_messages
    waiting = f", and {_count(few, 'message')} {'waits' if few == 1 else 'wait'}" if few else ""
    return Finding(
        "critical" if few else "warning",
        "relay",
        f"The mail server takes nothing{waiting}: {said.rstrip('.')}.",
        "/emails?state=deferred",
    )


def _errors(facts: Facts) -> Finding | None:
    rate = facts.error_rate
    if not facts.requests or rate is None or rate < FAILING:
        return None
    return Finding(
        "critical" if rate >= FAILING_BADLY else "warning",
        "errors",
        f"{_percent(rate)} of {_count(facts.requests, 'request')} failed in {facts.window}.",
        "/traces?failed=true",
    )


def _bounces(facts: Facts) -> Finding | None:
    share = facts.bounced / facts.settled if facts.settled else 0.0
    if share < BOUNCED:
        return None
    many = share >= BOUNCED_BADLY and facts.settled >= FEW_MESSAGES
    why = max(facts.reasons, key=lambda one: (facts.reasons[one], one), default="")
    return Finding(
        "critical" if many else "warning",
        "bounces",
        f"{_percent(share)} of the mail bounced in {facts.window} "
        f"({facts.bounced} of {facts.settled})"
        + (f", most often: {why.rstrip('.')}." if why else "."),
        "/emails?state=bounced",
    )


def _queue(facts: Facts) -> Finding | None:
    # Without a worker everything waits, and that is told as its cause.
    if not facts.workers or (facts.waiting_seconds or 0) < WAITING_SECONDS:
        return None
    return Finding(
        "warning",
        "queue",
        f"The oldest job has been due for {_age(facts.waiting_seconds or 0)}: "
        f"{_count(facts.workers, 'worker')} cannot keep up.",
        "/jobs?state=ready",
    )


def _one_slow(facts: Facts) -> Finding | None:
    if not facts.slow:
        return None
    worst = max(facts.slow, key=lambda one: one.p95_ms)
    more = len(facts.slow) - 1
    others = f", and {more} more" if more else ""
    return Finding(
        "warning",
        "slow_tenant",
        f"Requests of {worst.name} are slow{others}: 95 % within {worst.p95_ms:.0f} ms.",
        f"/tenants?id={worst.id}",
    )


def _slow(facts: Facts) -> Finding | None:
    if facts.slow or not facts.requests or facts.p95_ms is None or facts.p95_ms < SLOW_MS:
        return None
    return Finding(
        "warning",
        "slow",
        f"Requests are slow: 95 % within {facts.p95_ms:.0f} ms in {facts.window}.",
        _TRACES,
    )


# --- what it keeps ----------------------------------------------------------------------------


def _skew(facts: Facts) -> Finding | None:
    skew = facts.skew_seconds
    if skew is None or abs(skew) < SKEW_SECONDS:
        return None
    side = "ahead of" if skew > 0 else "behind"
    return Finding(
        "warning",
        "clock",
        f"This machine's clock is {_age(abs(skew))} {side} the database's: "
        "times and log-ins may be wrong.",
        _STATUS,
    )


def _sequencer(facts: Facts) -> Finding | None:
    behind = facts.sequencer_seconds
    late = behind is not None and behind >= LAG_SECONDS
    if not late and _failing_check(facts, "sequencer") is None:
        return None
    lasting = f" for {_age(behind)}" if late and behind else ""
    return Finding(
        "warning",
        "sequencer",
        f"Records have had no number{lasting}: events, exports and the audit trail wait.",
        _STATUS,
    )


def _export(facts: Facts) -> Finding | None:
    check = _failing_check(facts, "log_export")
    said = facts.export or (check and _said(check))
    if not said:
        return None
    return Finding(
        "warning",
        "export",
        f"Log lines are not exported and wait here: {said.rstrip('.')}.",
        "/logs",
    )


def _ending(facts: Facts) -> Finding | None:
    soon = [one for one in facts.ending if one.days <= DAYS_LEFT]
    if not soon:
        return None
    first = min(soon, key=lambda one: one.days)
    if first.days < 0:
        return Finding("critical", "ending", f"{first.what} has ended.", first.address)
    when = "today" if not first.days else f"in {_count(first.days, 'day')}"
    return Finding("warning", "ending", f"{first.what} ends {when}.", first.address)


def _other_check(facts: Facts) -> Finding | None:
    failing = [
        check
        for check in facts.checks
        if not check.ok and not check.required and check.name not in _TOLD
    ]
    if not failing:
        return None
    first = failing[0]
    return Finding("warning", "check", f"{first.name} does not work: {_said(first)}.", _STATUS)


def _objectives(facts: Facts) -> Finding | None:
    for state, words in (("missed", "is missed"), ("at_risk", "is at risk")):
        for one in facts.slos:
            if one.state == state:
                said = f": {one.reason.rstrip('.')}" if one.reason else ""
                where = f"/slos?id={one.id}"
                return Finding("warning", "slo", f"{one.name} {words}{said}.", where)
    return None


def _idle(facts: Facts) -> Finding | None:
    # Before anything was asked there is no share of errors, and 0 % would be a lie.
    if facts.requests or facts.settled:
        return None
    return Finding(
        "idle",
        "no_traffic",
        f"Nothing was asked of it and no mail was settled in {facts.window}: "
        "whether it serves well is not known.",
        _STATUS,
    )


_RULES: Final[tuple[Callable[[Facts], Finding | None], ...]] = (
    _database,
    _disk,
    _other_required,
    _unseen,
    _workers,
    _relay,
    _errors,
    _bounces,
    _queue,
    _one_slow,
    _slow,
    _skew,
    _sequencer,
    _export,
    _ending,
    _other_check,
    _objectives,
    _idle,
)


def _failing_check(facts: Facts, name: str) -> CheckFact | None:
    return next((one for one in facts.checks if one.name == name and not one.ok), None)


def _said(check: CheckFact) -> str:
    return check.detail.rstrip(".") or "it does not work"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _percent(share: float) -> str:
    text = f"{100 * share:.1f}".removesuffix(".0")
    # 9995 of 10 000 are not all of them, and one of 10 000 is not none.
    if text == "100" and share < 1:
        return "over 99.9 %"
    return "under 0.1 %" if text == "0" and share > 0 else f"{text} %"


def _age(seconds: float) -> str:
    for size, noun in ((86_400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= 2 * size:
            return _count(int(seconds // size), noun)
    return _count(int(seconds), "second")
