"""Makes a client of the demo tenant that may do all there is; prints what it logs in with."""

import asyncio
import json
import sys

from backend.app import compose
from backend.cli.command import OPERATOR, find_tenant
from backend.core.context import Scope
from backend.managers.identity import IdentityManager
from backend.settings import Settings


async def _make() -> dict[str, str]:
    platform = compose(Settings())
    async with platform.running():
        tenant = await find_tenant(platform, "demo")
        async with platform.database.transaction(Scope(OPERATOR, tenant.id)) as tx:
            client, secret = await platform.of(IdentityManager).clients.create_client(
                tx, name="drill", role="owner", granter=None
            )
        return {"client_id": client.client_id, "client_secret": secret}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asyncio.run(_make())))
