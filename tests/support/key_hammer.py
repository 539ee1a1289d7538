"""Encrypts with one key as fast as it can, and prints the version of each answer: a process.

    python -m tests.support.key_hammer DATABASE_URL ROOT_KEY_FILE TENANT_ID NAME

It ends when its standard input does.

A line is written once its answer would have been given, so whoever kills this counts no less than
was answered.
"""

import asyncio
import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from pydantic import SecretStr

from backend.app import compose
from backend.core.context import Scope
from backend.managers.security import SecurityManager, SecuritySettings
from backend.managers.security._operations import EncryptBody
from backend.managers.security.data_plane import DATA_ROUTES
from backend.managers.security.errors import KeyBusyError
from backend.settings import DatabaseSettings, Settings, TelemetrySettings

_AT_ONCE = 8
encrypt: Any = next(one.handler for one in DATA_ROUTES if one.handler.__name__ == "encrypt")


async def hammer(url: str, root_key: Path, tenant_id: str, name: str) -> None:
    """Until standard input ends."""
    platform = compose(
        Settings(
            data_dir=root_key.parent,
            database=DatabaseSettings(url=SecretStr(url), pool_size=4),
            security=SecuritySettings(root_key_file=root_key),
            telemetry=TelemetrySettings(access_log=False),
        )
    )
    call: Any = SimpleNamespace(
        database=platform.database,
        scope=Scope("test", tenant_id),
        parameters=SimpleNamespace(name=name),
        body=EncryptBody(b"attack at dawn"),
    )
    security = platform.of(SecurityManager)
    told = asyncio.create_task(asyncio.to_thread(sys.stdin.read))

    async def one_after_another() -> None:
        while not told.done():
            try:
                made = await encrypt(security, call)
            except KeyBusyError:
                continue
            os.write(1, b"%d\n" % made.version)

    await asyncio.gather(*(one_after_another() for _ in range(_AT_ONCE)))
    await told
    await platform.database.aclose()


if __name__ == "__main__":
    at, key, whose, which = sys.argv[1:]
    asyncio.run(hammer(at, Path(key), whose, which))
