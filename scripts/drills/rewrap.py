"""A drill on sealing anew: a data key replaced under load, and who seals anew killed on the way.

What is planted is looked for, afterwards, in every file that the installation has written: the
database with its journal, the mail sink, the logs.
"""

import asyncio
import base64
import mmap
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, timedelta
from pathlib import Path
from typing import Any, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from backend.core.clock import monotonic, system_clock
from scripts.drills.rig import DrillError, Json, Rig

SETTINGS: Final[dict[str, str]] = {
    "SECURITY__KEYRING_SECONDS": "1",
    "SECURITY__SETTLE_SECONDS": "2",
    "SECURITY__REWRAP_ROWS_PER_SECOND": "5000",
}
_BEGIN: Final = "planted-"
_TEMPLATES: Final = 20
_PLANTED: Final = 200
_BATCH: Final = 500
_READERS: Final = 3
_END_SECONDS: Final = 1500.0
_STRIKE_SECONDS: Final = 120.0


@dataclass(slots=True)
class _Load:
    """What readers and writers met while the keys changed."""

    said: dict[str, tuple[str, str]]
    """Subject and text by the message's id."""
    templates: dict[str, str] = field(default_factory=dict)
    reads: int = 0
    writes: int = 0
    failed: list[str] = field(default_factory=list)
    over: bool = False


@dataclass(frozen=True, slots=True)
class RewrapReport:
    """What became of what was sealed under the first version."""

    sealed: int
    kills: int
    in_the_middle: int
    """Kills that came while the walk was under way."""
    reads: int
    writes: int
    failed: Sequence[str]
    state: str
    left: Mapping[str, int] | None
    versions: Sequence[int]
    records: int
    signed: bool
    found: Sequence[str]
    """Planted words that stand in the clear, and where."""
    written: int
    seconds: float
    most_mib: float
    """The largest that a worker became."""
    errors: Sequence[str]

    def problems(self) -> list[str]:
        """What is wrong; nothing, when all is well."""
        said = [*self.failed[:1], *self.found[:3], *self.errors[:1]]
        if self.state != "finished" or self.left:
            said.append(f"the walk is {self.state}, left: {self.left}")
        if list(self.versions) != [2]:
            said.append(f"the versions are {self.versions}")
        if self.records != 1 or not self.signed:
            said.append(f"{self.records} records, signed: {self.signed}")
        if self.in_the_middle < self.kills:
            said.append(f"only {self.in_the_middle} of {self.kills} kills met the walk")
        if not self.reads or not self.writes:
            said.append("nobody read or wrote meanwhile")
        return said

    def __str__(self) -> str:
        """One line for people."""
        return (
            f"{self.sealed} values under version 1, {self.kills} kills of the worker, "
            f"{self.in_the_middle} in the middle; {self.written} sealed anew in "
            f"{self.seconds:.0f} s, {self.reads} reads and {self.writes} writes meanwhile, "
            f"{len(self.failed)} failed; {self.state}, left: {self.left}, versions "
            f"{list(self.versions)}, {self.records} signed records; the worker had at most "
            f"{self.most_mib:.0f} MiB; {len(self.found)} planted words in the clear"
        )


async def rewrap(
    rig: Rig, rng: random.Random, *, secrets: int = 100_000, kills: int = 3
) -> RewrapReport:
    """Replace the data key with so many values under it, and kill the worker meanwhile."""
    await rig.become_owner()
    load = _Load(await _plant(rig, secrets))
    for number in range(_TEMPLATES):
        await _put_template(rig, load, f"t-{number}", rng)
    planted = _words(rng, load)
    await _sent(rig, planted)
    _expect(await rig.http.post("/api/v1/data-keys/rotate"), 201)
    began = monotonic()
    await rig.start("worker")
    tasks = [asyncio.create_task(_read(rig, load, rng)) for _ in range(_READERS)]
    tasks.append(asyncio.create_task(_write(rig, load, rng)))
    most = [0.0]
    in_the_middle = 0
    sealed = 2 * secrets + _TEMPLATES
    try:
        for number in range(1, kills + 1):
            goal = sealed * number // (kills + 2)

            async def got_so_far(goal: int = goal) -> bool:
                most[0] = max(most[0], _mib(rig.pid("worker")))
                return int((await _walk(rig))["written"]) >= goal

            await rig.until(got_so_far, _STRIKE_SECONDS, "the walk to go on", pause=0.02)
            await asyncio.sleep(rng.uniform(0, 0.05))
            await rig.kill("worker")
            in_the_middle += (await _walk(rig))["state"] == "running"
            await rig.start("worker")

        async def ended() -> bool:
            most[0] = max(most[0], _mib(rig.pid("worker")))
            return str((await _walk(rig))["state"]) != "running"

        await rig.until(ended, _END_SECONDS, "the walk to end", pause=0.2)
    finally:
        load.over = True
        await asyncio.gather(*tasks, return_exceptions=True)
    seconds = monotonic() - began
    for key, said in rng.sample(sorted(load.said.items()), min(_PLANTED, len(load.said))):
        await _check_content(rig, load, key, said)
    walk = await _walk(rig)
    keys = _expect(await rig.http.get("/api/v1/data-keys"), 200)["items"]
    records = _expect(await rig.http.get("/api/v1/data-keys/retirements"), 200)["items"]
    return RewrapReport(
        sealed=sealed,
        kills=kills,
        in_the_middle=in_the_middle,
        reads=load.reads,
        writes=load.writes,
        failed=load.failed,
        state=walk["state"],
        left=walk["left"],
        versions=[one["version"] for one in keys],
        records=len(records),
        signed=await _are_signed(rig, records),
        found=await asyncio.to_thread(find_words, planted, _folders(rig)),
        written=walk["written"],
        seconds=seconds,
        most_mib=most[0],
        errors=rig.logged_errors(),
    )


