"""A drill on sealing anew: a data key replaced under load, and who seals anew killed on the way.

Under the first version are secrets, messages with their subjects, and templates; all are read, and
some written, while the keys change.
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
from scripts.drills import secret_planter
from scripts.drills.rig import DrillError, Json, Rig

SETTINGS: Final[dict[str, str]] = {
    "SECURITY__KEYRING_SECONDS": "1",
    "SECURITY__SETTLE_SECONDS": "2",
    "SECURITY__REWRAP_ROWS_PER_SECOND": "5000",
    # Looking on is what the drill does; it must not be slowed down for it.
    "SECRETS__REQUESTS_PER_SECOND": "100000",
    "SECRETS__BURST_REQUESTS": "100000",
}
_BEGIN: Final = "planted-"
_TEMPLATES: Final = 20
_WRITTEN: Final = 20
_PLANTED: Final = 200
_PLANTED_AT_ONCE: Final = 50_000
_BATCH: Final = 500
_READERS: Final = 3
# A message has its subject and its content sealed: a share of them makes a walk over two columns.
_SECRETS_A_MESSAGE: Final = 10
_END_SECONDS: Final = 1800.0
_STRIKE_SECONDS: Final = 600.0
_MOST_GROWTH: Final = 1.3
_NEVER: Final = 2**62


@dataclass(slots=True)
class _Load:
    """What readers and writers met while the keys changed."""

    said: dict[str, tuple[str, str]]
    """Subject and text by the message's id."""
    secrets: int
    templates: dict[str, str] = field(default_factory=dict)
    reads: int = 0
    writes: int = 0
    failed: list[str] = field(default_factory=list)
    over: bool = False


@dataclass(frozen=True, slots=True)
class RewrapReport:
    """What became of what was sealed under the first version."""

    secrets: int
    sealed: int
    """Values of all kinds under the first version."""
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
    first_mib: float
    """What a worker had when it had sealed the first tenth anew."""
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
        if self.most_mib > _MOST_GROWTH * self.first_mib:
            said.append(f"the worker grew from {self.first_mib:.0f} to {self.most_mib:.0f} MiB")
        if not self.reads or not self.writes:
            said.append("nobody read or wrote meanwhile")
        return said

    def __str__(self) -> str:
        """One line for people."""
        return (
            f"{self.secrets} secrets, {self.sealed} values in all under version 1, "
            f"{self.kills} kills of the worker, "
            f"{self.in_the_middle} in the middle; {self.written} sealed anew in "
            f"{self.seconds:.0f} s, {self.reads} reads and {self.writes} writes meanwhile, "
            f"{len(self.failed)} failed; {self.state}, left: {self.left}, versions "
            f"{list(self.versions)}, {self.records} signed records; the worker had "
            f"{self.first_mib:.0f} MiB after a tenth and at most {self.most_mib:.0f}; "
            f"{len(self.found)} planted words in the clear"
        )


async def rewrap(
    rig: Rig, rng: random.Random, *, secrets: int = 100_000, kills: int = 3
) -> RewrapReport:
    """Replace the data key with so many values under it, and kill the worker meanwhile."""
    await rig.become_owner()
    for first in range(0, secrets, _PLANTED_AT_ONCE):
        count = min(_PLANTED_AT_ONCE, secrets - first)
        planting = ("scripts.drills.secret_planter", str(first), str(count))
        await asyncio.to_thread(rig.run_module, *planting)
    load = _Load(await _plant(rig, secrets // _SECRETS_A_MESSAGE), secrets)
    for number in range(_TEMPLATES):
        await _put_template(rig, load, f"t-{number}", rng)
    planted = _words(rng, load)
    await _sent(rig, planted)
    _expect(await rig.http.post("/api/v1/data-keys/rotate"), 201)
    began = monotonic()
    await rig.start("worker")
    tasks = [asyncio.create_task(_read(rig, load, rng)) for _ in range(_READERS)]
    tasks.append(asyncio.create_task(_write(rig, load, rng)))
    sizes: list[float] = []
    in_the_middle = 0
    sealed = secrets + 2 * len(load.said) + _TEMPLATES

    async def has_written(goal: int) -> bool:
        walk = await _walk(rig)
        if walk["written"] >= sealed // 10:
            sizes.append(rig.mib("worker"))
        return walk["state"] != "running" or int(walk["written"]) >= goal

    try:
        for number in range(1, kills + 1):
            goal = sealed * number // (kills + 2)

            async def got_so_far(goal: int = goal) -> bool:
                return await has_written(goal)

            await rig.until(got_so_far, _STRIKE_SECONDS, "the walk to go on", pause=0.02)
            await asyncio.sleep(rng.uniform(0, 0.05))
            await rig.kill("worker")
            in_the_middle += (await _walk(rig))["state"] == "running"
            await rig.start("worker")

        async def ended() -> bool:
            return await has_written(_NEVER)

        await rig.until(ended, _END_SECONDS, "the walk to end", pause=0.2)
    finally:
        load.over = True
        ended_by = await asyncio.gather(*tasks, return_exceptions=True)
        load.failed += [repr(one) for one in ended_by if one is not None]
    seconds = monotonic() - began
    for key, said in rng.sample(sorted(load.said.items()), min(_PLANTED, len(load.said))):
        await _check_content(rig, load, key, said)
    for number in rng.sample(range(secrets), min(_PLANTED, secrets)):
        await _check_secret(rig, load, *secret_planter.planted(number))
    walk = await _walk(rig)
    keys = _expect(await rig.http.get("/api/v1/data-keys"), 200)["items"]
    records = _expect(await rig.http.get("/api/v1/data-keys/retirements"), 200)["items"]
    return RewrapReport(
        secrets=secrets,
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
        first_mib=sizes[0] if sizes else 0.0,
        most_mib=max(sizes, default=0.0),
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
    numbers = rng.sample(range(load.secrets), min(_PLANTED, load.secrets))
    values = [secret_planter.planted(number)[1] for number in numbers]
    return [word for pair in some for word in pair] + values + list(load.templates.values())


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
        await _check_secret(rig, load, *secret_planter.planted(rng.randrange(load.secrets)))
        await asyncio.sleep(0)


async def _check_secret(rig: Rig, load: _Load, path: str, wanted: str) -> None:
    answer = await rig.http.get("/api/v1/secrets/by-path/value", params={"path": path})
    load.reads += 1
    if answer.status_code != 200 or answer.json()["value"] != wanted:
        load.failed.append(f"reading {path}: {answer.status_code} {answer.text[:200]}")


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
        path = f"written/{rng.randrange(_WRITTEN)}"
        word = f"planted-secret-{rng.randrange(16**12):012x}"
        answer = await rig.http.post("/api/v1/secrets", json={"path": path, "value": word})
        load.writes += 1
        if answer.status_code != 201:
            load.failed.append(f"writing {path}: {answer.status_code} {answer.text[:200]}")
        await _check_secret(rig, load, path, word)
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


def _expect(answer: Any, status: int) -> Json:
    if answer.status_code != status:
        raise DrillError(f"{answer.request.url.path}: {answer.status_code} {answer.text[:300]}")
    found: Json = answer.json()
    return found
