"""Mail servers that a tenant keeps by name, for messages that say which they go by."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import sqlalchemy as sa

from backend.core.audit import Personal
from backend.core.database import ReadTx, Tx
from backend.core.errors import placed
from backend.core.ids import uuid7
from backend.kit.mime import Mailbox, parse_address
from backend.kit.smtp import SmtpRelay
from backend.managers.email._email_settings import hasten
from backend.managers.email._relays import RelayRecords
from backend.managers.email._sealed import relay_place
from backend.managers.email._servers import MailServers, changes, choice_of
from backend.managers.email._states import OPEN_STATES
from backend.managers.email._values import NamedRelay, RelayChoice, Route
from backend.managers.email.errors import (
    RelayChangedError,
    RelayInUseError,
    RelayNotFoundError,
    TooManyRelaysError,
)
from backend.managers.email.models import EmailRow, NamedRelayRow
from backend.managers.orchestrator import OrchestratorManager
from backend.managers.security import Keyring

MAX_RELAYS: Final = 100


class NamedRelays:
    """Listing, saving, trying and deleting a tenant's named relays."""

    def __init__(
        self, servers: MailServers, relays: RelayRecords, orchestrator: OrchestratorManager
    ) -> None:
        self._servers = servers
        self._relays = relays
        self._jobs = orchestrator

    async def list(
        self, tx: ReadTx, *, limit: int, after_name: str | None = None
    ) -> list[NamedRelay]:
        """Relays by name, one more than ``limit``, each with what is known of it."""
        query = sa.select(NamedRelayRow)
        if after_name is not None:
            query = query.where(NamedRelayRow.name > after_name)
        rows = await tx.scalars(query.order_by(NamedRelayRow.name).limit(limit + 1))
        return [*await self._shown(tx, rows)]

    async def get(self, tx: ReadTx, name: str) -> NamedRelay:
        """One relay.

        Raises:
            RelayNotFoundError: No relay of this name in this tenant.
        """
        return (await self._shown(tx, [await _load(tx, name)]))[0]

    async def put(
        self,
        tx: Tx,
        *,
        name: str,
        smtp: RelayChoice,
        from_address: str | None,
        expected_version: str | None,
    ) -> NamedRelay:
        """Make or replace a relay. The same server without a password keeps the stored one.

        It is tried anew, whatever it refused; where it was paused, with what waited for it.

        Raises:
            RelayChangedError: The version is not the current one any more.
            InvalidAddressError: The from address is none.
            TooManyRelaysError: A tenant may not have so many.
        """
        row = await tx.scalar(_one(name).with_for_update())
        if expected_version is not None and (row is None or row.version != expected_version):
            raise RelayChangedError
        if row is None:
            # Two that are made at once may pass the bound together by one; it bounds lists.
            known = await tx.scalar(sa.select(sa.func.count(NamedRelayRow.name)))
            if known >= MAX_RELAYS:
                raise TooManyRelaysError(f"A tenant may have {MAX_RELAYS}.", limit=MAX_RELAYS)
        sender = None
        if from_address is not None:
            with placed("from_address"):
                sender = parse_address(from_address).address
        values: dict[str, Any] = {
            **await self._servers.columns(tx, smtp, row, relay_place(tx.tenant_id, name)),
            "from_address": sender,
        }
        changed = changes(row, values)
        before = None if row is None else self._relay_of(row)
        values |= {"version": uuid7(), "updated_at": tx.now()}
        await tx.upsert(
            NamedRelayRow,
            {"tenant_id": tx.tenant_id, "name": name, **values},
            conflict=["tenant_id", "name"],
            update=values,
        )
        tx.audit(
            "email_relay.saved",
            f"email_relay:{name}",
            from_address=None if sender is None else Personal.address(sender),
            smtp_host=smtp.host,
            changed=changed,
        )
        made = NamedRelayRow(name=name, **values)
        relay = self._relay_of(made)
        if before is not None and before.label != relay.label:
            resumed = await self._relays.resume(tx, before)
            await self._relays.forget(tx, before)
        else:
            resumed = await self._relays.resume(tx, relay, forgetting=True)
        if resumed:
            await hasten(tx, self._jobs, name)
        return (await self._shown(tx, [made]))[0]

    async def delete(self, tx: Tx, name: str) -> None:
        """Delete a relay that no message waits for; those that went by it keep its name.

        Raises:
            RelayNotFoundError: No relay of this name in this tenant.
            RelayInUseError: Messages that name it are not settled.
        """
        # Locked before one looks: who sends by it holds it until the message can be seen.
        row = await _load(tx, name, locked=True)
        waiting = await tx.scalar(
            sa.select(EmailRow.id)
            .where(EmailRow.relay == name, EmailRow.state.in_(OPEN_STATES))
            .limit(1)
        )
        if waiting is not None:
            raise RelayInUseError("Messages are on their way by it: let them end, or cancel them.")
        await self._relays.forget(tx, self._relay_of(row))
        await tx.session.delete(row)
        tx.audit("email_relay.deleted", f"email_relay:{name}")

    async def resume(self, tx: Tx, name: str) -> NamedRelay:
        """End the pauses of a relay, and try what waits; audited as ``relay.resumed``.

        As :meth:`EmailSettingsStore.resume_relay`, for the messages that name this one.

        Raises:
            RelayNotFoundError: No relay of this name in this tenant.
        """
        row = await _load(tx, name)
        relay = self._relay_of(row)
        await self._relays.resume(tx, relay)
        hastened = await hasten(tx, self._jobs, name)
        tx.audit("relay.resumed", f"relay:{relay.label}", hastened=hastened)
        return (await self._shown(tx, [row]))[0]

    async def hold(self, tx: Tx, names: Iterable[str]) -> Mapping[str, str | None]:
        """The from addresses of those of the named relays that exist.

        None of them is deleted before the transaction has ended.
        """
        found = await tx.execute(
            sa.select(NamedRelayRow.name, NamedRelayRow.from_address)
            .where(NamedRelayRow.name.in_(set(names)))
            .order_by(NamedRelayRow.name)
            .with_for_update(read=True, key_share=True)
        )
        return dict(found.all())

    async def open(self, tx: ReadTx, name: str, keyring: Keyring) -> SmtpRelay:
        """The relay to connect to, its password opened.

        Raises:
            RelayNotFoundError: No relay of this name in this tenant.
        """
        return self._opened(tx, await _load(tx, name), keyring)

    async def routes(
        self, tx: ReadTx, names: Iterable[str], usual: Route, keyring: Keyring
    ) -> dict[str, Route]:
        """The ways out by those of the named relays that exist, else as usual."""
        rows = await tx.scalars(sa.select(NamedRelayRow).where(NamedRelayRow.name.in_(set(names))))
        return {
            row.name: usual._replace(
                relay=self._opened(tx, row, keyring),
                sender=Mailbox(usual.sender.display_name, row.from_address or usual.sender.address),
            )
            for row in rows
        }

    def _opened(self, tx: ReadTx, row: NamedRelayRow, keyring: Keyring) -> SmtpRelay:
        context = relay_place(tx.tenant_id, row.name)
        return self._servers.opened(self._relay_of(row), tx.tenant_id, row, keyring, context)

    def _relay_of(self, row: NamedRelayRow) -> SmtpRelay:
        return self._servers.relay_of(choice_of(row), name=row.name)

    async def _shown(self, tx: ReadTx, rows: Iterable[NamedRelayRow]) -> Sequence[NamedRelay]:
        known = list(rows)
        states = await self._relays.show(tx, [self._relay_of(row) for row in known])
        return [
            NamedRelay(
                name=row.name,
                from_address=row.from_address,
                smtp=choice_of(row),
                relay=state,
                version=row.version,
                updated_at=row.updated_at,
            )
            for row, state in zip(known, states, strict=True)
        ]


def _one(name: str) -> sa.Select[NamedRelayRow]:
    return sa.select(NamedRelayRow).where(NamedRelayRow.name == name)


async def _load(tx: ReadTx, name: str, *, locked: bool = False) -> NamedRelayRow:
    query = _one(name)
    row: NamedRelayRow | None = await tx.scalar(query.with_for_update() if locked else query)
    if row is None:
        raise RelayNotFoundError
    return row
