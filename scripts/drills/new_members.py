"""Makes two people of the demo tenant, an administrator and a viewer; prints their ids."""

import asyncio
import json
import sys
from typing import Final

from backend.app import compose
from backend.cli.command import OPERATOR, find_tenant
from backend.core.context import Scope, SystemScope
from backend.managers.tenant import PLATFORM, TenantManager
from backend.settings import Settings

_ROLES: Final = ("admin", "viewer")


async def _make() -> dict[str, str]:
    platform = compose(Settings())
    async with platform.running():
        tenant, manager = await find_tenant(platform, "demo"), platform.of(TenantManager)
        made = {}
        for role in _ROLES:
            async with platform.database.transaction(SystemScope(PLATFORM)) as tx:
                user = await manager.create_user(
                    tx, email=f"{role}@example.com", name=role, password_hash=None
                )
            async with platform.database.transaction(Scope(OPERATOR, tenant.id)) as tx:
                await manager.add_member(
                    tx, tenant_id=tenant.id, user_id=user.id, role=role, granter=None
                )
            made[role] = user.id
        return made


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asyncio.run(_make())))
