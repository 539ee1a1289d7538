"""A drill on alerting: whoever looks, makes messages and sends them is killed, over and over.

Three workers look at rules and tell real receivers of alerts that fire and end all the time. They
are killed at random moments, and the database goes away twice. Afterwards the receivers' own
records are held against the database: nobody missed anything that was due, nobody was told of what
a silence held or somebody saw to, and a message came twice only where a kill or the receiver itself
explains it.
"""

import asyncio
import contextlib
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal

import httpx
import sqlalchemy as sa

from backend.core.context import Scope
from backend.core.database import Database, DatabaseUnavailableError, ReadTx, make_engine
from backend.managers.alerting.models import (
    AlertNoteRow,
    AlertRow,
    ChannelRow,
    MessageRow,
    NotificationRow,
)
from backend.managers.orchestrator.models import JobRow
from scripts.drills.alert_receivers import FIRST, FORGETS, HEEDS, NEXT, STALLS, Receivers
from scripts.drills.outages import hold_lock
from scripts.drills.rig import DrillError, Json, Rig
from tests.support.trail import audit_row

SETTINGS: Final = {"ALERTING__ALLOW_PRIVATE_CHANNELS": "true"}
WORKERS: Final = ("worker", "worker-2", "worker-3")
_TEAMS: Final = 10
_NEXT_AFTER: Final = 12
_AWAY_SECONDS: Final = 3.0
_CATCH_UP_SECONDS: Final = 240.0
_RESTARTS: Final = 2
# Of acts that others see when they are committed: two that overlap may each come first.
_OVERLAP: Final = timedelta(seconds=2)

Fate = Literal["ruled", "seen_to", "long", "brief", "expiring", "lifted", "kept"]
_FATES: Final[Sequence[Fate]] = (
    *("ruled", "seen_to", "long", "brief", "expiring"),
    *("ruled", "seen_to", "long", "lifted", "kept"),
)
_UNTIL_ALL_ARE_TOLD: Final = frozenset({"long", "lifted"})


@dataclass(slots=True)
class _Course:
    """What the drill did."""

    alerts: dict[str, Fate] = field(default_factory=dict)
    """That were raised, by their ids."""
    rules: int = 0
    kills: int = 0
    in_flight: Counter[str] = field(default_factory=Counter)
    """Messages that a worker was in the middle of when it was killed, and how often."""
    lifted_at: float = 0.0
    caught_up_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class _Kept:
    """What the database says afterwards."""

    alerts: Mapping[str, Any]
    notes: Mapping[str, Counter[str]]
    told: Sequence[Any]
    """Notifications, each with its channel's name and when its message was made."""

    def of(self, kind: str, *states: str) -> set[tuple[str, str]]:
        """Alerts and channels of notifications of a kind, in one of these states or in any."""
        return {
            (one.alert_id, one.name)
            for one in self.told
            if one.kind == kind and (not states or one.state in states)
        }


@dataclass(frozen=True, slots=True)
class AlertsReport:
    """What became of alerts and of who was to be told of them."""

    alerts: int
    notifications: int
    sent: int
    kills: int
    in_flight: int
    """Messages that were on their way at a kill."""
    unanswered: int
    again: Mapping[str, int]
    """By receiver, how often a message came again."""
    caught_up_seconds: float
    wrong: Sequence[str]

    def problems(self) -> list[str]:
        """What is wrong; nothing, when all is well."""
        return list(self.wrong)

    def __str__(self) -> str:
        """One line for people."""
        again = ", ".join(f"{name} {times}" for name, times in self.again.items())
        return (
            f"{self.alerts} alerts, {self.kills} kills with {self.in_flight} messages in flight, "
            f"the database away {_RESTARTS} times: {self.notifications} notifications, "
            f"{self.sent} sent; came again: {again} ({self.unanswered} went unanswered); all told "
            f"{self.caught_up_seconds:.1f} s after the last kill"
        )


