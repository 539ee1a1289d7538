"""People: what an operator does for one from a shell."""

import argparse
import asyncio
import secrets
import sys
from typing import Final

from backend.app import Platform
from backend.cli.command import OPERATOR, Command, run_on_platform, tenant_command
from backend.core.context import Scope, SystemScope
from backend.managers.identity import AUTHENTICATE, PROVIDERS, SECOND_FACTOR, IdentityManager
from backend.managers.tenant import MemberNotFoundError, TenantManager, hash_password
from backend.settings import Settings


def _reset_password(settings: Settings, options: argparse.Namespace) -> None:
    password = secrets.token_urlsafe(15)
    run_on_platform(settings, lambda platform: reset_password(platform, options.email, password))
    sys.stdout.write(f"{password}\n")


async def reset_password(platform: Platform, email: str, password: str) -> None:
    """Replace a person's password and end every log-in that the old one began.

    Raises:
        MemberNotFoundError: Nobody logs in with this e-mail.
    """
    hashed = await asyncio.to_thread(hash_password, password)
    scope = SystemScope(AUTHENTICATE, actor=OPERATOR)
    async with platform.database.transaction(scope) as tx:
        user = await platform.of(TenantManager).set_password(tx, email=email, password_hash=hashed)
        await platform.of(IdentityManager).provider.log_ins.end_all(tx, user.id)


def _reset_totp(settings: Settings, options: argparse.Namespace) -> None:
    had = run_on_platform(settings, lambda platform: reset_totp(platform, options.email))
    sys.stdout.write("removed\n" if had else "there was none\n")


async def reset_totp(platform: Platform, email: str) -> bool:
    """Take a person's second factor away and end their log-ins; whether there was one.

    Raises:
        MemberNotFoundError: Nobody logs in with this e-mail.
    """
    scope = SystemScope(SECOND_FACTOR, actor=OPERATOR)
    async with platform.database.transaction(scope) as tx:
        found = await platform.of(TenantManager).find_login(tx, email)
        if found is None:
            raise MemberNotFoundError("Nobody logs in with this e-mail")
        return await platform.of(IdentityManager).reset_second_factor(tx, found[0].id)


async def _release_domain(platform: Platform, scope: Scope, _: argparse.Namespace) -> None:
    system = SystemScope(PROVIDERS, actor=scope.actor, tenant_id=scope.tenant_id)
    async with platform.database.transaction(system) as tx:
        names = await platform.of(IdentityManager).providers.stop_enforcing(tx)
    sys.stdout.write("".join(f"{name}: passwords open it again\n" for name in names))


COMMANDS: Final = (
    Command(
        "reset-password",
        "give a person a new random password",
        _reset_password,
        lambda parser: parser.add_argument("email"),
    ),
    Command(
        "reset-totp",
        "take the second factor of a person who lost it",
        _reset_totp,
        lambda parser: parser.add_argument("email"),
    ),
    tenant_command(
        "identity-provider-release",
        "let a tenant's people log in with passwords again, when their provider fails",
        _release_domain,
    ),
)
