"""Roles: a tenant's own, printed, saved and deleted, and what a person is to the platform."""

import argparse
import sys
from typing import Annotated, Final, get_args

from pydantic import Field

from backend.app import Platform
from backend.cli.command import (
    OPERATOR,
    Command,
    CommandError,
    as_in_api,
    run_on_platform,
    tenant_command,
)
from backend.core.context import Scope, SystemScope
from backend.managers.tenant import PLATFORM, PlatformRole, Role, TenantManager
from backend.settings import Settings

_NOTHING: Final = "none"


async def _list(platform: Platform, scope: Scope, _: argparse.Namespace) -> None:
    """One role a line, then its permissions, between tabs."""
    async with platform.database.read(scope) as tx:
        roles = await platform.of(TenantManager).roles.list(tx)
    for role in roles:
        sys.stdout.write(f"{role.name}\t{' '.join(sorted(role.permissions))}\n")


async def _save(platform: Platform, scope: Scope, options: argparse.Namespace) -> None:
    roles = platform.of(TenantManager).roles
    async with platform.database.transaction(scope) as tx:
        await roles.put(
            tx,
            name=options.name,
            description=options.description,
            permissions=frozenset(options.permissions),
            expected_version=None,
            granter=None,
        )


def _save_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", type=as_in_api(Role))
    parser.add_argument("permissions", nargs="*", help="such as email:read")
    parser.add_argument(
        "--description", type=as_in_api(Annotated[str, Field(max_length=500)]), default=""
    )


async def _delete(platform: Platform, scope: Scope, options: argparse.Namespace) -> None:
    async with platform.database.transaction(scope) as tx:
        await platform.of(TenantManager).roles.delete(tx, options.name, remover=None)


def _set_platform_role(settings: Settings, options: argparse.Namespace) -> None:
    run_on_platform(
        settings, lambda platform: set_platform_role(platform, options.email, options.role)
    )


async def set_platform_role(platform: Platform, email: str, role: str) -> None:
    """Make a person something to the platform; ``none``: nothing any more.

    Raises:
        CommandError: Nobody logs in with this e-mail.
        LastAdministratorError: Nobody could administer the platform any more.
    """
    tenants = platform.of(TenantManager)
    async with platform.database.transaction(SystemScope(PLATFORM, actor=OPERATOR)) as tx:
        found = await tenants.find_login(tx, email)
        if found is None:
            msg = f"nobody logs in as {email!r}"
            raise CommandError(msg)
        wanted: PlatformRole | None = next(
            (one for one in get_args(PlatformRole) if one == role), None
        )
        await tenants.platform_roles.set(
            tx, user_id=found[0].id, platform_role=wanted, granter=None
        )


def _platform_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("email")
    parser.add_argument("role", choices=[*get_args(PlatformRole), _NOTHING])


COMMANDS: Final = (
    tenant_command(
        "role-list", "print a tenant's roles and what they permit", _list, installation="looks"
    ),
    tenant_command("role-save", "make or change a role of a tenant's own", _save, _save_options),
    tenant_command(
        "role-delete",
        "delete a role that nobody holds",
        _delete,
        lambda parser: parser.add_argument("name"),
    ),
    Command(
        "platform-role",
        "make a person administrator, auditor or support of the platform",
        _set_platform_role,
        _platform_options,
    ),
)
