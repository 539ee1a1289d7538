"""E-mail settings of a tenant: its from address, and its own mail server if it has one."""

from collections.abc import Sequence
from dataclasses import asdict
from functools import cache
from typing import Any, Final

import sqlalchemy as sa

from backend.core.audit import Personal
from backend.core.database import Id, ReadTx, Tx
from backend.core.errors import placed
from backend.kit.mime import Mailbox, parse_address
from backend.kit.smtp import SmtpRelay
from backend.managers.email._relays import READ_BY_ALL_SECONDS, RelayRecords
from backend.managers.email._sealed import password_place
from backend.managers.email._servers import MailServers, ServerRow, changes
from backend.managers.email._states import DEFERRED
from backend.managers.email._values import (
    Kept,
    RelayOptions,
    RelayState,
    RetryPolicy,
    Route,
    SettingsChange,
    TenantEmailSettings,
)
from backend.managers.email.errors import EmailSettingsChangedError, RetentionError
from backend.managers.email.models import EmailRow, EmailSettingsRow, SuppressionRow
from backend.managers.email.settings import EmailSettings
from backend.managers.orchestrator import OrchestratorManager
from backend.managers.security import Keyring

_MOST_WAIT_SECONDS: Final = 3_600.0
_HASTENED: Final = 500
_SERVER: Final = tuple(ServerRow.__annotations__)


