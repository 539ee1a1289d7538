"""The drill on the export of logs at full size, into a real Elasticsearch.

Programs of five tenants log while two workers export what they say through a proxy. The workers are
killed again and again; the proxy answers in the server's place (429, 502, 503, 504, half an answer)
and cuts connections before and after the work is done; the server itself is stopped and started,
is full for a while (429 for each document), takes no large requests (413), and its data stream goes
over to its next index. Some lines it cannot take at all: a mapping says that their field is a
number. In the end the ids that it has are the ids of the lines that are here, each once, but for
those, which are among the dead letters with their reason.
"""

import asyncio
import json
import random
import sys
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import httpx
import sqlalchemy as sa

from backend.app import compose
from backend.cli.command import find_tenant
from backend.core.context import Scope, SystemScope
from backend.managers.identity import IdentityManager
from backend.managers.logging._ecs import document_id, template
from backend.managers.logging.models import LogRecord
from backend.managers.tenant import PLATFORM, TenantManager
from backend.settings import Settings
from scripts.drills.export import SETTINGS
from scripts.drills.rig import DrillError, Json, Rig, Where, open_rig
from scripts.installation import Client
from tests.support.elasticsearch import (
    MISSING,
    MISSING_9,
    Elasticsearch,
    FaultyProxy,
    faulty_proxy,
    find_elasticsearch,
    real_elasticsearch,
)

_SERVERS: Final = {
    8: ("EMAIL_SENDER_ELASTICSEARCH", MISSING),
    9: ("EMAIL_SENDER_ELASTICSEARCH_9", MISSING_9),
}
_TENANTS: Final = 5
_WORKERS: Final = ("worker", "worker-2")
_PREFIX: Final = "logs-email_sender"
_STREAM: Final = f"{_PREFIX}-shared"
_BATCH: Final = 2000
_EACH_REFUSED: Final = 500
_BLOCK: Final = "index.blocks.read_only_allow_delete"
_BUSY: Final = {"type": "es_rejected_execution_exception", "reason": "queue is full"}
_FAULTS: Final[tuple[Any, ...]] = (
    (429, {"error": _BUSY}, {}),
    (429, "", {"retry-after": "1"}),
    (502, "<html>", {}),
    (503, {"error": {"type": "unavailable", "reason": "not yet"}}, {}),
    (504, "", {}),
    (200, '{"items": [', {}),
    None,
)
# What a worker may have more at any time than in the first quarter of its rounds.
_GROWTH: Final = 1.25


@dataclass(frozen=True, slots=True)
class FullExportReport:
    """What came of lines on a bad way to a real server.

    Attributes:
        server: Which major version of Elasticsearch was asked for.
        version: Which one answered.
        written: How many the API took.
        kills: How often a worker was killed.
        stops: How often the server was.
        bulks: How many requests came with documents.
        faults: How many of what the proxy did.
        missing: Lines that neither the server nor the dead letters have.
        strange: Ids of the server's that no line has.
        doubled: Ids that the server has more than once.
        dead: Dead letters.
        odd_letters: Those that are none of the refused lines, or say another reason.
        refused: How many lines cannot be taken.
        told: What the API says in the end, summed over the tenants.
        first_mib: The most that a worker had in memory in the first quarter of the rounds.
        most_mib: The most that one ever had.
    """

    server: int
    version: str
    written: int
    kills: int
    stops: int
    bulks: int
    faults: Counter[str]
    missing: int
    strange: int
    doubled: int
    dead: int
    odd_letters: int
    refused: int
    told: Counter[str]
    first_mib: float
    most_mib: float

    def problems(self) -> list[str]:
        """What is wrong; nothing, when all is well."""
        found = [
            f"{value} {what}"
            for value, what in (
                (self.missing, "lines are lost"),
                (self.strange, "documents are of no line"),
                (self.doubled, "documents are there more than once"),
                (self.odd_letters, "dead letters are wrong"),
            )
            if value
        ]
        if not self.version.startswith(f"{self.server}."):
            found.append(f"Elasticsearch {self.version} answered, not {self.server}")
        if self.dead != self.refused:
            found.append(f"{self.dead} dead letters, not {self.refused}")
        counted = {"exported": self.written - self.refused, "dead": self.refused}
        counted |= {"forgotten": 0, "lost": 0, "behind_records": 0, "seq": self.written}
        found += [
            f"the API says {self.told[name]} of {name}, not {value}"
            for name, value in counted.items()
            if self.told[name] != value
        ]
        if self.most_mib > self.first_mib * _GROWTH:
            found.append(f"a worker grew from {self.first_mib:.0f} to {self.most_mib:.0f} MiB")
        return found

    def __str__(self) -> str:
        """A line for people."""
        faults = ", ".join(f"{count} {name}" for name, count in sorted(self.faults.items()))
        return (
            f"Elasticsearch {self.version}: {self.written} lines of {_TENANTS} tenants, "
            f"{self.kills} kills, {self.stops} stops of the server, "
            f"{self.bulks} bulks with {faults}: {self.missing} lost, "
            f"{self.doubled} doubled, {self.strange} strange, {self.dead} dead with their reason; "
            f"workers {self.first_mib:.0f} MiB after a quarter and at most {self.most_mib:.0f}"
        )


