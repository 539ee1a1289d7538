"""The drill on ``docker-compose.yml``: Docker Compose takes it, and refuses what it should.

Compose is built here, at the version that is locked, and asked what it makes of the file. That
takes no engine, and says nothing of whether the images are to be had.
"""

import asyncio
import os
import random
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from scripts.drills.rig import DrillError, Where
from scripts.installation import ROOT
from tests.support.compose import FILE, SECRETS, ComposeError, config

_BUILD_SECONDS: Final = 3000.0


@dataclass(frozen=True, slots=True)
class ComposeReport:
    """What Compose makes of the file.

    Attributes:
        version: Of Compose.
        build_seconds: For it to be there; next to nothing the second time.
        check_seconds: For the file, with every profile.
        plain: The services without a profile.
        every: The services with every profile.
        declared: The services that the file declares.
        taken: What was taken that must be refused.
    """

    version: str
    build_seconds: float
    check_seconds: float
    plain: frozenset[str]
    every: frozenset[str]
    declared: frozenset[str]
    taken: tuple[str, ...]

    def __str__(self) -> str:
        return (
            f"Compose {self.version}, there after {self.build_seconds:.0f} s: {len(self.plain)} "
            f"services, {len(self.every)} with every profile, in {self.check_seconds:.1f} s"
        )

    def problems(self) -> list[str]:
        """What is wrong; nothing, when all is well."""
        found = [f"it takes a file {what}" for what in self.taken]
        if self.every != self.declared:
            found.append(f"with every profile it has not {sorted(self.declared ^ self.every)}")
        if not self.plain < self.every:
            found.append("no service waits for a profile")
        return found


async def run_compose(_: Where, __: random.Random, folder: Path) -> ComposeReport:
    """Build Compose, and have it read the file as it is and broken in ways that it must refuse.

    Raises:
        DrillError: It cannot be built, or refuses the file.
    """
    return await asyncio.to_thread(_ask, folder)


def _ask(folder: Path) -> ComposeReport:
    folder.mkdir(parents=True)
    began = time.monotonic()
    program = _build()
    built = time.monotonic() - began
    version = subprocess.run(
        [program, "version", "--short"], capture_output=True, text=True, check=True, timeout=60
    ).stdout.strip()
    given = dict.fromkeys(SECRETS, "secret")
    said = yaml.safe_load(FILE.read_text())
    try:
        plain = config(program, given)
        began = time.monotonic()
        every = config(program, given, profiles=["*"])
        took = time.monotonic() - began
    except ComposeError as exc:
        raise DrillError(f"docker compose config: {str(exc).splitlines()[-1]}") from exc
    taken = []
    for name in SECRETS:
        less = {key: value for key, value in given.items() if key != name}
        if _takes(program, less):
            taken.append(f"without {name}")
    for what, broken in _broken(said).items():
        file = folder / "broken.yml"
        file.write_text(yaml.safe_dump(broken))
        if _takes(program, given, file):
            taken.append(what)
    return ComposeReport(
        version or "of a version it does not tell",
        built,
        took,
        frozenset(plain["services"]),
        frozenset(every["services"]),
        frozenset(said["services"]),
        tuple(taken),
    )


def _takes(program: Path, given: dict[str, str], file: Path = FILE) -> bool:
    try:
        config(program, given, file, ["*"])
    except ComposeError:
        return False
    return True


def _broken(said: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """By what is wrong with it: the file with that one thing wrong."""
    worker = said["services"]["worker"]

    def worker_with(**changed: Any) -> dict[str, Any]:
        return {**said, "services": {**said["services"], "worker": {**worker, **changed}}}

    return {
        "with a key that there is not": worker_with(healtcheck={}),
        "that depends on a service that there is not": worker_with(depends_on=["nobody"]),
        "that mounts a volume that there is not": worker_with(volumes=["nothing:/data"]),
        "with a limit that is none": worker_with(mem_limit="much"),
    }


def _build() -> Path:
    ensure = '. "$0"; ensure_compose && printf "%s" "$EMAIL_SENDER_COMPOSE"'
    done = subprocess.run(
        ["bash", "-c", ensure, str(ROOT / "scripts/lib/common.sh")],
        env={**os.environ},
        capture_output=True,
        text=True,
        check=False,
        timeout=_BUILD_SECONDS,
    )
    if done.returncode:
        said = done.stderr.strip().splitlines()[-3:] or ["(nothing)"]
        raise DrillError(f"no Docker Compose: {' / '.join(said)}")
    return Path(done.stdout)
