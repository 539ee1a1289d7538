"""Stores secrets of the demo tenant by the hundred thousand, and prints nothing.

    python -m scripts.drills.secret_planter FIRST COUNT

By bulk statements: by the API they would take an hour, and what is drilled comes after them. The
rows are as the manager writes them, each value sealed by the tenant's own keys for its own place.
"""

import asyncio
import sys
from typing import Any, Final

from backend.app import compose
from backend.cli.command import OPERATOR, find_tenant
from backend.core.context import Scope
from backend.core.database import Tx
from backend.core.ids import uuid7
from backend.managers.secrets import DEFAULT_ENVIRONMENT, Keeping
from backend.managers.secrets import _totals as totals
from backend.managers.secrets._rows import place_of
from backend.managers.secrets._values import packed
from backend.managers.secrets.models import SecretRow, VersionRow
from backend.managers.security import SecurityManager
from backend.settings import Settings

_AT_ONCE: Final = 1000


def planted(number: int) -> tuple[str, str]:
    """Path and value of the secret with this number."""
    return f"drill/{number:06d}", f"planted-secret-{number:08d}"


async def _plant(first: int, count: int) -> None:
    platform = compose(Settings())
    security = platform.of(SecurityManager)
    async with platform.running():
        tenant = await find_tenant(platform, "demo")
        for start in range(first, first + count, _AT_ONCE):
            async with platform.database.transaction(Scope(OPERATOR, tenant.id)) as tx:
                await _store(tx, security, range(start, min(start + _AT_ONCE, first + count)))


async def _store(tx: Tx, security: SecurityManager, numbers: range) -> None:
    keyring, usual, now = await security.keyring(tx), Keeping(), tx.now()
    secrets: list[dict[str, Any]] = []
    versions: list[dict[str, Any]] = []
    for number in numbers:
        path, word = planted(number)
        secret_id, version_id = uuid7(), uuid7()
        sealed = keyring.seal(place_of(version_id), packed(word))
        secrets.append(
            {
                "tenant_id": tx.tenant_id,
                "id": secret_id,
                "environment": DEFAULT_ENVIRONMENT,
                "path": path,
                "description": usual.description,
                "labels": dict(usual.labels),
                "newest": 1,
                "max_versions": usual.max_versions,
                "cas_required": usual.cas_required,
                "ttl_seconds": usual.ttl_seconds,
                "remind_seconds": usual.remind_seconds,
                "revision": uuid7(),
                "created_by": tx.scope.actor,
                "created_at": now,
                "updated_at": now,
            }
        )
        versions.append(
            {
                "tenant_id": tx.tenant_id,
                "id": version_id,
                "secret_id": secret_id,
                "version": 1,
                "sealed": sealed,
                "size_bytes": len(sealed),
                "created_by": tx.scope.actor,
                "created_at": now,
                "expires_at": None,
                "deleted_at": None,
                "destroyed_at": None,
                "due_at": None,
            }
        )
    await tx.insert(SecretRow, secrets)
    await tx.insert(VersionRow, versions)
    size = sum(one["size_bytes"] for one in versions)
    await totals.add(tx, secrets=len(secrets), size_bytes=size)
    tx.audit("secret.saved", "secret:planted", count=len(secrets))


if __name__ == "__main__":
    asyncio.run(_plant(int(sys.argv[1]), int(sys.argv[2])))