async def export(
    where: Where,
    rng: random.Random,
    folder: Path,
    *,
    rounds: int = 20,
    lines: int = 200_000,
    server: int = 8,
) -> FullExportReport:
    """Kill exporters while the way to a real server, and the server, fail; what it has then.

    Raises:
        DrillError: There is no Elasticsearch, or the export does not come to its end.
    """
    name, missing = _SERVERS[server]
    source = find_elasticsearch(name)
    if source is None:
        raise DrillError(missing)
    async with AsyncExitStack() as stack:
        # Bulks are up to 5 MiB by themselves: many are too large for this one.
        made = real_elasticsearch(source, **{"http.max_content_length": "150kb"})
        real = await asyncio.to_thread(made.__enter__)
        stack.callback(made.__exit__, None, None, None)
        _refuse_texts(real)
        proxy = await stack.enter_async_context(faulty_proxy(real.url))
        settings = {
            **SETTINGS,
            "LOGGING__ELASTICSEARCH_URL": proxy.url,
            "LOGGING__ELASTICSEARCH_BULK_DOCUMENTS": "1000",
            "LOGGING__ELASTICSEARCH_TIMEOUT_SECONDS": "5",
        }
        rig = await stack.enter_async_context(open_rig(folder, where, settings))
        return await _Export(rig, rng, server, real, proxy).run(rounds, lines)


def _refuse_texts(server: Elasticsearch) -> None:
    """Have the server's own mapping say that the field ``code`` is a number."""
    made = json.loads(json.dumps(template(_PREFIX)))
    fields = {"properties": {"code": {"type": "long"}}}
    made["template"]["mappings"]["properties"]["fields"] = fields
    made["priority"] = 900
    # Another pattern: two of one priority may not be about the same names, and ours is put as well.
    made["index_patterns"] = [f"{_STREAM}*"]
    server.ask("PUT", "/_index_template/other", made)