async def kill_tellers(
    rig: Rig, rng: random.Random, *, alerts: int = 500, alert_seconds: int = 600, kills: int = 30
) -> AlertsReport:
    """Have so many alerts fire and end in this time, and kill one of three workers again and again.

    Raises:
        DrillError: The installation does not do what it is asked.
    """
    await rig.become_owner()
    course = _Course()
    async with Receivers().running() as receivers, _opened(rig.database_url) as database:
        await _set_up(rig, receivers)
        silences = {quiet: await _silence(rig, quiet) for quiet in ("lifted", "kept")}
        for name in WORKERS:
            await rig.start(name)
        async with asyncio.TaskGroup() as group:
            group.create_task(_strike(rig, database, course, _moments(rng, alert_seconds, kills)))
            for number in range(alerts):
                wait = rng.uniform(0, alert_seconds * 0.9)
                group.create_task(_live(rig, rng, course, number, wait))
        struck = time.monotonic()
        course.lifted_at = time.time()
        await _ask(rig, "POST", f"silences/{silences['lifted']}/expire")
        wrong = await _catch_up(rig, database, course)
        course.caught_up_seconds = time.monotonic() - struck
        kept = await _read(rig, database)
    wrong += _differences(course, kept, receivers)
    wrong += rig.logged_errors(allowed_statuses={503})[:3]
    return AlertsReport(
        alerts=len(kept.alerts),
        notifications=len(kept.told),
        sent=sum(one.state == "sent" for one in kept.told),
        kills=course.kills,
        in_flight=course.in_flight.total(),
        unanswered=receivers.unanswered.total(),
        again={name: receivers.again(name).total() for name in receivers.got},
        caught_up_seconds=course.caught_up_seconds,
        wrong=wrong,
    )


# --- what happens --------------------------------------------------------------------------------


async def _set_up(rig: Rig, receivers: Receivers) -> None:
    """Have all alerts go to all receivers."""
    ids = {}
    for name in receivers.got:
        said = {"name": name, "kind": "webhook", "url": receivers.address(name), "per_minute": 600}
        ids[name] = (await _ask(rig, "POST", "alert-channels", said))["id"]
    steps = [
        {"channels": [ids[name] for name in FIRST]},
        {"channels": [ids[NEXT]], "after_seconds": _NEXT_AFTER},
    ]
    policy = await _ask(rig, "POST", "alert-policies", {"name": "all", "steps": steps})
    tree = {
        "policy": policy["id"],
        "group_by": ["team"],
        "group_wait_seconds": 1,
        "group_interval_seconds": 1,
    }
    await _ask(rig, "PUT", "alert-routing", {"tree": tree, "inhibitions": []})


async def _silence(rig: Rig, quiet: str) -> str:
    ends_at = datetime.now(UTC) + timedelta(hours=2)
    said = {"matchers": f"quiet={quiet}", "ends_at": ends_at.isoformat(), "reason": "A drill"}
    made: str = (await _ask(rig, "POST", "silences", said))["id"]
    return made


async def _live(rig: Rig, rng: random.Random, course: _Course, number: int, wait: float) -> None:
    """One alert, from its beginning to what ends it; some are ended when all were told."""
    fate, lasts, seen_after = _FATES[number % len(_FATES)], rng.uniform(0, 8), rng.uniform(0, 2)
    labels = {"team": f"t{rng.randrange(_TEAMS)}"}
    await asyncio.sleep(wait)
    if fate == "ruled":
        course.rules += 1
        await _rule(rig, number, labels)
        await asyncio.sleep(lasts)
        await _end_rule(rig, number)
        return
    if fate in {"lifted", "kept"}:
        labels["quiet"] = fate
    said: Json = {"name": f"alert {number}", "severity": "warning", "labels": labels}
    if fate == "expiring":
        said["lasts_seconds"] = 10
    alert_id = (await _ask(rig, "POST", "alerts", said))["id"]
    course.alerts[alert_id] = fate
    if fate == "seen_to":
        await asyncio.sleep(seen_after)
        await _ask(rig, "POST", f"alerts/{alert_id}/acknowledge", {})
    elif fate == "brief":
        await asyncio.sleep(lasts)
        await _resolve(rig, alert_id)


async def _rule(rig: Rig, number: int, labels: Json) -> None:
    """Have a rule fire that does as long as nothing was logged by a source of its own."""
    rule = {
        "name": f"rule {number}",
        "condition": {
            "kind": "log",
            "compare": "<",
            "threshold": 1,
            "source": f"source-{number}",
            "window_seconds": 86_400,
        },
        "severity": "critical",
        "every_seconds": 10,
        "labels": {**labels, "number": str(number)},
    }
    await _ask(rig, "POST", "alert-rules", rule, known=409)
    deadline = time.monotonic() + _CATCH_UP_SECONDS
    while not (await _ask(rig, "GET", f"alerts?matchers=number={number}"))["items"]:
        if time.monotonic() > deadline:
            raise DrillError(f"rule {number} does not fire")
        await asyncio.sleep(1)


async def _end_rule(rig: Rig, number: int) -> None:
    at = datetime.now(UTC).isoformat()
    line = {"@timestamp": at, "message": "here", "source": f"source-{number}"}
    await _ask(rig, "POST", "logs", line)


