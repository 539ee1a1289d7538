"""A drill on the rules that ship: each made to happen for real, and told to whom it is for.

An installation with two workers takes every rule of the catalogue, and all that they are about
happens to it at the same time. Each has to fire after its hold and not before, reach its own
channel once, and be over after its clear-hold. ``scale`` shortens holds and windows, as whoever
changes a rule of the catalogue may; the product knows nothing of that.
"""

import asyncio
import contextlib
import json
import random
import subprocess
import time
from collections import Counter
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import httpx

from scripts.drills.catalogue_causes import CAUSES, SETTINGS, STOPPED, Stage
from scripts.drills.rig import DrillError, Json, Rig, Where, open_rig
from tests.support.hooks import HookServer

SECURITY: Final = frozenset(
    {
        *("data-breach-attempt", "failed-sign-ins", "denied-acts", "key-budget", "audit-chain"),
        *("canary", "administrator-added", "administrator-promoted"),
    }
)
RULES: Final = tuple(rule for rules in CAUSES.values() for rule in rules)
_CHANNELS: Final = ("critical", "warning", "info", "security")
_DISK: Final = "1g"
_LEAST_WINDOW: Final = 60
_SLACK_SECONDS: Final = 240.0
"""For looks, probes and telling, on a machine that others use as well."""
_EARLY_SECONDS: Final = 1.0
_OFTEN: Final = 10


@dataclass(frozen=True, slots=True)
class _Told:
    at: float
    channel: str
    key: str
    kind: str
    alert: str


