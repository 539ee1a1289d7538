"""A drill on webhooks: who tells programs of events is killed, over and over, as programs fail.

Each tenant has a program that fails in its own way: it takes an event and does not answer, answers
500, or 429 with Retry-After, or closes the connection. Afterwards what the programs remember is
held against what happened: nothing is missing, first arrivals are in order, every signature is
verified by the program of the document, and what came twice is explained.
"""

import asyncio
import json
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from zlib import crc32

from backend.app import compose
from backend.core.context import Scope, SystemScope
from backend.core.database import Database
from backend.managers.tenant import PLATFORM, TenantManager
from backend.managers.webhooks import WebhookDraft, WebhooksManager
from backend.rooms import HOUSE
from backend.settings import Settings
from scripts.drills.events import emitting
from scripts.drills.rig import DrillError, Json, Rig
from tests.support.hooks import HookServer
from tests.support.webhooks import documented_verifier

SETTINGS: Final = {"WEBHOOKS__ALLOW_PRIVATE": "true"}
_WORKERS: Final = ("worker", "worker-2")
_KIND: Final = "job.dead"
_SUBJECTS: Final = 5
_BATCH: Final = 50
"""What a killed process may have told of and not written down, of each program."""
_STALL_SECONDS: Final = 15.0
_CATCH_UP_SECONDS: Final = 900.0
_FAULTS: Final = ("none", "stalls", "500", "429", "closes")


class Programs(HookServer):
    """One for each tenant, by its path; of every ``one_of`` events it fails one the first time."""

    def __init__(self, one_of: int) -> None:
        super().__init__()
        self.more_headers = {"Retry-After": "1"}
        self.secrets: dict[str, str] = {}
        self.got: dict[str, list[Json]] = {}
        self.faults: Counter[str] = Counter()
        self.unverified: list[str] = []
        self._one_of = one_of
        self._verify: Callable[..., None] = documented_verifier()
        self._failed: set[str] = set()

    async def take(self, path: str, headers: Mapping[str, str], body: bytes) -> int:
        """Take an event as the program of this path does."""
        name, key, said = path.strip("/"), headers["webhook-id"], json.loads(body)
        try:
            self._verify(self.secrets[name], headers, body)
        except ValueError as exc:
            self.unverified.append(f"{name}: {exc}")
        fault = _FAULTS[int(name) % len(_FAULTS)]
        fails = (
            fault != "none" and key not in self._failed and crc32(key.encode()) % self._one_of == 0
        )
        if fails:
            self._failed.add(key)
            self.faults[name] += 1
        if not fails or fault in {"stalls", "closes"}:
            # Taken, also where nobody hears of it.
            self.got.setdefault(name, []).append({"key": key, "seq": said["seq"], **said["data"]})
        if fails and fault == "stalls":
            await asyncio.sleep(_STALL_SECONDS)
        elif fails and fault == "closes":
            raise ConnectionError
        return int(fault) if fails and fault.isdecimal() else 204


@dataclass(frozen=True, slots=True)
class WebhooksReport:
    """What became of events whose tellers were killed."""

    emitted: int
    tenants: int
    delivered: int
    doubles: int
    faults: int
    kills: int
    catch_up_seconds: float
    wrong: Sequence[str]

    def problems(self) -> list[str]:
        """What is wrong; nothing, when all is well."""
        return list(self.wrong)

    def __str__(self) -> str:
        """One line for people."""
        return (
            f"{self.emitted} events of {self.tenants} tenants, {self.kills} kills, {self.faults} "
            f"faults of programs: {self.delivered} delivered in order and signed, {self.doubles} "
            f"more than once; all {self.catch_up_seconds:.1f} s after the last kill"
        )