async def _resolve(rig: Rig, alert_id: str) -> None:
    # Refused when it is over: an answer was lost when the database went away.
    await _ask(rig, "POST", f"alerts/{alert_id}/resolve", {}, known=409)


def _moments(rng: random.Random, seconds: float, kills: int) -> list[tuple[float, str]]:
    """When a worker is killed, by its name; and, without one, when the database goes away."""
    moments = [(rng.uniform(3, seconds), rng.choice(WORKERS)) for _ in range(kills)]
    parts = range(1, _RESTARTS + 1)
    return sorted(moments + [(seconds * part / (_RESTARTS + 1), "") for part in parts])


async def _strike(
    rig: Rig, database: Database, course: _Course, moments: Sequence[tuple[float, str]]
) -> None:
    """Kill workers, and take the database away."""
    began = time.monotonic()
    for moment, victim in moments:
        await asyncio.sleep(max(0.0, began + moment - time.monotonic()))
        if not victim:
            await _take_away(rig)
            continue
        # Frozen first: so one sees what it is in the middle of, and no more comes to that.
        await rig.freeze(victim)
        course.in_flight.update(await _in_flight(rig, database, rig.pid(victim)))
        await rig.kill(victim)
        course.kills += 1
        await rig.start(victim)


async def _take_away(rig: Rig) -> None:
    server = rig.where.server
    if server is None:
        await asyncio.to_thread(hold_lock, rig.database_url, _AWAY_SECONDS)
        return
    await asyncio.to_thread(server.stop)
    await asyncio.sleep(_AWAY_SECONDS)
    await asyncio.to_thread(server.start)
    await rig.until_serving()


async def _in_flight(rig: Rig, database: Database, pid: int) -> Collection[str]:
    """Messages whose jobs a process holds."""
    async with _reading(rig, database) as view:
        jobs = await view.execute(
            sa.select(JobRow.args).where(
                JobRow.tenant_id == rig.tenant_id,
                JobRow.kind == "alert.tell",
                JobRow.state == "running",
                JobRow.worker.contains(f":{pid}:"),
            )
        )
        return [str(job.args["message_id"]) for job in jobs]


async def _ask(
    rig: Rig, method: str, path: str, said: Json | None = None, *, known: int = 0
) -> Json:
    """Ask the API until it answers, while the database may be away.

    Raises:
        DrillError: It refuses, or does not answer for a minute.
    """
    for _ in range(120):
        with contextlib.suppress(httpx.TransportError):
            answer = await rig.http.request(method, f"/api/v1/{path}", json=said)
            if answer.is_success:
                body: Json = answer.json()
                return body
            if answer.status_code == known:
                return {}
            if answer.status_code not in {429, 503}:
                raise DrillError(f"{method} {path}: {answer.status_code} {answer.text[:300]}")
        await asyncio.sleep(0.5)
    raise DrillError(f"{method} {path}: no answer for a minute")


# --- what came of it -----------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def _opened(url: str) -> AsyncIterator[Database]:
    database = Database(make_engine(url, pool_size=2), audit_row=audit_row)
    try:
        yield database
    finally:
        await database.aclose()


@contextlib.asynccontextmanager
async def _reading(rig: Rig, database: Database) -> AsyncIterator[ReadTx]:
    """The tenant's, as soon as the database is there: its connections are lost with it."""
    scope = Scope("drill", rig.tenant_id)

    async def answers() -> bool:
        with contextlib.suppress(DatabaseUnavailableError):
            async with database.read(scope) as view:
                await view.execute(
                    sa.select(ChannelRow.id).where(ChannelRow.tenant_id == rig.tenant_id).limit(1)
                )
                return True
        return False

    await rig.until(answers, 60, "the database to answer")
    async with database.read(scope) as view:
        yield view


async def _catch_up(rig: Rig, database: Database, course: _Course) -> list[str]:
    """Wait until all were told, end what still fires, and wait until all were told of that."""
    waits = ""

    async def told() -> bool:
        nonlocal waits
        kept = await _read(rig, database)
        sent = Counter(one.alert_id for one in kept.told if one.state == "sent")
        late = [
            alert_id
            for alert_id, fate in course.alerts.items()
            if fate in _UNTIL_ALL_ARE_TOLD and sent[alert_id] < len(FIRST) + 1
        ]
        waits = f"{len(late)} alerts were not told by every step, first {late[:1]}"
        return not late

    async def over() -> bool:
        nonlocal waits
        kept = await _read(rig, database)
        open_ = [one.id for one in kept.alerts.values() if one.ended_at is None]
        not_told = kept.of("fired", "sent") - kept.of("resolved", "sent")
        under_way = [one for one in kept.told if one.state in {"waiting", "queued"}]
        missing = course.rules + len(course.alerts) - len(kept.alerts)
        waits = (
            f"{missing} alerts never fired, {len(open_)} are not over, {len(not_told)} not told "
            f"to be, {len(under_way)} notifications under way"
        )
        return not (missing or open_ or not_told or under_way)

    try:
        await rig.until(told, _CATCH_UP_SECONDS, "everybody to be told", pause=1)
        for alert_id in course.alerts:
            await _resolve(rig, alert_id)
        await rig.until(over, _CATCH_UP_SECONDS, "all alerts to be over", pause=1)
    except DrillError as exc:
        return [f"{exc}: {waits}"]
    return []


