"""Who needs a second factor: by the platform's setting, or by what their tenants ask."""

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from backend.core.context import Principal
from backend.core.database import ReadTx, Tx
from backend.managers.identity.errors import SecondFactorMissingError
from backend.managers.identity.models import LoginPolicyRow
from backend.managers.identity.settings import IdentitySettings
from backend.managers.tenant import PRINCIPALS, TenantManager, User


@dataclass(frozen=True, slots=True)
class LoginPolicy:
    """What a tenant asks of its people's log-ins."""

    require_second_factor: bool


class LoginPolicies:
    """Reading, setting and applying them."""

    def __init__(self, tenants: TenantManager, settings: IdentitySettings) -> None:
        self._tenants = tenants
        self._required_by_platform = settings.require_second_factor

    async def get(self, tx: ReadTx) -> LoginPolicy:
        """The policy of the transaction's tenant."""
        required = await tx.scalar(
            sa.select(LoginPolicyRow.require_second_factor).where(
                LoginPolicyRow.tenant_id == tx.tenant_id
            )
        )
        return LoginPolicy(bool(required))

    async def put(
        self, tx: Tx, *, require_second_factor: bool, setter: Principal | None = None
    ) -> LoginPolicy:
        """Set it. Who is logged in without what it asks gets no further token for the tenant.

        Args:
            require_second_factor: Whether a password is not enough.
            setter: Who sets it; None for the platform itself.

        Raises:
            SecondFactorMissingError: It would end the log-in of the person who sets it.
        """
        if (
            require_second_factor
            and setter is not None
            and setter.kind == "user"
            and not setter.second_factor
        ):
            raise SecondFactorMissingError
        values = {"require_second_factor": require_second_factor, "updated_at": tx.now()}
        await tx.upsert(
            LoginPolicyRow,
            {"tenant_id": tx.tenant_id, **values},
            conflict=["tenant_id"],
            update=values,
        )
        target = f"tenant:{tx.tenant_id}"
        tx.audit("login_policy.changed", target, require_second_factor=require_second_factor)
        tx.emit("login_policy.changed", target, require_second_factor=require_second_factor)
        tx.signal(PRINCIPALS, target)
        return LoginPolicy(require_second_factor)

    async def needs_second_factor(
        self, tx: ReadTx, user: User, tenant_id: str | None = None
    ) -> bool:
        """Whether the person needs one, in this tenant or (None) in any that is theirs.

        Needs an errand that names the tenants' policies.
        """
        if self._required_by_platform == "everybody":
            return True
        if self._required_by_platform == "administrators" and user.platform_role:
            return True
        asked = [tenant_id] if tenant_id is not None else await self._tenants_of(tx, user.id)
        return bool(
            asked
            and await tx.scalar(
                sa.select(LoginPolicyRow.tenant_id)
                .where(
                    LoginPolicyRow.tenant_id.in_(asked),
                    LoginPolicyRow.require_second_factor.is_(True),
                )
                .limit(1)
            )
        )

    async def _tenants_of(self, tx: ReadTx, user_id: str) -> list[str]:
        return [tenant.id for tenant, _ in await self._tenants.list_tenants_of(tx, user_id)]


def has_second_factor(methods: Sequence[str]) -> bool:
    """Whether a log-in by these methods gave one."""
    return "mfa" in methods
