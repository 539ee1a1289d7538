"""People: who they are to us, and what a log-in's e-mail address stands for."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import sqlalchemy as sa
from sqlalchemy.orm import aliased

from backend.core.database import ReadTx, Tx
from backend.core.paging import newest
from backend.kit.mime import email_identity
from backend.managers.tenant._platform_roles import ADMINISTRATOR, locked_with_administrators
from backend.managers.tenant._values import PRINCIPALS
from backend.managers.tenant.errors import (
    LastAdministratorError,
    LastOwnerError,
    MemberNotFoundError,
    OwnAccountError,
)
from backend.managers.tenant.models import MembershipRow, TenantRow, UserRow

LOCAL_ISSUER: Final = "local"


@dataclass(frozen=True, slots=True)
class User:
    """A person as others see them; never carries the password hash.

    ``email_proven_at`` is when it was last shown that the log-in is of whoever reads the mail of
    its address; None: never.
    """

    id: str
    email: str
    name: str
    platform_role: str | None
    disabled: bool
    email_proven_at: datetime | None


def email_domain(email: str) -> str:
    """The domain whose mailbox it is, of whichever spelling; of text that is no address, none's.

    Whoever asks whose an address is asks with this. Read from the text as it was typed, the domain
    is another than the one by which the log-in is found: two more characters than "@" stand for it.
    """
    return email_identity(email).rpartition("@")[2]


def user_of(row: UserRow) -> User:
    """The person that a row keeps."""
    return User(row.id, row.email, row.name, row.platform_role, row.disabled, row.email_proven_at)


@dataclass(frozen=True, slots=True)
class Place:
    """A tenant that a person belongs to, and as what."""

    id: str
    slug: str
    name: str
    role: str
    state: str
    disabled: bool


@dataclass(frozen=True, slots=True)
class Account:
    """A person as the platform's administrators see them."""

    id: str
    email: str
    name: str
    platform_role: str | None
    disabled: bool
    created_at: datetime
    tenants: Sequence[Place] = ()


class People:
    """Everybody who logs in here; acts of the platform, under an errand of it."""

    async def list(
        self, tx: ReadTx, *, limit: int, before_id: str | None = None, q: str | None = None
    ) -> Sequence[Account]:
        """Newest first, one more than ``limit``.

        ``q`` is how an e-mail begins, or a part of a name.
        """
        query = sa.select(UserRow)
        if q is not None:
            query = query.where(
                sa.or_(
                    UserRow.subject.startswith(email_identity(q), autoescape=True),
                    sa.func.lower(UserRow.name).contains(q.lower(), autoescape=True),
                )
            )
        rows = await tx.scalars(newest(query, UserRow.id, limit, before_id))
        return [_account(row) for row in rows]

    async def get(self, tx: ReadTx, user_id: str) -> Account:
        """One person with the tenants they belong to.

        Raises:
            MemberNotFoundError: There is none.
        """
        row = await tx.scalar(sa.select(UserRow).where(UserRow.id == user_id))
        if row is None:
            raise MemberNotFoundError
        found = await tx.execute(
            sa.select(TenantRow, MembershipRow)
            .join(MembershipRow, MembershipRow.tenant_id == TenantRow.id)
            .where(MembershipRow.user_id == user_id)
            .order_by(TenantRow.slug)
        )
        places = [
            Place(
                tenant.id,
                tenant.slug,
                tenant.name,
                membership.role,
                tenant.state,
                membership.disabled,
            )
            for tenant, membership in found.all()
        ]
        return _account(row, places)

    async def disable(self, tx: Tx, user_id: str) -> User:
        """Keep a person out of everything; the caller ends their log-ins.

        Raises:
            MemberNotFoundError: There is none.
            OwnAccountError: It is whoever asks.
            LastOwnerError: A tenant would be left without an owner who may act.
            LastAdministratorError: Nobody could administer the platform any more: whoever asks may
                be a program, or be disabled in the same moment.
        """
        if tx.scope.actor == f"user:{user_id}":
            raise OwnAccountError
        row, is_last = await locked_with_administrators(tx, user_id)
        slugs = await self._owned_alone(tx, user_id)
        if slugs:
            raise LastOwnerError(
                f"Nobody else owns {', '.join(slugs)}: make somebody else owner first",
                tenants=slugs,
            )
        if row.platform_role == ADMINISTRATOR and not row.disabled and is_last:
            raise LastAdministratorError
        return self._set(tx, row, disabled=True)

    async def enable(self, tx: Tx, user_id: str) -> User:
        """Let a person log in again.

        Raises:
            MemberNotFoundError: There is none.
        """
        return self._set(tx, await self._locked(tx, user_id), disabled=False)

    @staticmethod
    def _set(tx: Tx, row: UserRow, *, disabled: bool) -> User:
        row.disabled = disabled
        act = "user.disabled" if disabled else "user.enabled"
        tx.audit(act, f"user:{row.id}")
        tx.emit(act, f"user:{row.id}")
        tx.signal(PRINCIPALS, f"user:{row.id}")
        return user_of(row)

    @staticmethod
    async def _locked(tx: Tx, user_id: str) -> UserRow:
        row: UserRow | None = await tx.scalar(
            sa.select(UserRow).where(UserRow.id == user_id).with_for_update()
        )
        if row is None:
            raise MemberNotFoundError
        return row

    @staticmethod
    async def _owned_alone(tx: Tx, user_id: str) -> Sequence[str]:
        other, person = aliased(MembershipRow), aliased(UserRow)
        # All owners of these tenants are locked: two of them disabled at the same moment would
        # each see the other still there.
        mine = sa.select(MembershipRow.tenant_id).where(
            MembershipRow.user_id == user_id,
            MembershipRow.role == "owner",
            MembershipRow.disabled.is_(False),
        )
        await tx.execute(
            sa.select(MembershipRow.user_id)
            .where(MembershipRow.tenant_id.in_(mine), MembershipRow.role == "owner")
            .order_by(MembershipRow.tenant_id, MembershipRow.user_id)
            .with_for_update()
        )
        owned = sa.exists().where(
            other.tenant_id == MembershipRow.tenant_id,
            other.role == "owner",
            other.disabled.is_(False),
            other.user_id != user_id,
            person.id == other.user_id,
            person.disabled.is_(False),
        )
        return await tx.scalars(
            sa.select(TenantRow.slug)
            .join(MembershipRow, MembershipRow.tenant_id == TenantRow.id)
            .where(
                MembershipRow.user_id == user_id,
                MembershipRow.role == "owner",
                MembershipRow.disabled.is_(False),
                ~owned,
            )
            .order_by(TenantRow.slug)
        )


def _account(row: UserRow, places: Sequence[Place] = ()) -> Account:
    return Account(
        row.id, row.email, row.name, row.platform_role, row.disabled, row.created_at, places
    )
