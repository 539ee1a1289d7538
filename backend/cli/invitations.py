"""Invitations: how an operator brings a person into a tenant."""

import argparse
import sys
from typing import Final

from backend.app import Platform
from backend.cli.command import OPERATOR, as_in_api, tenant_command
from backend.core.context import Scope, SystemScope
from backend.http.schemas import Email
from backend.managers.identity import INVITE, IdentityManager


async def _invite(platform: Platform, scope: Scope, options: argparse.Namespace) -> None:
    """Print the link; where the platform has a mail server it is mailed too."""
    invitations = platform.of(IdentityManager).invitations
    await invitations.look_at(options.email)
    who = SystemScope(INVITE, actor=OPERATOR, tenant_id=scope.tenant_id)
    async with platform.database.transaction(who) as tx:
        _, link = await invitations.create(
            tx, email=options.email, name="", role=options.role, granter=None
        )
    sys.stdout.write(f"{link}\n")


def _invite_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("email", type=as_in_api(Email))
    parser.add_argument("--role", default="viewer", help="built-in, or one of the tenant's own")


COMMANDS: Final = (
    tenant_command(
        "invite",
        "invite a person to a tenant, and print the link that accepts",
        _invite,
        _invite_options,
    ),
)