async def kill_deliverers(
    rig: Rig,
    rng: random.Random,
    *,
    hook_events: int = 5000,
    hook_tenants: int = 20,
    hook_kills: int = 20,
    one_of: int = 50,
    seconds_between: float = 5.0,
) -> WebhooksReport:
    """Tell programs of so many events while one of two workers is killed again and again.

    Raises:
        DrillError: The installation does not do what it is asked.
    """
    async with Programs(one_of).running() as programs:
        url = f"http://127.0.0.1:{programs.port}"
        told = await asyncio.to_thread(rig.run_module, __name__, "tenants", str(hook_tenants), url)
        made: list[Json] = json.loads(told)
        programs.secrets = {str(number): one["secret"] for number, one in enumerate(made)}
        for name in _WORKERS:
            await rig.start(name)
        emitted: Counter[str] = Counter()
        async with emitting(rig.database_url) as database:
            for kill in range(1, hook_kills + 1):
                until = hook_events * kill // hook_kills
                while emitted.total() < until:
                    number = rng.randrange(hook_tenants)
                    await _emit(database, made[number]["tenant_id"], str(number), emitted)
                await asyncio.sleep(rng.uniform(0, 2 * seconds_between))
                victim = rng.choice(_WORKERS)
                await rig.kill(victim)
                await rig.start(victim)
        struck = time.monotonic()

        async def all_came() -> bool:
            return all(
                len({one["key"] for one in programs.got.get(name, ())}) >= count
                for name, count in emitted.items()
            )

        wrong = []
        try:
            await rig.until(all_came, _CATCH_UP_SECONDS, "all events to come", pause=0.2)
        except DrillError as exc:
            wrong.append(str(exc))
        seconds = time.monotonic() - struck
        wrong += _differences(programs, emitted, hook_kills)
        wrong += rig.logged_errors()[:3]
    firsts = {name: {one["key"] for one in got} for name, got in programs.got.items()}
    return WebhooksReport(
        emitted=emitted.total(),
        tenants=hook_tenants,
        delivered=sum(map(len, firsts.values())),
        doubles=sum(len(got) - len(firsts[name]) for name, got in programs.got.items()),
        faults=programs.faults.total(),
        kills=hook_kills,
        catch_up_seconds=seconds,
        wrong=wrong,
    )


async def _emit(database: Database, tenant_id: str, name: str, emitted: Counter[str]) -> None:
    async with database.transaction(Scope("drill", tenant_id)) as tx:
        number = emitted[name]
        tx.emit(_KIND, f"job:{number % _SUBJECTS}", number=number)
    emitted[name] += 1


def _differences(programs: Programs, emitted: Counter[str], kills: int) -> list[str]:
    """What programs remember that cannot be."""
    found = [*programs.unverified[:1]]
    for name, count in emitted.items():
        got = programs.got.get(name, [])
        firsts = list({one["key"]: one for one in got}.values())
        numbers = [one["number"] for one in firsts]
        if sorted(numbers) != list(range(count)):
            found.append(f"program {name} had {len(set(numbers))} of {count} events")
        if [one["seq"] for one in firsts] != sorted(one["seq"] for one in firsts):
            found.append(f"program {name} was told out of order")
        doubles = len(got) - len(firsts)
        if doubles > programs.faults[name] + kills * _BATCH:
            found.append(f"program {name} had {doubles} doubles that nothing explains")
    return found


async def _make_tenants(count: int, url: str) -> list[Any]:
    platform = compose(Settings())
    permissions = frozenset(HOUSE.events.values())
    made = []
    async with platform.running():
        for number in range(count):
            async with platform.database.transaction(SystemScope(PLATFORM)) as tx:
                name = f"hook-{number}"
                tenant = await platform.of(TenantManager).create_tenant(tx, slug=name, name=name)
            scope = Scope("system:drill", tenant.id)
            async with platform.database.transaction(scope) as tx:
                draft = WebhookDraft(name=name, url=f"{url}/{number}", kinds=[_KIND])
                _, secret = await platform.of(WebhooksManager).endpoints.create(
                    tx, draft, permissions=permissions
                )
            made.append({"tenant_id": tenant.id, "secret": secret})
    return made


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asyncio.run(_make_tenants(int(sys.argv[2]), sys.argv[3]))))