class EmailSettingsStore:
    """Reading and replacing a tenant's settings, and the relay they lead to."""

    def __init__(
        self,
        platform: EmailSettings,
        default_relay: SmtpRelay,
        *,
        servers: MailServers,
        relays: RelayRecords,
        orchestrator: OrchestratorManager,
    ) -> None:
        """What ``platform`` and ``default_relay`` say holds for tenants that say nothing."""
        self._platform = platform
        self._default_relay = default_relay
        self._servers = servers
        self._relays = relays
        self._jobs = orchestrator

    async def show_relay(self, tx: ReadTx, settings: TenantEmailSettings) -> RelayState:
        """The mail server that the tenant's mail goes to, as its answers have shown it."""
        return (await self._relays.show(tx, [self.relay_of(settings)]))[0]

    async def get(self, tx: ReadTx) -> TenantEmailSettings:
        """The tenant's settings, or the platform's defaults as revision 0."""
        return _as_settings(await tx.scalar(sa.select(EmailSettingsRow)), self._platform)

    def kept(self, settings: TenantEmailSettings) -> Kept:
        """How long settings have mail kept, beside what the platform says of it."""
        usual_content, usual = self._platform.keep_content_days, self._platform.keep_days
        days = settings.keep_days or usual
        return Kept(
            content_days=min(settings.keep_content_days or usual_content, days),
            days=days,
            usual_content_days=usual_content,
            usual_days=usual,
            most_days=self._platform.max_keep_days,
        )

    async def get_for_sending(self, tx: ReadTx) -> tuple[TenantEmailSettings, bool]:
        """The same, and whether the tenant has any suppressions, in one statement."""
        row, suppresses = await _load_for_sending(tx)
        return _as_settings(row, self._platform), suppresses

    async def put(
        self,
        tx: Tx,
        change: SettingsChange,
        *,
        expected_version: str | None,
    ) -> TenantEmailSettings:
        """Replace the tenant's settings. The same relay without a password keeps the stored one.

        Without a user name no password is kept, given or stored: nobody could log in with it. The
        relay before and the one from now on are tried anew, whatever they refused; where one was
        paused, with what waited for it.

        Raises:
            EmailSettingsChangedError: The version is not the current one any more.
            InvalidAddressError: The from address, or a sender, is none.
            RetentionError: It would keep mail for longer than the platform does.
        """
        row = await tx.scalar(sa.select(EmailSettingsRow).with_for_update())
        current = _as_settings(row, self._platform)
        if expected_version is not None and expected_version != current.version:
            raise EmailSettingsChangedError
        sender, allowed = self._checked(change)
        server = dict.fromkeys(_SERVER)
        if change.smtp is not None:
            context = password_place(tx.tenant_id)
            server = await self._servers.columns(tx, change.smtp, row, context)
        values: dict[str, Any] = {
            **server,
            "from_address": sender.address,
            "from_name": sender.display_name,
            "suppress_hard_bounces": change.suppress_hard_bounces,
            "keep_content_days": change.keep_content_days,
            "keep_days": change.keep_days,
            "retry": asdict(change.retry) if change.retry else None,
            "senders": allowed or None,
        }
        changed = changes(row, values)
        values |= {
            "version": current.revision + 1,
            "updated_at": tx.now(),
        }
        await tx.upsert(
            EmailSettingsRow,
            {"tenant_id": tx.tenant_id, **values},
            conflict=["tenant_id"],
            update=values,
        )
        tx.audit(
            "email_settings.saved",
            f"tenant:{tx.tenant_id}",
            from_address=Personal.address(sender.address),
            smtp_host=values["smtp_host"],
            suppress_hard_bounces=change.suppress_hard_bounces,
            keep_content_days=change.keep_content_days,
            keep_days=change.keep_days,
            # By name alone: lists of senders and authorities are larger than a record may be.
            changed=changed,
            version=values["version"],
        )
        made = _as_settings(EmailSettingsRow(**values), self._platform)
        resumed = [
            await self._relays.resume(tx, relay, forgetting=True)
            for relay in {one.label: one for one in map(self.relay_of, (current, made))}.values()
        ]
        if any(resumed):
            await hasten(tx, self._jobs, None)
        return made

    def _checked(self, change: SettingsChange) -> tuple[Mailbox, list[str]]:
        """Who mail is from and may be from, once all that can be refused is not."""
        with placed("from_address"):
            sender = parse_address(str(Mailbox(change.from_name, change.from_address)))
        self._check_retention(change.keep_content_days, change.keep_days)
        return sender, _parse_senders(change.senders)

    async def open_relay_if(self, tx: ReadTx, keyring: Keyring, change: SettingsChange) -> Route:
        """The way that mail would take if :meth:`put` had saved these; nothing is changed.

        Raises:
            InvalidAddressError, RetentionError: As :meth:`put`.
        """
        row, suppresses = await _load_for_sending(tx)
        sender, _ = self._checked(change)
        retry = change.retry or _as_settings(None, self._platform).retry
        relay = self._default_relay
        if change.smtp is not None:
            context = password_place(tx.tenant_id)
            relay = self._servers.opened_if(change.smtp, tx.tenant_id, row, keyring, context)
        return Route(relay, sender, suppresses, retry)

    async def resume_relay(self, tx: Tx) -> RelayState:
        """End the pauses of the tenant's relay, and try what waits; audited as ``relay.resumed``.

        Up to 500 deferred messages, the oldest, are due as soon as every worker knows of it, in six
        seconds; others keep their times. What the relay has taught of its limits stays.
        """
        settings = await self.get(tx)
        relay = self.relay_of(settings)
        await self._relays.resume(tx, relay)
        hastened = await hasten(tx, self._jobs, None)
        tx.audit("relay.resumed", f"relay:{relay.label}", hastened=hastened)
        return await self.show_relay(tx, settings)

    def relay_of(self, settings: TenantEmailSettings) -> SmtpRelay:
        """The mail server that settings lead to, without the password."""
        smtp = settings.smtp
        return self._default_relay if smtp is None else self._servers.relay_of(smtp)

    def _check_retention(self, content_days: int | None, days: int | None) -> None:
        most, usual = self._platform.max_keep_days, self._platform.keep_days
        for name, asked in (("keep_days", days), ("keep_content_days", content_days)):
            if (asked or 0) > most:
                said = f"This platform keeps mail for {most} days at most."
                raise RetentionError(said).at(name)
        if content_days is not None and content_days > (days or usual):
            said = f"The message itself goes after {days or usual} days."
            raise RetentionError(said).at("keep_content_days")

    async def open_relay(self, tx: ReadTx, keyring: Keyring) -> Route:
        """The mail server to hand messages to, its password opened, and who they are from.

        Also how patiently, and whether the tenant has any suppressions: one statement tells it all.
        """
        row, suppresses = await _load_for_sending(tx)
        usual = _as_settings(row, self._platform)
        sender = Mailbox(usual.from_name, usual.from_address)
        relay = self.relay_of(usual)
        if row is not None and row.smtp_host is not None:
            context = password_place(tx.tenant_id)
            relay = self._servers.opened(relay, tx.tenant_id, row, keyring, context)
        return Route(relay, sender, suppresses, usual.retry)


