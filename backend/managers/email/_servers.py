"""Mail servers that tenants name: which they may, what is kept of one, and the relay it makes."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any, Final, Protocol

from backend.core.database import Tx
from backend.kit.outbound import NotAllowedError, Outbound, UnreachableError
from backend.kit.smtp import Limits, SmtpRelay, limits_for
from backend.managers.email._values import RelayChoice, RelayOptions
from backend.managers.email.errors import RelayNotAllowedError
from backend.managers.email.settings import EmailSettings
from backend.managers.security import Keyring, SecurityManager

MESSAGES_PER_SESSION: Final = 100


class ServerRow(Protocol):
    """What two tables keep of a mail server in columns of the same names."""

    smtp_host: Any
    smtp_port: Any
    smtp_username: Any
    sealed_password: Any
    smtp_tls: Any
    smtp_options: Any


class MailServers:
    """The tenants' own mail servers, wherever they are kept."""

    def __init__(
        self, security: SecurityManager, platform: EmailSettings, outbound: Outbound
    ) -> None:
        """What ``platform`` says holds for what a tenant does not say of its server."""
        self._security = security
        self._platform = platform
        self._limits = Limits(platform.connections, messages_per_session=MESSAGES_PER_SESSION)
        self._outbound = outbound

    async def check(self, tenant_id: str, host: str) -> None:
        """Refuse a mail server on the platform's own network. Looks up: not in a transaction.

        Called by the worker, because a name can be pointed elsewhere after it was chosen; whoever
        connects judges the address itself (``public_only``).

        Raises:
            RelayNotAllowedError: One of its addresses is not public, or it can be no name of a
                host.
        """
        if not self._platform.allow_private_relays:
            # A name that nobody can look up reaches nothing.
            await self.judge(tenant_id, host)

    async def judge(self, tenant_id: str, host: str) -> str | None:
        """The same for who chooses the server; what they should know of it, if anything.

        A name that has no address is taken, since it may get one: mail waits for it.

        Raises:
            RelayNotAllowedError: As for :meth:`check`.
        """
        public_only = not self._platform.allow_private_relays
        try:
            await self._outbound.look_up(host, tenant_id=tenant_id, public_only=public_only)
        except NotAllowedError as exc:
            raise RelayNotAllowedError(exc.detail).at("smtp", "host") from None
        except UnreachableError as exc:
            return f"The mail server cannot be found now, and mail waits until it is: {exc.detail}"
        return None

    async def columns(
        self, tx: Tx, smtp: RelayChoice, row: ServerRow | None, context: str
    ) -> dict[str, Any]:
        """What is kept of a server in place of ``row``.

        Without a password the stored one is kept for the same server. Without a user name there is
        none, given or stored: nobody could log in with it.
        """
        sealed = row.sealed_password if row is not None and _takes_it_too(row, smtp) else None
        if smtp.password is not None:
            keyring = await self._security.keyring(tx)
            sealed = keyring.seal(context, smtp.password.encode())
        return {
            "smtp_host": smtp.host,
            "smtp_port": smtp.port,
            "smtp_username": smtp.username,
            "sealed_password": None if smtp.username is None else sealed,
            "smtp_tls": smtp.tls,
            "smtp_options": asdict(smtp.options),
        }

    def relay_of(self, smtp: RelayChoice, *, name: str | None = None) -> SmtpRelay:
        """The relay that a choice makes, without the password."""
        options = smtp.options
        return SmtpRelay(
            host=smtp.host,
            port=smtp.port,
            username=smtp.username,
            tls=smtp.tls,  # type: ignore[arg-type]  # the edge takes no other
            timeouts=self._platform.smtp_timeouts,
            local_hostname=options.ehlo_name or self._platform.ehlo_name,
            limits=limits_for(smtp.host, options.within(self._limits)),
            login=options.login,
            ca_certificate=options.ca_certificate,
            name=name,
        )

    def opened(
        self, relay: SmtpRelay, tenant_id: str, row: ServerRow, keyring: Keyring, context: str
    ) -> SmtpRelay:
        """The relay with the stored password, as its tenant's."""
        # Earlier releases stored passwords of nobody, which the relay would refuse.
        password = None if row.smtp_username is None else _opened(row, keyring, context)
        return self._owned(relay, tenant_id, password)

    def opened_if(
        self,
        smtp: RelayChoice,
        tenant_id: str,
        row: ServerRow | None,
        keyring: Keyring,
        context: str,
    ) -> SmtpRelay:
        """The relay that there would be if this were kept in place of ``row``."""
        password = smtp.password
        if password is None and smtp.username is not None and row and _takes_it_too(row, smtp):
            password = _opened(row, keyring, context)
        return self._owned(self.relay_of(smtp), tenant_id, password)

    def _owned(self, relay: SmtpRelay, tenant_id: str, password: str | None) -> SmtpRelay:
        return replace(
            relay,
            password=password,
            tenant_id=tenant_id,
            public_only=not self._platform.allow_private_relays,
        )


def choice_of(row: ServerRow) -> RelayChoice:
    """What was chosen, without the password."""
    return RelayChoice(
        row.smtp_host,
        row.smtp_port,
        row.smtp_username,
        None,
        row.smtp_tls,
        RelayOptions(**(row.smtp_options or {})),
    )


def changes(row: object | None, values: Mapping[str, Any]) -> list[str]:
    """The names of what will be another than in the row, or than nothing."""
    return sorted(name for name, now in values.items() if getattr(row, name, None) != now)


def _takes_it_too(row: ServerRow, smtp: RelayChoice) -> bool:
    """Whether a stored password may go to this server: the same, and no less guarded on the way.

    Otherwise whoever may change the settings could have it sent to where they can read it.
    """
    same = (row.smtp_host, row.smtp_port) == (smtp.host, smtp.port)
    trusted = {None, (row.smtp_options or {}).get("ca_certificate")}
    guarded = smtp.tls != "none" and smtp.options.ca_certificate in trusted
    return same and (guarded or row.smtp_tls == "none")


def _opened(row: ServerRow, keyring: Keyring, context: str) -> str | None:
    if row.sealed_password is None:
        return None
    return keyring.open(context, row.sealed_password).decode()
