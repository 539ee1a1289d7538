"""A drill on webhooks: who tells programs of events is killed, over and over, as programs fail.

Each tenant has a program that fails in its own way: it takes an event and does not answer, answers
500, or 429 with Retry-After, or closes the connection. One has a workflow of a real n8n besides,
which is killed and stays down for a while. Afterwards what the programs remember is held against
what happened: nothing is missing, first arrivals are in order, every signature is verified by the
program of the document, and what came twice is explained.
"""

import asyncio
import json
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any, Final
from zlib import crc32

from backend.app import compose
from backend.core.context import Scope, SystemScope
from backend.core.database import Database
from backend.managers.identity import IdentityManager
from backend.managers.tenant import PLATFORM, TenantManager
from backend.managers.webhooks import WebhookDraft, WebhooksManager
from backend.rooms import HOUSE
from backend.settings import Settings
from scripts.drills.events import emitting
from scripts.drills.rig import DrillError, Json, Rig
from scripts.drills.webhooks_n8n import TriggeredWorkflow
from scripts.installation import Client
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
class N8nReport:
    """What became of the events of the tenant whose n8n was down."""

    emitted: int
    started: int
    doubles: int
    failed: int
    down_seconds: float

    def __str__(self) -> str:
        """For people."""
        return (
            f"n8n, killed and down for {self.down_seconds:g} s while {self.failed} tries failed, "
            f"was started in order by {self.started} of {self.emitted}, {self.doubles} more than "
            "once"
        )


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
    n8n: N8nReport | None
    wrong: Sequence[str]

    def problems(self) -> list[str]:
        """What is wrong; nothing, when all is well."""
        return list(self.wrong)

    def __str__(self) -> str:
        """One line for people."""
        return (
            f"{self.emitted} events of {self.tenants} tenants, {self.kills} kills, {self.faults} "
            f"faults of programs: {self.delivered} delivered in order and signed, {self.doubles} "
            f"more than once; all {self.catch_up_seconds:.1f} s after the last kill; "
            f"{self.n8n or 'without n8n'}"
        )


async def kill_deliverers(
    rig: Rig,
    rng: random.Random,
    *,
    hook_events: int = 5000,
    hook_tenants: int = 20,
    hook_kills: int = 20,
    hook_n8n_seconds: float = 120.0,
    one_of: int = 50,
    seconds_between: float = 5.0,
) -> WebhooksReport:
    """Tell programs of so many events while one of two workers is killed again and again.

    The first tenant has a workflow of n8n as well, which is down for ``hook_n8n_seconds`` from a
    quarter of the kills on; 0: there is no n8n.

    Raises:
        DrillError: The installation does not do what it is asked.
    """
    async with AsyncExitStack() as stack:
        programs = await stack.enter_async_context(Programs(one_of).running())
        url = f"http://127.0.0.1:{programs.port}"
        told = await asyncio.to_thread(rig.run_module, __name__, "tenants", str(hook_tenants), url)
        made: list[Json] = json.loads(told)
        programs.secrets = {str(number): one["secret"] for number, one in enumerate(made)}
        workflow, client = None, Client(**made[0]["client"])
        if hook_n8n_seconds:
            # Nobody is told of anything yet, so nobody waits for this loop.
            workflow = stack.enter_context(
                TriggeredWorkflow.running(rig.folder / "n8n", str(rig.http.base_url), client, _KIND)
            )
        for name in _WORKERS:
            await rig.start(name)
        emitted: Counter[str] = Counter()
        goes_down = asyncio.Event()

        async def strike() -> None:
            async with emitting(rig.database_url) as database:
                for kill in range(1, hook_kills + 1):
                    until = hook_events * kill // hook_kills
                    while emitted.total() < until:
                        number = rng.randrange(hook_tenants)
                        await _emit(database, made[number]["tenant_id"], str(number), emitted)
                    if kill > hook_kills // 4:
                        goes_down.set()
                    await asyncio.sleep(rng.uniform(0, 2 * seconds_between))
                    victim = rng.choice(_WORKERS)
                    await rig.kill(victim)
                    await rig.start(victim)

        await asyncio.gather(strike(), _take_down(workflow, goes_down, hook_n8n_seconds))
        struck = time.monotonic()

        wrong = []
        try:
            await _until_all_came(rig, programs, emitted, workflow)
        except DrillError as exc:
            wrong.append(str(exc))
        seconds = time.monotonic() - struck
        wrong += _differences(programs, emitted, hook_kills)
        n8n = None
        if workflow is not None:
            n8n, found = await _look_at(rig, client, workflow, emitted["0"], hook_n8n_seconds)
            wrong += found
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
        n8n=n8n,
        wrong=wrong,
    )


async def _take_down(
    workflow: TriggeredWorkflow | None, when: asyncio.Event, seconds: float
) -> None:
    if workflow is not None:
        await when.wait()
        await workflow.go_down(seconds)


async def _until_all_came(
    rig: Rig, programs: Programs, emitted: Counter[str], workflow: TriggeredWorkflow | None
) -> None:
    async def all_came() -> bool:
        return all(
            len({one["key"] for one in programs.got.get(name, ())}) >= count
            for name, count in emitted.items()
        )

    async def n8n_had_all() -> bool:
        if workflow is None:
            return True
        return len({one["id"] for one in await workflow.got()}) >= emitted["0"]

    await rig.until(all_came, _CATCH_UP_SECONDS, "all events to come", pause=0.2)
    await rig.until(n8n_had_all, _CATCH_UP_SECONDS, "n8n to have all events", pause=1.0)


async def _look_at(
    rig: Rig, client: Client, workflow: TriggeredWorkflow, emitted: int, down_seconds: float
) -> tuple[N8nReport, list[str]]:
    """What n8n was started by, and what of that cannot be."""
    async with rig.caller(client) as http:
        hooks = (await http.get("/api/v1/webhooks")).raise_for_status().json()["items"]
        (hook,) = [one for one in hooks if one["name"].startswith("n8n ")]
        path = f"/api/v1/webhooks/{hook['id']}/deliveries"
        query: Json = {"failed": True, "limit": 200}
        failed = (await http.get(path, params=query)).raise_for_status().json()["items"]
    got = await workflow.got()
    firsts = list({one["id"]: one for one in got}.values())
    report = N8nReport(
        emitted=emitted,
        started=len(firsts),
        doubles=len(got) - len(firsts),
        failed=len(failed),
        down_seconds=down_seconds,
    )
    found = []
    if [one["data"]["number"] for one in firsts] != list(range(emitted)):
        found.append(f"n8n was started by {len(firsts)} of {emitted} events, or out of order")
    # Of a try that failed it may have taken the event, and not come to write down that it has.
    if report.doubles > report.failed:
        found.append(f"n8n was started {report.doubles} times by what it had been told")
    if not failed:
        found.append("nobody met the n8n that was down")
    return report, found


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
                client, password = await platform.of(IdentityManager).clients.create_client(
                    tx, name=name, role="workflow", granter=None
                )
            login = {"client_id": client.client_id, "client_secret": password}
            made.append({"tenant_id": tenant.id, "secret": secret, "client": login})
    return made


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asyncio.run(_make_tenants(int(sys.argv[2]), sys.argv[3]))))
