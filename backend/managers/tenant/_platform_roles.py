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
        row, is_last = await locked_with_administrators(tx, user_id)
        before = row.platform_role
        for role in (before, platform_role):
            refuse_beyond(tx, self._roles.by_platform.get(role or "", frozenset()), granter)
        if before == platform_role:
            return
        if before == ADMINISTRATOR and is_last:
            raise LastAdministratorError
        row.platform_role = platform_role
        facts = {"before": before, "after": platform_role}
        tx.audit("user.platform_role_changed", f"user:{user_id}", **facts)
        tx.emit("user.platform_role_changed", f"user:{user_id}", **facts)
        tx.signal(PRINCIPALS, f"user:{user_id}")


async def locked_with_administrators(tx: Tx, user_id: str) -> tuple[UserRow, bool]:
    """The person, and whether nobody else may administer the platform.

    Locks all administrators with them, in one order: two who leave at the same moment would each
    see the other still there, or each wait for the other.

    Raises:
        MemberNotFoundError: There is no such person.
    """
    found: Any = await tx.scalars(
        sa.select(UserRow)
        .where(sa.or_(UserRow.id == user_id, UserRow.platform_role == ADMINISTRATOR))
        .order_by(UserRow.id)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    by_id = {row.id: row for row in found}
    if user_id not in by_id:
        raise MemberNotFoundError
    others = (row for row in found if row.id != user_id)
    is_last = not any(row.platform_role == ADMINISTRATOR and not row.disabled for row in others)
    return by_id[user_id], is_last
