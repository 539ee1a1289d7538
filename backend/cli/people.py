"""People: what an operator does for one from a shell."""

import argparse
import asyncio
import secrets
import sys
from collections.abc import Awaitable, Callable
from typing import Final

from backend.app import Platform
from backend.cli.command import (
    OPERATOR,
    Command,
    CommandError,
    Options,
    run_on_platform,
    tenant_command,
)
from backend.core.context import Scope, SystemScope
from backend.managers.identity import ACCOUNT, PROVIDERS, SECOND_FACTOR, USERS, IdentityManager
from backend.managers.tenant import MemberNotFoundError, TenantManager, hash_password
from backend.settings import Settings

_PART: Final = 500


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
    async with platform.database.transaction(SystemScope(ACCOUNT, actor=OPERATOR)) as tx:
        await platform.of(IdentityManager).accounts.replace_password(tx, email, hashed, owner=True)


async def _list(platform: Platform, options: argparse.Namespace) -> None:
    """One person a line: e-mail, state, name, between tabs."""
    people, before = platform.of(TenantManager).people, None
    while True:
        async with platform.database.read(SystemScope(USERS)) as tx:
            rows = await people.list(tx, limit=_PART, before_id=before, q=options.q)
        for one in rows[:_PART]:
            state = "disabled" if one.disabled else "active"
            sys.stdout.write(f"{one.email}\t{state}\t{' '.join(one.name.split())}\n")
        if len(rows) <= _PART:
            return
        before = rows[_PART - 1].id


async def set_disabled(platform: Platform, email: str, *, disabled: bool) -> None:
    """Keep a person out of everything, or let them log in again.

    Raises:
        CommandError: Nobody logs in with this e-mail.
        LastOwnerError: A tenant would be left without an owner who may act.
    """
    tenants = platform.of(TenantManager)
    async with platform.database.transaction(SystemScope(USERS, actor=OPERATOR)) as tx:
        found = await tenants.find_login(tx, email)
        if found is None:
            msg = f"nobody logs in with {email}"
            raise CommandError(msg)
        if disabled:
            await platform.of(IdentityManager).accounts.disable(tx, found[0].id)
        else:
            await tenants.people.enable(tx, found[0].id)


def _command(
    name: str,
    text: str,
    work: Callable[[Platform, argparse.Namespace], Awaitable[None]],
    options: Options,
) -> Command:
    def run(settings: Settings, chosen: argparse.Namespace) -> None:
        run_on_platform(settings, lambda platform: work(platform, chosen))

    return Command(name, text, run, options)


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
    _command(
        "user-list",
        "print who logs in here",
        _list,
        lambda parser: parser.add_argument(
            "q", nargs="?", help="how an e-mail begins, or a part of a name"
        ),
    ),
    _command(
        "user-disable",
        "keep a person out of everything, now",
        lambda platform, options: set_disabled(platform, options.email, disabled=True),
        lambda parser: parser.add_argument("email"),
    ),
    _command(
        "user-enable",
        "let a person log in again",
        lambda platform, options: set_disabled(platform, options.email, disabled=False),
        lambda parser: parser.add_argument("email"),
    ),
)
