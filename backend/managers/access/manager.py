"""Who may do what in a tenant, what a change would change, and reviews of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from backend.core.database import ReadTx
from backend.core.errors import NotFoundError
from backend.managers.access._holders import Holder, Holders
from backend.managers.access._reviews import Review, ReviewLine, Reviews
from backend.managers.audit import AuditManager
from backend.managers.gateway import GatewayManager
from backend.managers.identity import IdentityManager
from backend.managers.tenant import PermissionUnknownError, TenantManager

_PART: Final = 200


@dataclass(frozen=True, slots=True)
class Touched:
    """What somebody gains and loses by a change."""

    subject: str
    name: str
    gains: frozenset[str]
    loses: frozenset[str]


@dataclass(frozen=True, slots=True)
class Preview:
    """What would change if a role permitted something else."""

    role: str
    exists: bool
    added: frozenset[str]
    removed: frozenset[str]
    touched: Sequence[Touched]


@dataclass(frozen=True, slots=True)
class Proof:
    """An audit record of a review; ``seq`` and ``hash`` follow within a second."""

    id: str
    seq: int | None
    hash: str | None
    at: datetime
    actor: str
    action: str
    subject: str | None
    decision: str | None


@dataclass(frozen=True, slots=True)
class Evidence:
    """A review, its lines, and where the audit trail proves them."""

    review: Review
    lines: Sequence[ReviewLine]
    records: Sequence[Proof]


class AccessManager:
    """Answers from what the tenant, identity and gate rooms hold; keeps the reviews.

    Attributes:
        holders: Who holds something.
        reviews: Lists of who holds what, decided line by line.
    """

    def __init__(
        self,
        audit: AuditManager,
        tenants: TenantManager,
        identity: IdentityManager,
        gateway: GatewayManager,
    ) -> None:
        self._audit = audit
        self._roles = tenants.roles
        self.holders = Holders(tenants, identity, gateway)
        self.reviews = Reviews(self.holders)

    async def who_can(self, tx: ReadTx, permission: str) -> Sequence[Holder]:
        """All who may do this now.

        Raises:
            PermissionUnknownError: No role of a tenant can permit it.
            TooManyHoldersError: There are too many to look through.
        """
        self._refuse_unknown(frozenset({permission}), "permission")
        return [one for one in await self.holders.list(tx) if permission in one.permissions]

    async def check(self, tx: ReadTx, subject: str, permission: str) -> bool:
        """Whether a member, client or key of the tenant may do this now.

        Raises:
            PermissionUnknownError: No role of a tenant can permit it.
            HolderNotFoundError: Nobody of this tenant.
        """
        self._refuse_unknown(frozenset({permission}), "permission")
        return permission in (await self.holders.find(tx, subject)).permissions

    async def preview(self, tx: ReadTx, role: str, permissions: frozenset[str]) -> Preview:
        """What would change if ``role`` permitted this: for the role, and for all who hold it.

        Raises:
            PermissionUnknownError: A permission is none that a tenant's role may have.
            TooManyHoldersError: There are too many to look through.
        """
        self._refuse_unknown(permissions, "permissions")
        try:
            before, exists = (await self._roles.get(tx, role)).permissions, True
        except NotFoundError:
            before, exists = frozenset(), False
        touched = []
        for one in await self.holders.list(tx, role):
            old, new = one.of(before), one.of(permissions)
            if old != new:
                touched.append(Touched(one.subject, one.name, new - old, old - new))
        return Preview(role, exists, permissions - before, before - permissions, touched)

    async def prove(self, tx: ReadTx, review_id: str) -> Evidence:
        """All that was decided in a review, when and by whom, with its places in the trail.

        Raises:
            ReviewNotFoundError: There is none.
        """
        review, lines = await self.reviews.get(tx, review_id)
        records: list[Proof] = []
        before = None
        while True:
            found = await self._audit.list_records(
                tx, limit=_PART, before_id=before, target=f"access_review:{review_id}"
            )
            records += [
                Proof(
                    one.id,
                    one.seq,
                    one.hash,
                    one.at,
                    one.actor,
                    one.action,
                    one.data.get("subject"),
                    one.data.get("decision"),
                )
                for one in found[:_PART]
            ]
            if len(found) <= _PART:
                return Evidence(review, lines, records[::-1])
            before = found[_PART - 1].id

    def _refuse_unknown(self, permissions: frozenset[str], place: str) -> None:
        if unknown := sorted(permissions - self._roles.grantable):
            raise PermissionUnknownError(f"No role may have {', '.join(unknown)}").at(place)
