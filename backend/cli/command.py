"""What a command is made of, and what its modules share."""

import argparse
import asyncio
import dataclasses
from collections.abc import Callable
from typing import Any

import uvicorn

from backend.app import Platform
from backend.core.context import SystemScope
from backend.managers.tenant import PLATFORM, Tenant, TenantManager
from backend.settings import Settings


class CommandError(Exception):
    """A failure to be told in one line."""


@dataclasses.dataclass(frozen=True, slots=True)
class Command:
    """One word after ``email-sender``.

    Attributes:
        name: The word.
        text: What it does, in a line.
        run: Does it; what it raises of ours becomes one line and exit status 2.
        options: Adds its arguments.
    """

    name: str
    text: str
    run: Callable[[Settings, argparse.Namespace], None]
    options: Callable[[argparse.ArgumentParser], None] = lambda _: None


def run_async(work: Any) -> Any:
    """Run a coroutine to its end, on the loop that the servers use."""
    with asyncio.Runner(
        loop_factory=uvicorn.Config("", loop="uvloop").get_loop_factory()
    ) as runner:
        return runner.run(work)


async def find_tenant(platform: Platform, slug: str) -> Tenant:
    """The tenant that an operator names.

    Raises:
        CommandError: There is none of this name.
    """
    async with platform.database.read(SystemScope(PLATFORM)) as view:
        tenant = await platform.of(TenantManager).find_tenant(view, slug)
    if tenant is None:
        msg = f"no tenant {slug!r}"
        raise CommandError(msg)
    return tenant
