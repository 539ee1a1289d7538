"""What makes each rule of the catalogue fire: the thing itself, and never a hook of the product."""

import asyncio
import contextlib
import json
import multiprocessing
import os
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import httpx
import psycopg
import sqlalchemy as sa

from backend.core.audit import AuditRecord
from backend.migrations import runner
from backend.migrations.row_security import pass_as_owner
from scripts.drills.messages import messages
from scripts.drills.outages import hold_lock
from scripts.drills.rig import DrillError, Json, Rig
from scripts.installation import Client
from tests.support.growth import unguarded
from tests.support.postgres import SUPERUSER

SETTINGS: Final = {
    "ALERTING__ALLOW_PRIVATE_CHANNELS": "true",
    # Nobody is there: what asks it is answered 503.
    "MONITORING__PROMETHEUS_URL": "http://127.0.0.1:9",
    # Who guesses here comes from the same address as the drill.
    "IDENTITY__ADDRESS_BURST_FAILURES": "1000",
    "IDENTITY__ACCOUNT_BURST_FAILURES": "1000",
}
STOPPED: Final = "worker-2"
_WAITING: Final = 6
_SLOW_SECONDS: Final = 1.5
_FULL: Final = 0.92
_HOST: Final = "drill"
_RECORDS: Any = AuditRecord.__table__


@dataclass(slots=True)
class Stage:
    """Where it happens, and when each rule's cause began and was over."""

    rig: Rig
    rng: random.Random
    disk: Path
    fired: Callable[[str], Awaitable[bool]]
    """Whether somebody was told of the rule."""
    over: Callable[[str], Awaitable[bool]]
    """Whether its alert is over, or nobody waits for that."""
    seconds: Callable[[str], float]
    """How long a cause may last at most."""
    began: dict[str, float] = field(default_factory=dict)
    ended: dict[str, float] = field(default_factory=dict)
    about: dict[str, str] = field(default_factory=dict)
    """Of a rule that finds several: what one of its alert's labels says."""

    async def ask(self, method: str, path: str, said: Json | None = None) -> Any:
        """Ask the API.

        Raises:
            DrillError: It refuses.
        """
        answer = await self.rig.http.request(method, f"/api/v1/{path}", json=said)
        if not answer.is_success:
            raise DrillError(f"{method} {path}: {answer.status_code} {answer.text[:300]}")
        return answer.json() if answer.content else None

    @contextlib.asynccontextmanager
    async def lasting(self, rule: str) -> AsyncIterator[None]:
        """A cause that lasts as long as the block."""
        self.began[rule] = time.time()
        try:
            yield
        finally:
            self.ended[rule] = time.time()

    async def until_fired(self, rule: str) -> None:
        """Wait until somebody was told, or as long as the cause may last."""
        # What has become of it is found in the table.
        with contextlib.suppress(DrillError):
            await self.rig.until(
                lambda: self.fired(rule), self.seconds(rule), f"{rule} to fire", pause=1
            )

    async def again(self, rule: str, act: Callable[[], Awaitable[Any]], pause: float) -> None:
        """Do it over and over until somebody was told."""
        deadline = time.monotonic() + self.seconds(rule)
        async with self.lasting(rule):
            while time.monotonic() < deadline and not await self.fired(rule):
                await act()
                await asyncio.sleep(pause)


async def stop_worker(stage: Stage) -> None:
    """Stop one of two workers where it is."""
    async with stage.lasting("service-down"):
        await stage.rig.freeze(STOPPED)
        await stage.until_fired("service-down")
        stage.rig.thaw(STOPPED)


async def fill_disk(stage: Stage) -> None:
    """Leave less than a tenth of the data folder's disk."""
    room = os.statvfs(stage.disk)
    free, whole = room.f_bavail * room.f_frsize, room.f_blocks * room.f_frsize
    filler = stage.disk / "filler"
    async with stage.lasting("storage"):
        with filler.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, int(free - (1 - _FULL) * whole))
        await stage.until_fired("storage")
        filler.unlink()


