"""People: what an operator does for one from a shell."""

import argparse
import asyncio
import secrets
import sys
from typing import Final

from backend.app import Platform, compose
from backend.cli.command import Command, run_async
from backend.core.context import SystemScope
from backend.managers.identity import AUTHENTICATE, IdentityManager
from backend.managers.tenant import TenantManager, hash_password
from backend.settings import Settings


def _reset_password(settings: Settings, options: argparse.Namespace) -> None:
    platform = compose(settings)
    password = secrets.token_urlsafe(15)

    async def reset() -> None:
        async with platform.running():
            await reset_password(platform, options.email, password)

    run_async(reset())
    sys.stdout.write(f"{password}\n")


async def reset_password(platform: Platform, email: str, password: str) -> None:
    """Replace a person's password and end every log-in that the old one began.

    Raises:
        MemberNotFoundError: Nobody logs in with this e-mail.
    """
    hashed = await asyncio.to_thread(hash_password, password)
    scope = SystemScope(AUTHENTICATE, actor="system:operator")
    async with platform.database.transaction(scope) as tx:
        user = await platform.of(TenantManager).set_password(tx, email=email, password_hash=hashed)
        await platform.of(IdentityManager).provider.log_ins.end_all(tx, user.id)


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("email")


COMMANDS: Final = (
    Command("reset-password", "give a person a new random password", _reset_password, _options),
)
