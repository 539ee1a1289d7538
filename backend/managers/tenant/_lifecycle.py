"""What becomes of a tenant: renamed, suspended, resumed, deleted, restored, and at last purged.

    active <-> suspended
      |            |
      +-- deleting +  restored to what it was; after the grace period its data goes, for good

Nothing of it is lost before the purge. That is done in bounded bites, each a transaction that
counts what it removed in the tenant's certificate, so a crash in the middle costs nothing and
another process goes on. Keys go with the rows of the room that keeps them, among the first: what
is sealed and still lies in a backup is unreadable from then on.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import sqlalchemy as sa

from backend.core.audit import AuditHead, AuditRecord
from backend.core.context import SystemScope
from backend.core.database import Database, Integrity, ReadTx, Tx
from backend.core.ids import PLATFORM_TENANT, uuid7
from backend.core.paging import newest
from backend.core.room import Standing
from backend.managers.security import Seals, SecurityManager
from backend.managers.tenant._values import PRINCIPALS, Tenant, tenant_of
from backend.managers.tenant.errands import PLATFORM
from backend.managers.tenant.errors import (
    ConfirmationError,
    SlugTakenError,
    TenantNeededError,
    TenantNotFoundError,
    TenantStateError,
    TenantSuspendedError,
)
from backend.managers.tenant.models import CertificateRow, MembershipRow, QuotaRow, TenantRow

TENANT_GONE: Final = "tenant_gone"
"""The signal that a tenant's data begins to go; its payload is the tenant's id."""
_DUE_AT_ONCE: Final = 20

OnStanding = Callable[[Tx, Standing], Awaitable[None]]
OnPurge = Callable[[Tx], Awaitable[int]]
OnTree = Callable[[ReadTx], Awaitable[tuple[int, str | None]]]


@dataclass(frozen=True, slots=True)
class Certificate:
    """What went of a tenant, by whose will, and the last link of the trail that stays of it.

    Attributes:
        id: Of the certificate; ``tenant_id`` is the tenant's.
        counts: Rows that went, by table.
        audit_seq: The number of the trail's last record.
        audit_root: That record's chain hash, in hex: whoever exported the trail can compare.
        statement: What is signed of all that, and which data keys were destroyed: canonical JSON;
            None of a tenant that left before certificates were signed.
        signature: Ed25519 (RFC 8032) over the statement, in base64.
        key_id: The first digits of the signing key's SHA-256.
    """

    id: str
    tenant_id: str
    slug: str
    name: str
    tenant_created_at: datetime
    deleted_by: str
    deleted_at: datetime
    begun_at: datetime
    finished_at: datetime
    counts: Mapping[str, int]
    audit_seq: int
    audit_root: str
    statement: str | None
    signature: str | None
    key_id: str | None


@dataclass(frozen=True, slots=True)
class TenantSeal:
    """Whether nobody may use a tenant's keys; and if so why, since when and by whom."""

    tenant_id: str
    sealed: bool = False
    reason: str | None = None
    sealed_at: datetime | None = None
    sealed_by: str | None = None