async def _read(rig: Rig, database: Database) -> _Kept:
    async with _reading(rig, database) as view:
        mine = rig.tenant_id
        alerts = await view.scalars(sa.select(AlertRow).where(AlertRow.tenant_id == mine))
        notes: dict[str, Counter[str]] = {}
        for note in await view.execute(
            sa.select(AlertNoteRow.alert_id, AlertNoteRow.kind).where(
                AlertNoteRow.tenant_id == mine
            )
        ):
            notes.setdefault(note.alert_id, Counter())[note.kind] += 1
        told = await view.execute(
            sa.select(
                NotificationRow.alert_id,
                NotificationRow.kind,
                NotificationRow.state,
                NotificationRow.message_id,
                ChannelRow.name,
                MessageRow.made_at,
            )
            .join(
                ChannelRow,
                sa.and_(
                    ChannelRow.tenant_id == NotificationRow.tenant_id,
                    ChannelRow.id == NotificationRow.channel_id,
                ),
            )
            .outerjoin(
                MessageRow,
                sa.and_(
                    MessageRow.tenant_id == NotificationRow.tenant_id,
                    MessageRow.id == NotificationRow.message_id,
                ),
            )
            .where(NotificationRow.tenant_id == mine)
        )
        return _Kept({one.id: one for one in alerts}, notes, told.all())


def _differences(course: _Course, kept: _Kept, receivers: Receivers) -> list[str]:
    """What the database and the receivers say that cannot be."""
    found = [
        f"alert {alert_id} fired {kept.notes[alert_id]['fired']} times and ended "
        f"{kept.notes[alert_id]['resolved']} times"
        for alert_id in kept.alerts
        if (kept.notes[alert_id]["fired"], kept.notes[alert_id]["resolved"]) != (1, 1)
    ]
    found += [f"alert {one} is lost" for one in course.alerts.keys() - kept.alerts.keys()]
    planned = {(alert_id, name) for alert_id in kept.alerts for name in (*FIRST, NEXT)}
    found += [f"nobody planned to tell {each}" for each in planned ^ kept.of("fired")]
    for one in kept.told:
        found += _wrong(one, course, kept, receivers)
    found += [f"told in two messages: {each}" for each in receivers.twice()]
    most = course.in_flight + receivers.unanswered
    for name in (HEEDS, NEXT, FORGETS, STALLS):
        for key, times in receivers.again(name).items():
            if times > (0 if name in {HEEDS, NEXT} else most[key]):
                found.append(f"{name} had message {key} {times + 1} times")
        for each in receivers.got[name]:
            if "kept" in each.quiet or ("lifted" in each.quiet and each.at < course.lifted_at):
                found.append(f"{name} was told of what a silence held")
    return [*found[:5], *([f"and {len(found) - 5} more"] if len(found) > 5 else [])]


def _wrong(one: Any, course: _Course, kept: _Kept, receivers: Receivers) -> list[str]:
    """What cannot be of one notification."""
    alert = kept.alerts[one.alert_id]
    what = f"{one.name} {one.kind} {one.alert_id}"
    if one.state == "sent":
        came = any(
            each.key == one.message_id and one.alert_id in each.alerts
            for each in receivers.got[one.name]
        )
        return _too_late(one, alert, what) if came else [f"{what} never came"]
    if one.state != "dropped" or one.kind != "fired":
        return [f"{what} is {one.state}"]
    if course.alerts.get(one.alert_id) in _UNTIL_ALL_ARE_TOLD:
        return [f"{what} was dropped"]
    return []


def _too_late(one: Any, alert: Any, what: str) -> list[str]:
    if one.kind == "fired":
        for by, at in (("over", alert.ended_at), ("seen to", alert.acknowledged_at)):
            if at is not None and one.made_at > at + _OVERLAP:
                return [f"{what} was told {one.made_at - at} after it was {by}"]
    return []