class _Export:
    """One run."""

    def __init__(
        self,
        rig: Rig,
        rng: random.Random,
        wanted: int,
        server: Elasticsearch,
        proxy: FaultyProxy,
    ) -> None:
        self._rig, self._rng, self._server, self._proxy = rig, rng, server, proxy
        self._wanted = wanted
        self._faults: Counter[str] = Counter()
        self._sizes: list[tuple[int, float]] = []
        self._round = 0
        self._stops = 0
        self._written = [0] * _TENANTS

    async def run(self, rounds: int, lines: int) -> FullExportReport:
        made = json.loads(await asyncio.to_thread(self._rig.run_module, __name__, "tenants"))
        async with AsyncExitStack() as stack:
            callers = [
                await stack.enter_async_context(self._rig.caller(Client(**one))) for one in made
            ]
            watching = asyncio.create_task(self._watch())
            stack.callback(watching.cancel)
            self._break()
            for name in _WORKERS:
                await self._rig.start(name)
            for self._round in range(rounds):
                await self._hold_round(callers, lines // rounds // _TENANTS, rounds)
            self._proxy.before = self._proxy.after = lambda _: ...
            for caller in callers:
                done = partial(_is_done, caller)
                await self._rig.until(done, 1200, "the export's end", pause=1.0)
            return await self._report(callers, rounds)

    async def _hold_round(
        self, callers: Sequence[httpx.AsyncClient], lines: int, rounds: int
    ) -> None:
        """Break something, log, and kill an exporter at a random moment of its work."""
        number = self._round
        is_gone = number in {rounds // 3, 2 * rounds // 3}
        if is_gone:
            await asyncio.to_thread(self._server.stop)
            self._stops += 1
        elif number == rounds // 2:
            await self._rig.until(self._has_stream, 300, "the data stream")
            await asyncio.to_thread(self._server.ask, "POST", f"/{_STREAM}/_rollover")
        is_full = number % 4 == 1 and await self._has_stream()
        if is_full:
            await self._block(full=True)
        before = self._proxy.requests

        async def is_at_work() -> bool:
            return self._proxy.requests > before

        # While it is logged: exporters that are quicker have nothing left to do a moment later.
        writing = asyncio.gather(*(self._write(at, one, lines) for at, one in enumerate(callers)))
        try:
            await self._rig.until(is_at_work, 300, "a request", pause=0.01)
            if is_gone:
                # Somebody has found it gone.
                await asyncio.to_thread(self._server.start)
            await asyncio.sleep(self._rng.uniform(0, 5))
            name = self._rng.choice(_WORKERS)
            await self._rig.kill(name)
            await self._rig.start(name)
            await writing
        finally:
            writing.cancel()
        if is_full:
            self._faults["times that the server was full"] += 1
            await self._block(full=False)

    async def _has_stream(self) -> bool:
        with suppress(OSError):
            await asyncio.to_thread(self._server.ask, "GET", f"/{_STREAM}/_mapping")
            return True
        return False

    async def _block(self, *, full: bool) -> None:
        said = {_BLOCK: True if full else None}
        await asyncio.to_thread(self._server.ask, "PUT", f"/{_STREAM}/_settings", said)

    def _break(self) -> None:
        """Have a sixth of all bulks fail before they are done or after."""

        def fail(path: str, what: str) -> Any:
            if "/_bulk" not in path or self._rng.random() > 0.08:
                return ...
            fault = self._rng.choice(_FAULTS)
            self._faults[f"{'resets' if fault is None else fault[0]} {what}"] += 1
            return fault

        self._proxy.before = lambda path: fail(path, "before")
        self._proxy.after = lambda path: fail(path, "after")

    async def _watch(self) -> None:
        while True:
            sizes = [self._rig.mib(name) for name in _WORKERS]
            self._sizes.append((self._round, max(sizes)))
            await asyncio.sleep(0.5)

    async def _write(self, at: int, caller: httpx.AsyncClient, count: int) -> None:
        while count > 0:
            first, some = self._written[at] + 1, min(count, _BATCH)
            made = [
                {
                    "message": f"line {number}",
                    "text": "x" * self._rng.randrange(400),
                    "code": "none" if number % _EACH_REFUSED == 7 else number,
                }
                for number in range(first, first + some)
            ]
            content = b"".join(json.dumps(line).encode() + b"\n" for line in made)
            answer = await caller.post("/api/v1/logs", content=content)
            answer.raise_for_status()
            self._written[at] += int(answer.json()["accepted"])
            count -= some

    async def _report(self, callers: Sequence[httpx.AsyncClient], rounds: int) -> FullExportReport:
        here = (await asyncio.to_thread(self._rig.run_module, __name__, "ids")).split()
        there = await asyncio.to_thread(self._server.ids, _STREAM)
        letters: dict[str, Json] = {}
        told: Counter[str] = Counter()
        for caller in callers:
            letters |= {one["document_id"]: one for one in await _letters(caller)}
            now = (await caller.get("/api/v1/log-export")).json()
            told.update({name: value for name, value in now.items() if isinstance(value, int)})
        odd = [
            one
            for one in letters.values()
            if one["seq"] % _EACH_REFUSED != 7
            or one["kind"] != "document_parsing_exception"
            or "fields.code" not in one["reason"]
        ]
        quarter = max(1, rounds // 4)
        return FullExportReport(
            server=self._wanted,
            version=await asyncio.to_thread(self._server.version),
            written=sum(self._written),
            kills=rounds,
            stops=self._stops,
            bulks=self._proxy.bulks,
            faults=self._faults,
            missing=len(set(here) - there.keys() - letters.keys()),
            strange=len(there.keys() - set(here)),
            doubled=sum(there.values()) - len(there),
            dead=len(letters),
            odd_letters=len(odd) + len(letters.keys() & there.keys()),
            refused=sum(len(range(7, count + 1, _EACH_REFUSED)) for count in self._written),
            told=told,
            first_mib=max(size for at, size in self._sizes if at < quarter),
            most_mib=max(size for _, size in self._sizes),
        )


async def _is_done(caller: httpx.AsyncClient) -> bool:
    return bool((await caller.get("/api/v1/log-export")).json()["state"] == "current")


async def _letters(caller: httpx.AsyncClient) -> list[Json]:
    found: list[Json] = []
    query: dict[str, Any] = {"limit": 200}
    while True:
        page = (await caller.get("/api/v1/log-export/dead-letters", params=query)).json()
        found += page["items"]
        if page["next_cursor"] is None:
            return found
        query["cursor"] = page["next_cursor"]


async def _make_tenants() -> list[Json]:
    made = []
    platform = compose(Settings())
    async with platform.running():
        for number in range(_TENANTS):
            name = f"exporting-{number}"
            async with platform.database.transaction(SystemScope(PLATFORM)) as tx:
                tenant = await platform.of(TenantManager).create_tenant(tx, slug=name, name=name)
            async with platform.database.transaction(Scope("system:drill", tenant.id)) as tx:
                client, secret = await platform.of(IdentityManager).clients.create_client(
                    tx, name=name, role="owner", granter=None
                )
            made.append({"client_id": client.client_id, "client_secret": secret})
    return made


async def _list_ids() -> list[str]:
    """The ids that documents of all lines have."""
    found: list[str] = []
    platform = compose(Settings())
    async with platform.running():
        for number in range(_TENANTS):
            tenant = await find_tenant(platform, f"exporting-{number}")
            async with platform.database.read(Scope("system:drill", tenant.id)) as tx:
                lines = await tx.execute(sa.select(LogRecord.seq, LogRecord.id))
                found += [document_id(tenant.id, seq, record_id) for seq, record_id in lines]
    return found


if __name__ == "__main__":
    if sys.argv[1] == "tenants":
        sys.stdout.write(json.dumps(asyncio.run(_make_tenants())))
    else:
        sys.stdout.write("\n".join(asyncio.run(_list_ids())))
