"""Rows of secrets: how they are found, and what people see of them."""

from datetime import datetime

import sqlalchemy as sa

from backend.core.database import ReadTx
from backend.managers.secrets._grants import Grants
from backend.managers.secrets._values import Access, Secret, State, Version
from backend.managers.secrets.errors import SecretNotFoundError
from backend.managers.secrets.models import SecretRow, VersionRow


def place_of(version_id: str) -> str:
    """The place that a version's value is sealed for."""
    return f"secret.version:{version_id}"


def place(row: SecretRow) -> dict[str, str]:
    """Where a secret is, as the trail says it."""
    return {"path": row.path, "environment": row.environment}


async def find(
    tx: ReadTx, path: str, environment: str, *, locked: bool = False
) -> SecretRow | None:
    """The secret at a path, as it is now."""
    query = sa.select(SecretRow).where(
        SecretRow.tenant_id == tx.tenant_id,
        SecretRow.environment == environment,
        SecretRow.path == path,
    )
    if locked:
        query = query.with_for_update().execution_options(populate_existing=True)
    row: SecretRow | None = await tx.scalar(query)
    return row


async def load(
    tx: ReadTx,
    grants: Grants,
    secret_id: str,
    role: str | None,
    access: Access,
    *,
    locked: bool = False,
) -> SecretRow:
    """A secret by its id.

    Raises:
        SecretNotFoundError: No such secret in this tenant.
        FolderClosedError: The folder is closed to the role.
    """
    query = sa.select(SecretRow).where(
        SecretRow.tenant_id == tx.tenant_id, SecretRow.id == secret_id
    )
    row: SecretRow | None = await tx.scalar(query.with_for_update() if locked else query)
    if row is None:
        raise SecretNotFoundError
    await grants.refuse_closed(tx, role, row.path, environment=row.environment, access=access)
    return row


async def find_version(tx: ReadTx, row: SecretRow, number: int) -> VersionRow | None:
    """A version, whatever became of it."""
    found: VersionRow | None = await tx.scalar(
        sa.select(VersionRow).where(
            VersionRow.tenant_id == tx.tenant_id,
            VersionRow.secret_id == row.id,
            VersionRow.version == number,
        )
    )
    return found


def with_newest() -> sa.Select[SecretRow, VersionRow]:
    """Secrets with their newest versions; None beside a secret that keeps it no longer."""
    return sa.select(SecretRow, VersionRow).outerjoin(
        VersionRow,
        sa.and_(
            VersionRow.tenant_id == SecretRow.tenant_id,
            VersionRow.secret_id == SecretRow.id,
            VersionRow.version == SecretRow.newest,
        ),
    )


def state_of(version: VersionRow, now: datetime) -> State:
    """What a version is to those who would read it."""
    if is_lost(version, now):
        return "expired" if version.destroyed_at is None else "destroyed"
    return "live" if version.deleted_at is None else "deleted"


def is_lost(version: VersionRow, now: datetime) -> bool:
    """Whether nothing brings the value back: it was destroyed, or its time is over."""
    is_over = version.expires_at is not None and version.expires_at <= now
    return version.destroyed_at is not None or is_over


def secret_of(row: SecretRow, newest: VersionRow | None, now: datetime) -> Secret:
    """A secret without its values."""
    return Secret(
        row.id,
        row.environment,
        row.path,
        row.description,
        row.labels,
        row.newest,
        "destroyed" if newest is None else state_of(newest, now),
        None if newest is None else newest.expires_at,
        row.max_versions,
        row.cas_required,
        row.ttl_seconds,
        row.remind_seconds,
        row.created_by,
        row.created_at,
        row.updated_at,
        row.revision,
    )


def version_of(row: SecretRow, version: VersionRow, now: datetime) -> Version:
    """A version without its value."""
    return Version(
        version.id,
        row.id,
        row.path,
        row.environment,
        version.version,
        state_of(version, now),
        version.size_bytes,
        version.created_by,
        version.created_at,
        version.expires_at,
        version.deleted_at,
        version.destroyed_at,
    )