async def _plant(rig: Rig, count: int) -> dict[str, tuple[str, str]]:
    """Messages that are not sent before the drill is over; what each says, by its id."""
    later = (system_clock().astimezone(UTC) + timedelta(days=300)).isoformat()
    said: dict[str, tuple[str, str]] = {}
    for start in range(0, count, _BATCH):
        words = [
            (f"planted-subject-{number:08d}", f"planted-body-{number:08d}")
            for number in range(start, min(start + _BATCH, count))
        ]
        made = await rig.submit(
            [
                {
                    "to": [f"n{number}@example.test"],
                    "subject": subject,
                    "text": text,
                    "send_at": later,
                }
                for number, (subject, text) in enumerate(words)
            ]
        )
        said |= {one["id"]: word for one, word in zip(made, words, strict=True)}
    return said


async def _sent(rig: Rig, planted: list[str]) -> None:
    """Some that are sent, so that the mail sink has something to hide."""
    words = [(f"planted-subject-sent-{n}", f"planted-body-sent-{n}") for n in range(20)]
    await rig.submit(
        [
            {"to": [f"sent{n}@example.test"], "subject": subject, "text": text}
            for n, (subject, text) in enumerate(words)
        ]
    )
    planted += [word for pair in words for word in pair]


def _words(rng: random.Random, load: _Load) -> list[str]:
    some = rng.sample(sorted(load.said.values()), min(_PLANTED, len(load.said)))
    return [word for pair in some for word in pair] + list(load.templates.values())


async def _put_template(rig: Rig, load: _Load, name: str, rng: random.Random) -> None:
    text = f"planted-template-{rng.randrange(16**12):012x}"
    body = {"subject": f"{text}-subject", "text": text, "html": None}
    answer = await rig.http.put(f"/api/v1/email-templates/{name}", json=body)
    if answer.status_code not in {200, 201}:
        load.failed.append(f"saving a template: {answer.status_code} {answer.text}")
        return
    load.templates[name] = text
    load.writes += 1


async def _read(rig: Rig, load: _Load, rng: random.Random) -> None:
    keys = list(load.said)
    while not load.over:
        key = rng.choice(keys)
        await _check_content(rig, load, key, load.said[key])
        await asyncio.sleep(0)


async def _check_content(rig: Rig, load: _Load, key: str, said: tuple[str, str]) -> None:
    for path, part, wanted in (
        (f"/api/v1/emails/{key}", "subject", said[0]),
        (f"/api/v1/emails/{key}/content", "text", said[1]),
    ):
        answer = await rig.http.get(path)
        load.reads += 1
        if answer.status_code != 200 or answer.json()[part].strip() != wanted:
            load.failed.append(f"{path}: {answer.status_code} {answer.text[:200]}")


async def _write(rig: Rig, load: _Load, rng: random.Random) -> None:
    while not load.over:
        name = f"t-{rng.randrange(_TEMPLATES)}"
        await _put_template(rig, load, name, rng)
        answer = await rig.http.get(f"/api/v1/email-templates/{name}")
        load.reads += 1
        if answer.status_code != 200 or answer.json()["text"] != load.templates[name]:
            load.failed.append(f"reading a template: {answer.status_code} {answer.text[:200]}")
        await asyncio.sleep(0.02)


async def _walk(rig: Rig) -> Json:
    (walk,) = _expect(await rig.http.get("/api/v1/rewraps"), 200)["items"]
    found: Json = walk
    return found


async def _are_signed(rig: Rig, records: Iterable[Json]) -> bool:
    key = _expect(await rig.http.get("/api/v1/data-keys/retirement-key"), 200)
    public = Ed25519PublicKey.from_public_bytes(base64.b64decode(key["public_key"]))
    try:
        for one in records:
            public.verify(base64.b64decode(one["signature"]), one["statement"].encode())
    except InvalidSignature:
        return False
    return True


def _folders(rig: Rig) -> list[Path]:
    """Where the installation has written anything."""
    server = rig.where.server
    return [rig.folder, *([] if server is None else [server.folder])]


def find_words(words: Sequence[str], folders: Iterable[Path]) -> list[str]:
    """Where any of the words, which begin alike, stands in a file as UTF-8 or UTF-16."""
    needles = [(word, word.encode(form)) for word in words for form in ("utf-8", "utf-16-le")]
    # A file with none of them is passed over in one look for each form.
    begins = [_BEGIN.encode(form) for form in ("utf-8", "utf-16-le")]
    found = []
    for folder in folders:
        for path in folder.rglob("*"):
            if not path.is_file() or not path.stat().st_size:
                continue
            with path.open("rb") as file, _mapped(file.fileno()) as content:
                if any(content.find(begin) >= 0 for begin in begins):
                    found += [
                        f"{word} in {path}" for word, needle in needles if content.find(needle) >= 0
                    ]
    return found


def _mapped(descriptor: int) -> Any:
    return mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ)


def _mib(pid: int) -> float:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return 0.0
    line = next((one for one in status.splitlines() if one.startswith("VmRSS:")), "VmRSS: 0 kB")
    return int(line.split()[1]) / 1024


def _expect(answer: Any, status: int) -> Json:
    if answer.status_code != status:
        raise DrillError(f"{answer.request.url.path}: {answer.status_code} {answer.text[:300]}")
    found: Json = answer.json()
    return found