class Lifecycle:
    """Acts of the platform on whole tenants; each needs its errand and audits in its trail."""

    def __init__(self, grace: timedelta) -> None:
        self._grace = grace
        self._standings: Sequence[OnStanding] = ()
        self._purges: Mapping[str, OnPurge] = {}
        self._security: SecurityManager | None = None
        self._tree: OnTree | None = None

    def connect(
        self,
        standings: Sequence[OnStanding],
        purges: Mapping[str, OnPurge],
        security: SecurityManager,
        tree: OnTree,
    ) -> None:
        """Tell of the rooms: who has to know what tenants may, and how what they keep goes.

        Args:
            standings: Called in the tenant's scope, in the transaction of the change.
            purges: By table, in the order in which they are to go.
            security: Has tenants' keys and their seals, and signs.
            tree: Tells how far the tree over a tenant's trail is.
        """
        self._standings, self._purges = standings, purges
        self._security, self._tree = security, tree

    async def rename(
        self, tx: Tx, tenant_id: str, *, slug: str | None = None, name: str | None = None
    ) -> Tenant:
        """Give a tenant another name or slug; addresses with the old slug lead nowhere then.

        Raises:
            TenantNotFoundError: There is none.
            TenantNeededError: It is the platform's own.
            SlugTakenError: Another tenant has the slug.
        """
        row = await self.load(tx, tenant_id, lock=True)
        before = {"slug": row.slug, "name": row.name}
        after = {"slug": slug or row.slug, "name": name or row.name}
        if after == before:
            return tenant_of(row)
        try:
            async with tx.savepoint():
                row.slug, row.name = after["slug"], after["name"]
        except Integrity as exc:
            detail = f"There is a tenant {slug!r} already"
            raise SlugTakenError(detail, slug=slug) from exc
        tx.audit("tenant.renamed", f"tenant:{tenant_id}", before=before, after=after)
        tx.emit("tenant.renamed", f"tenant:{tenant_id}", before=before, after=after)
        return tenant_of(row)

    async def suspend(
        self, tx: Tx, tenant_id: str, *, reason: str, through: str | None = None
    ) -> Tenant:
        """Refuse everybody of the tenant until it is resumed; its jobs wait, running ones end.

        Args:
            tx: Of the platform.
            tenant_id: Whose.
            reason: Told to whoever of the tenant is refused.
            through: The tenant that the caller acts through; None for an operator with a shell.

        Raises:
            TenantNotFoundError: There is none.
            TenantNeededError: The caller would shut themselves out, or it is the platform's own.
            TenantStateError: It is not active.
        """
        row = await self.load(tx, tenant_id, lock=True)
        _refuse_needed(tenant_id, through)
        if row.state != "active":
            raise TenantStateError(f"The tenant is {row.state}.", state=row.state)
        row.reason = reason
        await self._turn(tx, row, "suspended")
        tx.audit("tenant.suspended", f"tenant:{tenant_id}", reason=reason)
        tx.emit("tenant.suspended", f"tenant:{tenant_id}", reason=reason)
        return tenant_of(row)

    async def resume(self, tx: Tx, tenant_id: str) -> Tenant:
        """End a suspension: what waited goes on.

        Raises:
            TenantNotFoundError: There is none.
            TenantStateError: It is not suspended.
        """
        row = await self.load(tx, tenant_id, lock=True)
        if row.state != "suspended":
            raise TenantStateError(f"The tenant is {row.state}.", state=row.state)
        row.reason = None
        await self._turn(tx, row, "active")
        tx.audit("tenant.resumed", f"tenant:{tenant_id}")
        tx.emit("tenant.resumed", f"tenant:{tenant_id}")
        return tenant_of(row)

    async def seal(
        self, tx: Tx, tenant_id: str, *, reason: str, through: str | None = None
    ) -> TenantSeal:
        """Refuse every use of a tenant's keys, in every process within a second.

        Its people may look at what is not sealed; what would have to be encrypted or opened is
        refused. Its jobs wait until it is unsealed.

        Args:
            tx: Of the platform.
            tenant_id: Whose.
            reason: Why; for the platform's people.
            through: As for :meth:`suspend`.

        Raises:
            TenantNotFoundError: There is none.
            TenantNeededError: The caller would shut themselves out, or it is the platform's own.
            TenantStateError: It is sealed already.
        """
        row = await self.load(tx, tenant_id, lock=True)
        _refuse_needed(tenant_id, through)
        async with tx.within(tenant_id) as part:
            if not await self._sealing().put(part, reason):
                raise TenantStateError("The tenant is sealed already.", state=row.state)
            sealed = await self.find_seal(part)
        await self.tell(tx, row)
        tx.audit("tenant.sealed", f"tenant:{tenant_id}", reason=reason)
        tx.emit("tenant.sealed", f"tenant:{tenant_id}", reason=reason)
        return sealed

    async def unseal(self, tx: Tx, tenant_id: str) -> TenantSeal:
        """Let a tenant's keys be used again, and what waited go on.

        Raises:
            TenantNotFoundError: There is none.
            TenantStateError: It is not sealed.
        """
        row = await self.load(tx, tenant_id, lock=True)
        async with tx.within(tenant_id) as part:
            if not await self._sealing().lift(part):
                raise TenantStateError("The tenant is not sealed.", state=row.state)
        await self.tell(tx, row)
        tx.audit("tenant.unsealed", f"tenant:{tenant_id}")
        tx.emit("tenant.unsealed", f"tenant:{tenant_id}")
        return TenantSeal(tenant_id)

    async def find_seal(self, tx: ReadTx) -> TenantSeal:
        """Whether the transaction's tenant is sealed, and why."""
        found = await self._sealing().find(tx)
        if found is None:
            return TenantSeal(tx.tenant_id)
        return TenantSeal(tx.tenant_id, True, found.reason, found.sealed_at, found.sealed_by)

    def _sealing(self) -> Seals:
        return self._connected().seals

    def _connected(self) -> SecurityManager:
        if self._security is None:
            raise RuntimeError("the rooms are not connected")
        return self._security

    async def delete(
        self, tx: Tx, tenant_id: str, *, slug: str, through: str | None = None
    ) -> Tenant:
        """Begin to delete a tenant: it is refused from now on, and purged after the grace period.

        Args:
            tx: Of the platform.
            tenant_id: Whose.
            slug: The tenant's, typed to confirm.
            through: As for :meth:`suspend`.

        Raises:
            TenantNotFoundError: There is none.
            TenantNeededError: As for :meth:`suspend`.
            ConfirmationError: The slug is another.
            TenantStateError: It is being deleted already.
        """
        row = await self.load(tx, tenant_id, lock=True)
        _refuse_needed(tenant_id, through)
        if slug != row.slug:
            raise ConfirmationError(f"Type the slug of the tenant {row.name!r}")
        if row.state == "deleting":
            raise TenantStateError("The tenant is deleting.", state=row.state)
        row.purge_at = tx.now() + self._grace
        await self._turn(tx, row, "deleting")
        tx.session.add(
            CertificateRow(
                id=uuid7(),
                tenant=tenant_id,
                slug=row.slug,
                name=row.name,
                tenant_created_at=row.created_at,
                deleted_by=tx.scope.actor,
                deleted_at=tx.now(),
                begun_at=None,
                finished_at=None,
                counts={},
                audit_seq=0,
                audit_root="",
                keys=None,
                statement=None,
                signature=None,
                key_id=None,
            )
        )
        purge_at = row.purge_at.isoformat()
        tx.audit("tenant.deleted", f"tenant:{tenant_id}", slug=slug, purge_at=purge_at)
        tx.emit("tenant.deleted", f"tenant:{tenant_id}", slug=slug, purge_at=purge_at)
        return tenant_of(row)

    async def restore(self, tx: Tx, tenant_id: str) -> Tenant:
        """Call a tenant back that is being deleted: it is again what it was, suspended or active.

        Raises:
            TenantNotFoundError: There is none, or not any more.
            TenantStateError: It is not being deleted, or its data has begun to go.
        """
        row = await self.load(tx, tenant_id, lock=True)
        if row.state != "deleting":
            raise TenantStateError(f"The tenant is {row.state}.", state=row.state)
        certificate = await self._certificate(tx, tenant_id)
        if certificate.begun_at is not None:
            raise TenantStateError("The tenant's data has begun to go.", state=row.state)
        await tx.session.delete(certificate)
        row.purge_at = None
        await self._turn(tx, row, "active" if row.reason is None else "suspended")
        tx.audit("tenant.restored", f"tenant:{tenant_id}", state=row.state)
        tx.emit("tenant.restored", f"tenant:{tenant_id}", state=row.state)
        return tenant_of(row)

    async def _turn(self, tx: Tx, row: TenantRow, state: str) -> None:
        row.state, row.state_since = state, tx.now()
        await self.tell(tx, row)
        tx.signal(PRINCIPALS, f"tenant:{row.id}")

    async def tell(self, tx: Tx, row: TenantRow) -> None:
        """Have every room that keeps it know what the tenant may."""
        async with tx.within(row.id) as part:
            limits = await part.scalar(
                sa.select(QuotaRow.limits).where(QuotaRow.tenant_id == row.id)
            )
            security = self._security
            sealed = security is not None and await security.seals.find(part) is not None
            # Jobs of a sealed tenant would fail one by one, for want of its keys.
            active = row.state == "active" and not sealed
            standing = Standing(active=active, quotas=limits or {})
            for take in self._standings:
                await take(part, standing)

    # --- who is refused --------------------------------------------------------------------------

    async def admits(self, tx: ReadTx, tenant_id: str) -> bool:
        """Whether there is such a tenant, for a caller who has proven that they belong to it.

        Strangers must not come so far: they would learn that the tenant exists, and more.

        Raises:
            TenantSuspendedError: There is, and it is not active; with the reason.
        """
        if tenant_id == PLATFORM_TENANT:
            return True
        row = await tx.scalar(sa.select(TenantRow).where(TenantRow.id == tenant_id))
        if row is not None and row.state != "active":
            raise _suspended(row)
        return row is not None

    async def refuse_member(self, tx: ReadTx, user_id: str, tenant_id: str | None) -> None:
        """Tell a person who has none to act for why: one of theirs is suspended.

        Args:
            tx: Any.
            user_id: Whose log-in held.
            tenant_id: The tenant they asked for; None for any of theirs.

        Raises:
            TenantSuspendedError: They belong to it, and it is not active.
        """
        rows = await tx.scalars(
            sa.select(TenantRow)
            .join(MembershipRow, MembershipRow.tenant_id == TenantRow.id)
            .where(MembershipRow.user_id == user_id, TenantRow.state != "active")
            .order_by(MembershipRow.created_at, TenantRow.id)
        )
        for row in rows:
            # Here and not in the statement: what was asked for may be no id.
            if tenant_id is None or row.id == tenant_id:
                raise _suspended(row)

    # --- the end ---------------------------------------------------------------------------------

    async def list_certificates(
        self, tx: ReadTx, *, limit: int, before_id: str | None = None
    ) -> list[Certificate]:
        """Of tenants whose data is gone, newest deletion first, one more than ``limit``."""
        query = sa.select(CertificateRow).where(CertificateRow.finished_at.is_not(None))
        rows = await tx.scalars(newest(query, CertificateRow.id, limit, before_id))
        return [
            Certificate(
                row.id,
                row.tenant,
                row.slug,
                row.name,
                row.tenant_created_at,
                row.deleted_by,
                row.deleted_at,
                row.begun_at,
                row.finished_at,
                dict(sorted(row.counts.items())),
                row.audit_seq,
                row.audit_root,
                row.statement,
                row.signature,
                row.key_id,
            )
            for row in rows
        ]

    async def purge_due(self, database: Database) -> None:
        """Remove all data of tenants whose grace period is over; safe in several processes."""
        async with database.read(SystemScope(PLATFORM)) as view:
            due = await view.scalars(
                sa.select(TenantRow.id)
                .where(TenantRow.state == "deleting", TenantRow.purge_at <= view.now())
                .order_by(TenantRow.purge_at)
                .limit(_DUE_AT_ONCE)
            )
        for tenant_id in due:
            await self._purge(database, tenant_id)

    async def _purge(self, database: Database, tenant_id: str) -> None:
        gone = 1
        while gone:
            gone = 0
            for table, purge in self._purges.items():
                while bite := await self._bite(database, tenant_id, table, purge):
                    gone += bite
        async with database.transaction(SystemScope(PLATFORM)) as tx:
            await self._finish(tx, tenant_id)

    async def _bite(self, database: Database, tenant_id: str, table: str, purge: OnPurge) -> int:
        async with database.transaction(SystemScope(PLATFORM)) as tx:
            row = await self._leaving(tx, tenant_id)
            if row is None:
                return 0
            certificate = await self._certificate(tx, tenant_id)
            async with tx.within(tenant_id) as part:
                if certificate.begun_at is None:
                    # Before they go: which there were is what the certificate certifies.
                    found = await self._connected().rotation.list_versions(part)
                    certificate.keys = [{"id": key.id, "version": key.version} for key in found]
                gone = await purge(part)
            if certificate.begun_at is None:
                certificate.begun_at = tx.now()
                tx.signal(TENANT_GONE, tenant_id)
            if gone:
                before = certificate.counts.get(table, 0)
                certificate.counts = {**certificate.counts, table: before + gone}
        return gone

    async def _finish(self, tx: Tx, tenant_id: str) -> None:
        row = await self._leaving(tx, tenant_id)
        if row is None:
            return
        async with tx.within(tenant_id) as part:
            open_ended = await part.scalar(
                sa.select(AuditRecord.id)
                .where(AuditRecord.tenant_id == tenant_id, AuditRecord.seq.is_(None))
                .limit(1)
            )
            head = await part.scalar(sa.select(AuditHead))
            size, root = await self._tree(part) if self._tree is not None else (0, None)
        if open_ended is not None:
            # Its last records have no number yet. The sequencer gives it them within a second.
            return
        certificate = await self._certificate(tx, tenant_id)
        certificate.finished_at = tx.now()
        if head is not None:
            certificate.audit_seq, certificate.audit_root = head.seq, head.chain_hash.hex()
        counts = dict(sorted(certificate.counts.items()))
        signer = self._connected().rewraps.signer
        certificate.statement, certificate.signature = signer.sign(
            {
                "act": "tenant.purged",
                "certificate": certificate.id,
                "tenant": tenant_id,
                "slug": certificate.slug,
                "deleted_by": certificate.deleted_by,
                "deleted_at": certificate.deleted_at.isoformat(),
                "purged_at": tx.now().isoformat(),
                "keys": certificate.keys or [],
                "counts": counts,
                "trail": {
                    "seq": certificate.audit_seq,
                    "chain_hash": certificate.audit_root,
                    "tree_size": size,
                    "tree_root": root,
                },
            }
        )
        certificate.key_id = signer.key_id
        tx.audit(
            "tenant.purged",
            f"tenant:{tenant_id}",
            slug=row.slug,
            counts=counts,
            audit_seq=certificate.audit_seq,
            audit_root=certificate.audit_root,
        )
        tx.emit("tenant.purged", f"tenant:{tenant_id}", slug=row.slug, counts=counts)
        await tx.session.delete(row)
        tx.signal(PRINCIPALS, f"tenant:{tenant_id}")

    async def _leaving(self, tx: Tx, tenant_id: str) -> TenantRow | None:
        """The tenant, locked, if its time has come; another process may have been here."""
        row: TenantRow | None = await tx.scalar(
            sa.select(TenantRow).where(TenantRow.id == tenant_id).with_for_update()
        )
        if row is None or row.state != "deleting" or row.purge_at is None:
            return None
        return row if row.purge_at <= tx.now() else None

    async def _certificate(self, tx: Tx, tenant_id: str) -> CertificateRow:
        row: CertificateRow = await tx.scalar(
            sa.select(CertificateRow).where(CertificateRow.tenant == tenant_id).with_for_update()
        )
        return row

    async def load(self, tx: ReadTx, tenant_id: str, *, lock: bool = False) -> TenantRow:
        """A tenant's row.

        Raises:
            TenantNeededError: It is the platform's own, which has none.
            TenantNotFoundError: There is none.
        """
        if tenant_id == PLATFORM_TENANT:
            raise TenantNeededError("It is the platform's own tenant.")
        query = sa.select(TenantRow).where(TenantRow.id == tenant_id)
        row: TenantRow | None = await tx.scalar(query.with_for_update() if lock else query)
        if row is None:
            raise TenantNotFoundError
        return row


def _refuse_needed(tenant_id: str, through: str | None) -> None:
    if tenant_id == through:
        raise TenantNeededError("You act through this tenant: enter another one first.")


def _suspended(row: TenantRow) -> TenantSuspendedError:
    reason = row.reason if row.state == "suspended" else "The tenant is being deleted."
    return TenantSuspendedError(reason or "", tenant=row.slug, state=row.state)