class _Receivers(HookServer):
    """One for each severity, and one for what is about security, by their paths."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[_Told] = []

    async def take(self, path: str, headers: Mapping[str, str], body: bytes) -> int:
        """Note which alerts a message is about."""
        said = json.loads(body)
        self.told += [
            _Told(time.time(), path.strip("/"), headers["webhook-id"], said["kind"], one["id"])
            for one in said["alerts"]
        ]
        return 204


@dataclass(slots=True)
class Course:
    """What became of a rule; times are of the clock, in seconds."""

    rule: str
    severity: str
    channel: str
    hold: int
    clear: int
    window: int
    by_target: bool
    """Whether each target has an alert of its own."""
    began: float = 0.0
    ended: float = 0.0
    fired: float | None = None
    over: float | None = None
    told: list[_Told] = field(default_factory=list)
    """Of the alert that the cause is about."""
    strays: int = 0
    """Messages of its alerts that came to another channel, or again."""

    def problems(self) -> list[str]:
        """What is wrong with it."""
        found = []
        times = Counter(one.kind for one in self.told)
        if self.fired is None:
            return [f"{self.rule} never fired"]
        after = self.fired - self.began
        if after < self.hold - _EARLY_SECONDS:
            found.append(f"{self.rule} fired {after:.1f} s after its cause: it holds {self.hold} s")
        if after > self.hold + self.window + _SLACK_SECONDS:
            found.append(f"{self.rule} fired {after:.0f} s after its cause began")
        if times["alert.fired"] != 1:
            found.append(f"{self.rule} was told {times['alert.fired']} times")
        if self.strays:
            found.append(f"{self.rule}: {self.strays} messages not by {self.channel}, or again")
        if self.over is None:
            return [*found, f"{self.rule} is never over"]
        if self.over - self.ended < self.clear - _EARLY_SECONDS:
            found.append(f"{self.rule} was over {self.over - self.ended:.1f} s after its cause")
        if times["alert.resolved"] != 1:
            found.append(f"{self.rule} was told to be over {times['alert.resolved']} times")
        return found

    def __str__(self) -> str:
        """A line of the table."""
        told = min((one.at for one in self.told if one.kind == "alert.fired"), default=None)
        return (
            f"     {self.rule:<23} {self.severity:<8} {self.channel:<8} {self.hold:>5} "
            f"{_after(self.fired, self.began)} {_after(told, self.began)} "
            f"{_after(self.ended, self.began)} {_after(self.over, self.ended)} {self.clear:>5} "
            f"{self.window:>6} {len(self.told):>4}"
        )


def _after(at: float | None, before: float) -> str:
    return f"{'-':>8}" if at is None else f"{at - before:>8.1f}"


@dataclass(frozen=True, slots=True)
class CatalogueReport:
    """What became of every rule."""

    courses: Sequence[Course]
    wrong: Sequence[str]

    def problems(self) -> list[str]:
        """What is wrong; nothing, when all is well."""
        return [problem for one in self.courses for problem in one.problems()] + list(self.wrong)

    def __str__(self) -> str:
        """A line and a table for people; all times in seconds."""
        fired = sum(one.fired is not None for one in self.courses)
        over = sum(one.over is not None for one in self.courses)
        head = f"{len(self.courses)} rules: {fired} fired, {over} are over"
        table = (
            f"     {'rule':<23} {'severity':<8} {'channel':<8} {'hold':>5} {'fired':>8} "
            f"{'told':>8} {'lasted':>8} {'over':>8} {'clear':>5} {'window':>6} {'told':>4}"
        )
        return "\n".join([head, table, *map(str, self.courses)])


async def catalogue(
    where: Where,
    rng: random.Random,
    folder: Path,
    *,
    scale: float = 1.0,
) -> CatalogueReport:
    """Have every rule of the catalogue fire and end, all at the same time.

    But for the daily report, which the clock alone brings.

    Args:
        where: The database.
        rng: Of all random choices.
        folder: Of the installation; its data gets a small disk of its own.
        scale: By which holds and windows are multiplied.

    Raises:
        DrillError: The installation does not do what it is asked, or there is no small disk.
    """
    async with (
        _small_disk(folder / "data") as disk,
        open_rig(folder, where, SETTINGS) as rig,
        _Receivers().running() as receivers,
    ):
        await rig.become_owner()
        for name in ("worker", STOPPED):
            await rig.start(name)
        await _set_up(rig, receivers)
        courses = [await _adopt(rig, rule, scale) for rule in RULES]
        return await _Drill(rig, receivers, courses).hold(rng, disk)


@asynccontextmanager
async def _small_disk(folder: Path) -> AsyncIterator[Path]:
    await asyncio.to_thread(folder.mkdir, parents=True)
    mount = ("mount", "-t", "tmpfs", "-o", f"size={_DISK},mode=700", "tmpfs", str(folder))
    try:
        await asyncio.to_thread(subprocess.run, mount, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        raise DrillError(f"only root can mount a small disk at {folder}") from None
    try:
        yield folder
    finally:
        unmount = ("umount", "-l", str(folder))
        await asyncio.to_thread(subprocess.run, unmount, check=False, capture_output=True)


async def _ask(rig: Rig, method: str, path: str, said: Json | None = None) -> Any:
    answer = await rig.http.request(method, f"/api/v1/{path}", json=said)
    if not answer.is_success:
        raise DrillError(f"{method} {path}: {answer.status_code} {answer.text[:300]}")
    return answer.json()


async def _set_up(rig: Rig, receivers: _Receivers) -> None:
    """A channel for each severity, and one for security."""
    policies = {}
    for name in _CHANNELS:
        url = f"http://127.0.0.1:{receivers.port}/{name}"
        said: Json = {"name": name, "kind": "webhook", "url": url, "per_minute": 600}
        channel = await _ask(rig, "POST", "alert-channels", said)
        said = {"name": name, "steps": [{"channels": [channel["id"]]}]}
        policies[name] = (await _ask(rig, "POST", "alert-policies", said))["id"]
    tree = {
        "policy": policies["info"],
        "group_by": ["..."],
        "group_wait_seconds": 0,
        "group_interval_seconds": 0,
        "children": [
            {"matchers": 'about="security"', "policy": policies["security"]},
            {"matchers": 'severity="critical"', "policy": policies["critical"]},
            {"matchers": 'severity="warning"', "policy": policies["warning"]},
        ],
    }
    await _ask(rig, "PUT", "alert-routing", {"tree": tree})


async def _adopt(rig: Rig, rule: str, scale: float) -> Course:
    """Take a rule of the catalogue, and change it as its owner may."""
    made = await _ask(rig, "POST", f"alert-catalogue/{rule}")
    condition = made["condition"]
    for name, least in (("window_seconds", _LEAST_WINDOW), ("minutes", 2)):
        if name in condition:
            condition[name] = max(least, round(condition[name] * scale))
    kept = ("name", "severity", "no_data", "summary", "runbook_url")
    said: Json = {name: made[name] for name in kept} | {
        "condition": condition,
        "hold_seconds": round(made["hold_seconds"] * scale),
        "clear_seconds": round(made["clear_seconds"] * scale),
        "every_seconds": made["every_seconds"] if scale == 1 else _OFTEN,
        "labels": {"rule": rule} | ({"about": "security"} if rule in SECURITY else {}),
    }
    await _ask(rig, "PUT", f"alert-rules/{made['id']}", said)
    return Course(
        rule=rule,
        severity=made["severity"],
        channel="security" if rule in SECURITY else made["severity"],
        hold=said["hold_seconds"],
        clear=said["clear_seconds"],
        window=condition.get("window_seconds", 60 * condition.get("minutes", 0)),
        by_target=bool(condition.get("by")),
    )


class _Drill:
    """Causes at work, and what is seen of their alerts from outside."""

    def __init__(self, rig: Rig, receivers: _Receivers, courses: Sequence[Course]) -> None:
        self._rig = rig
        self._receivers = receivers
        self._courses = {one.rule: one for one in courses}
        self._alerts: dict[str, list[Json]] = {}
        self._about: Mapping[str, str] = {}
        self._before: Collection[str] = frozenset()

    async def hold(self, rng: random.Random, disk: Path) -> CatalogueReport:
        stage = Stage(self._rig, rng, disk, self._is_told, self._is_over, self._bound)
        self._about = stage.about
        await self._until_quiet()
        looking = asyncio.create_task(self._look_on())
        failed: list[BaseException] = []
        try:
            async with asyncio.TaskGroup() as group:
                for cause in CAUSES:
                    group.create_task(cause(stage))
            await self._until_over()
        except* DrillError as found:
            failed += found.exceptions
        finally:
            looking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await looking
        if failed:
            raise failed[0]
        await self._read()
        for rule, one in self._courses.items():
            one.began, one.ended = stage.began[rule], stage.ended[rule]
            self._tell(one)
        return CatalogueReport(list(self._courses.values()), [])

    async def _until_quiet(self) -> None:
        """Before anything happens nothing fires: the platform was looked at, and all is well."""

        async def quiet() -> bool:
            await self._read()
            rules = (await _ask(self._rig, "GET", "alert-rules?limit=100"))["items"]
            looked = all(one["looked_at"] for one in rules)
            open_ = [
                one
                for rule, some in self._alerts.items()
                for one in some
                # Of each target by itself, the one that is still to come is another's.
                if not one["ended_at"] and not self._courses[rule].by_target
            ]
            return looked and not open_

        await self._rig.until(quiet, 300, "all rules to have been looked at", pause=1)
        # What fired before anybody had looked at the platform is none of the drill's.
        self._receivers.told.clear()
        self._before = {one["id"] for some in self._alerts.values() for one in some}

    async def _look_on(self) -> None:
        while True:
            with contextlib.suppress(httpx.TransportError):
                await self._read()
            await asyncio.sleep(2)

    async def _read(self) -> None:
        found: dict[str, list[Json]] = {}
        for one in await self._rig.list_all("/api/v1/alerts", {}):
            if one["id"] not in self._before and one["fired_at"]:
                found.setdefault(one["labels"]["rule"], []).append(one)
        self._alerts = found

    def _alert(self, rule: str) -> Json | None:
        """The first that the cause is about."""
        about = self._about.get(rule)
        fitting = [
            one
            for one in self._alerts.get(rule, ())
            if about is None or about in one["labels"].values()
        ]
        return min(fitting, key=lambda one: str(one["fired_at"]), default=None)

    async def _is_told(self, rule: str) -> bool:
        alert = self._alert(rule)
        return alert is not None and any(one.alert == alert["id"] for one in self._receivers.told)

    async def _is_over(self, rule: str) -> bool:
        alert = self._alert(rule)
        return alert is not None and bool(alert["ended_at"])

    def _bound(self, rule: str) -> float:
        one = self._courses[rule]
        return one.hold + one.window + one.clear + _SLACK_SECONDS

    async def _until_over(self) -> None:
        """Until all have fired, and what is waited for is over, and was told to be."""

        async def done() -> bool:
            for rule in self._courses:
                alert = self._alert(rule)
                kinds = {
                    told.kind
                    for told in self._receivers.told
                    if alert is not None and told.alert == alert["id"]
                }
                if not {"alert.fired", "alert.resolved"} <= kinds:
                    return False
            return True

        longest = max(self._bound(rule) for rule in self._courses)
        # What is missing then is found in the table.
        with contextlib.suppress(DrillError):
            await self._rig.until(done, longest, "all to be over", pause=1)

    def _tell(self, one: Course) -> None:
        alert = self._alert(one.rule)
        if alert is None:
            return
        one.fired = datetime.fromisoformat(alert["fired_at"]).timestamp()
        if alert["ended_at"]:
            one.over = datetime.fromisoformat(alert["ended_at"]).timestamp()
        keys: dict[str, _Told] = {}
        for told in self._receivers.told:
            if told.alert == alert["id"]:
                keys.setdefault(told.key, told)
        one.told = list(keys.values())
        mine = {each["id"] for each in self._alerts[one.rule]}
        told_of = [told for told in self._receivers.told if told.alert in mine]
        heard = {(told.key, told.alert): told for told in told_of}
        times = Counter((told.alert, told.kind) for told in heard.values())
        one.strays = sum(told.channel != one.channel for told in heard.values())
        one.strays += sum(count - 1 for count in times.values())
