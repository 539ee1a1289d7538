"""The drill on the export of logs: whatever fails between us and Elasticsearch, ids are equal.

Two workers export what a program logs meanwhile. One of them is killed again and again, the server
goes away, has no time (429, for a request or for some documents), is replaced by what a proxy
says, finds requests too large, and resets connections before and after it has done what it was
asked for; once its data stream goes over to its next index. In the end it has every line once, but
for those that it may refuse, and these are in the dead letters.
"""

import asyncio
import json
import random
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from scripts.drills.rig import Rig, Where, open_rig
from tests.support.elasticsearch import FakeElasticsearch, fake_elasticsearch

_WORKERS: Final = ("worker", "worker-2")
_STREAM: Final = "logs-email_sender-shared"
_LINES: Final = 400
_LONGEST_BODY: Final = 40_000
_BUSY: Final = {"type": "es_rejected_execution_exception", "reason": "queue is full"}
_CONFLICT: Final = {"type": "document_parsing_exception", "reason": "failed to parse"}
_FAULTS: Final[tuple[Any, ...]] = (
    (429, {"error": _BUSY}, {}),
    (429, "", {"retry-after": "1"}),
    (502, "<html>", {}),
    (503, {"error": {"type": "unavailable", "reason": "not yet"}}, {}),
    (504, "", {}),
    (200, '{"items": [', {}),
    None,
)
SETTINGS: Final = {
    "LOGGING__ELASTICSEARCH_BULK_DOCUMENTS": "100",
    "LOGGING__ELASTICSEARCH_TIMEOUT_SECONDS": "1",
    "LOGGING__ELASTICSEARCH_LONGEST_WAIT_SECONDS": "1",
}


@dataclass(frozen=True, slots=True)
class ExportReport:
    """What came of lines on a bad way.

    Attributes:
        written: How many the API took.
        kills: How often a worker was killed.
        bulks: How many requests came with documents.
        faults: How many of what went wrong.
        lost: Numbers that neither the server nor the dead letters have.
        doubled: Documents that the server has more than once.
        dead: Numbers among the dead letters.
        refused: Numbers that should be there.
        told: What the API says in the end.
    """

    written: int
    kills: int
    bulks: int
    faults: Counter[str]
    lost: frozenset[int]
    doubled: int
    dead: frozenset[int]
    refused: frozenset[int]
    told: dict[str, Any] = field(default_factory=dict)

    def problems(self) -> list[str]:
        """What is wrong; nothing, when all is well."""
        found = []
        if self.lost:
            found.append(f"{len(self.lost)} lines are lost, first {min(self.lost)}")
        if self.doubled:
            found.append(f"{self.doubled} documents are there more than once")
        if self.dead != self.refused:
            found.append(f"{len(self.dead ^ self.refused)} dead letters too many or too few")
        counted = {"exported": self.written - len(self.refused), "dead": len(self.refused)}
        counted |= {"forgotten": 0, "lost": 0, "behind_records": 0, "seq": self.written}
        found += [
            f"the API says {self.told[name]} of {name}, not {value}"
            for name, value in counted.items()
            if self.told[name] != value
        ]
        return found

    def __str__(self) -> str:
        """A line for people."""
        faults = ", ".join(f"{count} {name}" for name, count in sorted(self.faults.items()))
        return (
            f"{self.written} lines, {self.kills} kills, {self.bulks} bulks with {faults}: "
            f"{len(self.lost)} lost, {self.doubled} doubled, {len(self.dead)} dead"
        )


async def export(
    where: Where, rng: random.Random, folder: Path, *, rounds: int = 20
) -> ExportReport:
    """Kill exporters while the server fails in every way; what it has in the end."""
    async with fake_elasticsearch() as server:
        settings = {**SETTINGS, "LOGGING__ELASTICSEARCH_URL": server.url}
        async with open_rig(folder, where, settings) as rig:
            await rig.become_owner()
            return await _export(rig, rng, server, rounds)


async def _export(
    rig: Rig, rng: random.Random, server: FakeElasticsearch, rounds: int
) -> ExportReport:
    faults: Counter[str] = Counter()
    _break(server, rng, faults)
    for name in _WORKERS:
        await rig.start(name)
    written = 0
    for number in range(rounds):
        before = len(server.bodies)
        written += await _write(rig, rng, written)
        if number == rounds // 2:

            async def is_there() -> bool:
                return _STREAM in server.streams

            # All that came so far may have failed before it was done.
            await rig.until(is_there, 120, "a document to be taken", pause=0.01)
            server.roll_over(_STREAM)

        async def at_work(before: int = before) -> bool:
            return len(server.bodies) > before

        await rig.until(at_work, 120, "a bulk of this round", pause=0.01)
        await asyncio.sleep(rng.uniform(0, 0.5))
        name = rng.choice(_WORKERS)
        await rig.kill(name)
        await rig.start(name)
    faults["413"] += sum(size > _LONGEST_BODY for size in server.bodies)
    # From here on nothing fails any more.
    server.before = server.after = lambda _: ...
    server.most_bytes = 10**9
    server.refuse = lambda one: (400, _CONFLICT) if _is_refused(one) else None

    async def done() -> bool:
        told = (await rig.http.get("/api/v1/log-export")).json()
        return bool(told["state"] == "current")

    await rig.until(done, 300, "the export to come to its end", pause=0.5)
    there = Counter(
        one["event"]["sequence"] for index in server.streams[_STREAM] for one in index.values()
    )
    letters = await rig.list_all("/api/v1/log-export/dead-letters", {})
    dead = frozenset(one["seq"] for one in letters)
    return ExportReport(
        written=written,
        kills=rounds,
        bulks=len(server.bodies),
        faults=faults,
        lost=frozenset(range(1, written + 1)) - there.keys() - dead,
        doubled=sum(there.values()) - len(there),
        dead=dead,
        refused=frozenset(range(7, written + 1, 50)),
        told=(await rig.http.get("/api/v1/log-export")).json(),
    )


def _is_refused(document: dict[str, Any]) -> bool:
    return int(document["event"]["sequence"]) % 50 == 7


def _break(server: FakeElasticsearch, rng: random.Random, faults: Counter[str]) -> None:
    """Have a third of all requests fail, before they are done or after, and documents too."""
    server.most_bytes = _LONGEST_BODY

    def whole(what: str) -> Any:
        if rng.random() > 0.25:
            return ...
        fault = rng.choice(_FAULTS)
        faults[f"{'resets' if fault is None else fault[0]} {what}"] += 1
        return fault

    def refuse(document: dict[str, Any]) -> tuple[int, dict[str, str]] | None:
        if _is_refused(document):
            return 400, _CONFLICT
        if rng.random() < 0.02:
            faults["429 of a document"] += 1
            return 429, _BUSY
        return None

    server.before = lambda _: whole("before")
    server.after = lambda _: whole("after")
    server.refuse = refuse


async def _write(rig: Rig, rng: random.Random, number: int) -> int:
    """Log lines of all sizes; how many."""
    lines = [
        {"message": f"line {number + one}", "text": "x" * rng.randrange(600)}
        for one in range(_LINES)
    ]
    content = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
    answer = await rig.http.post("/api/v1/logs", content=content)
    answer.raise_for_status()
    return int(answer.json()["accepted"])