async def hasten(tx: Tx, jobs: OrchestratorManager, relay: str | None) -> int:
    """Have deferred messages of a relay tried when every worker knows of what has changed.

    None is the relay of all messages that name none. The 500 oldest; returns how many were.
    """
    waiting = await tx.scalars(
        sa.select(EmailRow.job_id)
        .where(EmailRow.state == DEFERRED, EmailRow.relay == relay)
        .order_by(EmailRow.id)
        .limit(_HASTENED)
    )
    return await jobs.hasten(tx, list(waiting), delay_seconds=READ_BY_ALL_SECONDS)


# Made once, because each request that sends runs it. Joined to a row that is always there: most
# tenants have no settings.
_TENANT: Final = sa.bindparam("tenant", type_=Id)
_ALWAYS: Final = sa.select(sa.literal(1).label("one")).subquery("always")
# The first in the order of the key, and not EXISTS: of that planners think that any row will do,
# and read all tenants' until one comes.
_ANY_SUPPRESSION: Final = (
    sa.select(SuppressionRow.id)
    .where(SuppressionRow.tenant_id == _TENANT)
    .order_by(SuppressionRow.id)
    .limit(1)
    .scalar_subquery()
)
_FOR_SENDING: Final = (
    sa.select(EmailSettingsRow, _ANY_SUPPRESSION.is_not(None))
    .select_from(_ALWAYS)
    .outerjoin(EmailSettingsRow, EmailSettingsRow.tenant_id == _TENANT)
)


async def _load_for_sending(tx: ReadTx) -> tuple[Any, bool]:
    found = await tx.execute(_FOR_SENDING, {"tenant": tx.tenant_id})
    row, suppresses = found.one()
    return row, bool(suppresses)


def _as_settings(row: EmailSettingsRow | None, defaults: EmailSettings) -> TenantEmailSettings:
    usual = RetryPolicy(
        _doubling(defaults.backoff_seconds),
        defaults.give_up_after_seconds,
        defaults.delay_notice_after_seconds,
    )
    if row is None:
        return TenantEmailSettings(
            from_address=defaults.from_address,
            from_name=defaults.from_name,
            smtp_host=None,
            smtp_port=None,
            smtp_username=None,
            smtp_tls=None,
            suppress_hard_bounces=False,
            keep_content_days=None,
            keep_days=None,
            revision=0,
            smtp_options=RelayOptions(),
            retry=usual,
        )
    own = RetryPolicy(**row.retry) if row.retry else None
    return TenantEmailSettings(
        from_address=row.from_address,
        from_name=row.from_name,
        smtp_host=row.smtp_host,
        smtp_port=row.smtp_port,
        smtp_username=row.smtp_username,
        smtp_tls=row.smtp_tls,
        suppress_hard_bounces=row.suppress_hard_bounces,
        keep_content_days=row.keep_content_days,
        keep_days=row.keep_days,
        revision=row.version,
        smtp_options=RelayOptions(**(row.smtp_options or {})),
        retry=own or usual,
        own_retry=own,
        senders=row.senders or (),
    )


@cache
def _doubling(first: float) -> tuple[float, ...]:
    """Waits that double up to an hour."""
    waits = [first]
    while waits[-1] < _MOST_WAIT_SECONDS:
        waits.append(min(2 * waits[-1], _MOST_WAIT_SECONDS))
    return tuple(waits)


def _parse_senders(texts: Sequence[str]) -> list[str]:
    senders = []
    for index, text in enumerate(texts):
        with placed("senders", index):
            senders.append(_parse_sender(text))
    return senders


def _parse_sender(text: str) -> str:
    """An address that mail may be from, or ``@`` and a domain for all of its addresses.

    Raises:
        InvalidAddressError: It is neither.
    """
    if text.startswith("@"):
        return f"@{parse_address(f'a{text}').domain}"
    return parse_address(text).address
