"""What people may do with the platform itself: who is its administrator, auditor or support."""

from typing import Any, Final

import sqlalchemy as sa

from backend.core.database import Tx
from backend.managers.tenant._roles import PlatformRole, Roles, refuse_beyond
from backend.managers.tenant._values import PRINCIPALS
from backend.managers.tenant.errors import LastAdministratorError, MemberNotFoundError
from backend.managers.tenant.models import UserRow

ADMINISTRATOR: Final[PlatformRole] = "administrator"


class PlatformRoles:
    """Handing them out and taking them away; needs the platform's errand."""

    def __init__(self, roles: Roles) -> None:
        self._roles = roles

    async def set(
        self,
        tx: Tx,
        *,
        user_id: str,
        platform_role: PlatformRole | None,
        granter: frozenset[str] | None,
    ) -> None:
        """Make a person something else to the platform, at once; None: nothing.

        Args:
            granter: The permissions of whoever does it; None for the platform itself.

        Raises:
            MemberNotFoundError: There is no such person.
            RoleTooHighError: The old or the new role has permissions the granter lacks.
            LastAdministratorError: Nobody could administer the platform any more.
        """
        row: UserRow | None = await tx.scalar(
            sa.select(UserRow).where(UserRow.id == user_id).with_for_update()
        )
        if row is None:
            raise MemberNotFoundError
        before = row.platform_role
        for role in (before, platform_role):
            refuse_beyond(tx, self._roles.by_platform.get(role or "", frozenset()), granter)
        if before == platform_role:
            return
        if before == ADMINISTRATOR:
            await refuse_last_administrator(tx)
        row.platform_role = platform_role
        facts = {"before": before, "after": platform_role}
        tx.audit("user.platform_role_changed", f"user:{user_id}", **facts)
        tx.emit("user.platform_role_changed", f"user:{user_id}", **facts)
        tx.signal(PRINCIPALS, f"user:{user_id}")


async def refuse_last_administrator(tx: Tx) -> None:
    """Refuse to go on when one more administrator of the platform less is none.

    Locks them all, not the one who goes: two who leave at the same moment would each see the
    other still there.

    Raises:
        LastAdministratorError: There is one, or none, who may log in.
    """
    found: Any = await tx.scalars(
        sa.select(UserRow.id)
        .where(UserRow.platform_role == ADMINISTRATOR, UserRow.disabled.is_(False))
        .order_by(UserRow.id)
        .with_for_update()
    )
    if len(found) <= 1:
        raise LastAdministratorError
