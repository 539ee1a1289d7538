"""Docker Compose itself, to ask what it makes of a file: no engine is needed for that."""

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parents[2]
FILE: Final = ROOT / "docker-compose.yml"
SECRETS: Final = ("DATABASE_PASSWORD", "OWNER_PASSWORD", "POSTGRES_PASSWORD", "REDIS_PASSWORD")
SCHEMA_MISSING: Final = (
    "there is no schema of Compose files: scripts/test fetches it with Go, or set "
    "EMAIL_SENDER_COMPOSE_SCHEMA to a compose-spec.json"
)
MISSING: Final = (
    "there is no Docker Compose: scripts/test builds it with Go, or set "
    "EMAIL_SENDER_COMPOSE to a docker-compose of version 2"
)
_SECONDS: Final = 120.0


class ComposeError(Exception):
    """It refused a file; with what it said."""


def find_schema() -> Path | None:
    """The schema of Compose files; None when there is none."""
    return _named("EMAIL_SENDER_COMPOSE_SCHEMA")


def find_program() -> Path | None:
    """Docker Compose; None when there is none."""
    return _named("EMAIL_SENDER_COMPOSE")


def _named(variable: str) -> Path | None:
    said = os.environ.get(variable)
    return Path(said) if said and Path(said).is_file() else None


def config(
    program: Path, given: Mapping[str, str], file: Path = FILE, profiles: Sequence[str] = ()
) -> dict[str, Any]:
    """What ``docker compose config`` makes of a file with these variables and no others.

    Raises:
        ComposeError: It refuses the file.
    """
    command = [str(program), "--file", str(file), "--env-file", os.devnull]
    for profile in profiles:
        command += ["--profile", profile]
    done = subprocess.run(
        [*command, "config", "--format", "json"],
        env={"PATH": os.environ["PATH"], "HOME": os.devnull, **given},
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=_SECONDS,
    )
    if done.returncode:
        raise ComposeError(done.stderr.strip())
    found: dict[str, Any] = json.loads(done.stdout)
    return found