async def slow_down(stage: Stage) -> None:
    """Have requests wait for a lock that somebody else holds, again and again."""
    rig = stage.rig
    server = rig.where.server

    def hold() -> None:
        if server is None:
            hold_lock(rig.database_url, _SLOW_SECONDS)
            return
        name = str(sa.make_url(rig.database_url).database)
        with psycopg.connect(server.url(SUPERUSER, name)) as connection:
            connection.execute("LOCK TABLE on_call_schedules IN ACCESS EXCLUSIVE MODE")
            time.sleep(_SLOW_SECONDS)

    async def wait() -> None:
        holder = asyncio.create_task(asyncio.to_thread(hold))
        await asyncio.sleep(0.1)
        asked: tuple[str, str, Json | None] = ("POST", "heartbeats", {"name": "slow"})
        if server is not None:
            asked = ("GET", "on-call-schedules", None)
        await asyncio.gather(*(stage.ask(*asked) for _ in range(_WAITING)))
        await holder

    await stage.again("performance-degradation", wait, 2.0)


async def fail(stage: Stage) -> None:
    """Ask what cannot be answered, as a program does whose Prometheus is away."""

    async def ask() -> None:
        answer = await stage.rig.http.get("/api/v1/prometheus/query", params={"query": "up"})
        if answer.status_code < 500:
            raise DrillError(f"A Prometheus that is not there answers {answer.status_code}")

    await stage.again("error-rate", ask, 0.4)


def _burn() -> None:
    os.nice(19)
    while True:
        pass


def _idle() -> int:
    """Ticks that all processors had nothing to do, since the start."""
    ticks = Path("/proc/stat").read_text().splitlines()[0].split()
    return int(ticks[4]) + int(ticks[5])


def _worked(pid: int) -> int:
    """Ticks that a process worked; 0 when there is none."""
    try:
        # Behind the name, which may hold blanks.
        ticks = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except FileNotFoundError:
        return 0
    return int(ticks[11]) + int(ticks[12])


async def burn(stage: Stage) -> None:
    """Keep every processor of this host busy, and record how busy, as its agent does.

    It is the share of what others leave: who else works on this host makes nothing fire or last.
    """
    context = multiprocessing.get_context("spawn")
    burners = [context.Process(target=_burn, daemon=True) for _ in range(os.cpu_count() or 1)]

    async def record() -> None:
        alive = [one.pid for one in burners if one.pid and one.is_alive()]
        before = sum(map(_worked, alive)), _idle()
        await asyncio.sleep(2)
        worked, idle = sum(map(_worked, alive)) - before[0], _idle() - before[1]
        said = {
            "name": "system_cpu_utilization",
            "kind": "gauge",
            "value": worked / max(1, worked + idle),
            "labels": {"host": _HOST},
        }
        await stage.ask("POST", "metrics", {"items": [said]})

    for one in burners:
        one.start()
    try:
        await record()
        await stage.again("high-cpu", record, 0)
    finally:
        for one in burners:
            one.kill()
            one.join()
    deadline = time.monotonic() + stage.seconds("high-cpu")
    while time.monotonic() < deadline and not await stage.over("high-cpu"):
        await record()


async def deploy(stage: Stage) -> None:
    """Say so, as a pipeline does in its last step."""
    async with stage.lasting("deployment"):
        await stage.ask("POST", "heartbeats", {"name": "deployment"})


async def announce(stage: Stage) -> None:
    """Plan maintenance for this time tomorrow: it is announced a day before."""
    begins = datetime.now(UTC) + timedelta(days=1, seconds=5)
    said = {
        "kind": "maintenance",
        "matchers": 'team="db"',
        "reason": "The database moves",
        "starts_at": begins.isoformat(),
        "ends_at": (begins + timedelta(hours=1)).isoformat(),
    }
    await stage.ask("POST", "silences", said)
    stage.began["maintenance"] = stage.ended["maintenance"] = begins.timestamp() - 86_400


async def _denied(stage: Stage, rule: str, times: int) -> None:
    made = await stage.ask("POST", "clients", {"name": rule, "role": "viewer"})
    stage.about[rule] = f"client:{made['client_id']}"
    client = Client(made["client_id"], made["client_secret"])
    async with stage.rig.caller(client) as http, stage.lasting(rule):
        denied = 0
        while denied < times:
            answer = await http.post("/api/v1/alerts", json={"name": "a", "severity": "info"})
            if answer.status_code == httpx.codes.TOO_MANY_REQUESTS:
                await asyncio.sleep(1)
                continue
            if answer.status_code != httpx.codes.FORBIDDEN:
                raise DrillError(f"A viewer raises an alert: {answer.status_code}")
            denied += 1


async def deny(stage: Stage) -> None:
    """Have somebody try what they may not, and somebody try it much more often."""
    await asyncio.gather(
        _denied(stage, "denied-acts", 25), _denied(stage, "data-breach-attempt", 60)
    )


async def guess(stage: Stage) -> None:
    """Try secrets of a program."""
    made = await stage.ask("POST", "clients", {"name": "guessed", "role": "viewer"})
    stage.about["failed-sign-ins"] = f"client:{made['client_id']}"
    url = str(stage.rig.http.base_url)
    async with (
        httpx.AsyncClient(base_url=url, trust_env=False, timeout=60) as http,
        stage.lasting("failed-sign-ins"),
    ):
        for number in range(14):
            await http.post(
                "/oauth/token",
                data={"grant_type": "client_credentials"},
                auth=(made["client_id"], f"wrong{number}"),
            )


async def spend_key(stage: Stage) -> None:
    """Do more with a key than its policy lets a version do."""
    said = {"name": "drill", "rotate_after_operations": 1000}
    await stage.ask("POST", "keys", said)
    batch = {"items": [{"plaintext": "QQ=="}] * 999}
    async with stage.lasting("key-budget"):
        for _ in range(2):
            await stage.ask("POST", "keys/drill/encrypt/batch", batch)


async def touch_canary(stage: Stage) -> None:
    """Read the secret that nothing needs."""
    await stage.ask("POST", "secrets", {"path": "canary", "value": "sing"})
    async with stage.lasting("canary"):
        await stage.ask("GET", "secrets/by-path/value?path=canary")


async def use_up(stage: Stage) -> None:
    """Send four fifths of the mails of a day."""
    quota = ("tenant-quota", "demo", "--set", "emails_a_day=5")
    await asyncio.to_thread(stage.rig.run_module, "backend", *quota)
    # As long as a process may go by what it knew.
    await asyncio.sleep(6)
    async with stage.lasting("quota"):
        await stage.rig.submit(messages(4, stage.rng, slow_share=0.0, name="quota"))


async def let_in(stage: Stage) -> None:
    """Have an administrator come in, and a member made one."""
    stage.began["administrator-added"] = time.time()
    said = await asyncio.to_thread(stage.rig.run_module, "scripts.drills.new_members")
    stage.ended["administrator-added"] = time.time()
    made: Mapping[str, str] = json.loads(said)
    async with stage.lasting("administrator-promoted"):
        await stage.ask("PUT", f"members/{made['viewer']}", {"role": "admin"})


async def tamper(stage: Stage) -> None:
    """Change a record of the trail as the database's owner, and have the trail looked at."""
    rig = stage.rig
    url = rig.database_url if rig.where.server is None else rig.setting("DATABASE__OWNER_URL")
    waits = {"timeout": 60} if rig.where.server is None else {}
    owner = sa.create_engine(runner.sync_url(url), poolclass=sa.NullPool, connect_args=waits)
    mine = _RECORDS.c.tenant_id == rig.tenant_id

    def change() -> None:
        with owner.begin() as connection:
            if connection.dialect.name == "postgresql":
                pass_as_owner(connection)
            with unguarded(connection, [_RECORDS.name]):
                changed = sa.update(_RECORDS).where(mine, _RECORDS.c.seq == 1)
                connection.execute(changed.values(actor="nobody"))

    # The first records are numbered by a clock of the API's.
    await asyncio.sleep(5)
    async with stage.lasting("audit-chain"):
        await asyncio.to_thread(change)
        await stage.ask("POST", "audit/verifications", {"full": True})


CAUSES: Final[Mapping[Callable[[Stage], Coroutine[Any, Any, None]], tuple[str, ...]]] = {
    stop_worker: ("service-down",),
    fill_disk: ("storage",),
    slow_down: ("performance-degradation",),
    fail: ("error-rate",),
    burn: ("high-cpu",),
    deploy: ("deployment",),
    announce: ("maintenance",),
    deny: ("denied-acts", "data-breach-attempt"),
    guess: ("failed-sign-ins",),
    spend_key: ("key-budget",),
    touch_canary: ("canary",),
    use_up: ("quota",),
    let_in: ("administrator-added", "administrator-promoted"),
    tamper: ("audit-chain",),
}
"""Which rules each makes fire."""
