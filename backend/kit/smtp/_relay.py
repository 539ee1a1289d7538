"""What is known of a mail server before it is spoken with: where, as whom, how much, how long."""

import re
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal, Self
from urllib.parse import parse_qsl, unquote, urlsplit

Tls = Literal["none", "starttls", "implicit"]
Login = Literal["password", "xoauth2"]

DEFAULT_PORTS: Final[dict[str, int]] = {"none": 25, "starttls": 587, "implicit": 465}
_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_HOST: Final = re.compile(r"[A-Za-z0-9._:-]{1,255}", re.ASCII)
_EHLO_NAME: Final = re.compile(r"[!-~]{1,255}", re.ASCII)


@dataclass(frozen=True, slots=True)
class SmtpTimeouts:
    """How long one step may stay without a sign of life: RFC 5321, section 4.5.3.2.

    There is no limit on a whole conversation: a server that answers at all is heard out.
    """

    connect_seconds: float = 30.0
    greeting_seconds: float = 300.0
    command_seconds: float = 300.0
    data_seconds: float = 120.0
    # For every part of the message that the server takes from us, 64 KiB at most.
    block_seconds: float = 180.0
    end_of_data_seconds: float = 600.0

    def __post_init__(self) -> None:
        if not all(0 < seconds <= 3_600 for seconds in self._all().values()):
            raise ValueError("A timeout of the relay must be above 0 and at most 3600 seconds.")

    def at_most(self, seconds: float) -> "SmtpTimeouts":
        """The same with no step longer than ``seconds``."""
        return SmtpTimeouts(**{name: min(value, seconds) for name, value in self._all().items()})

    def _all(self) -> dict[str, float]:
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True)
class Limits:
    """What a relay may be asked for; None is no limit."""

    connections: int
    rate_per_second: float | None = None
    messages_per_session: int | None = None
    recipients_per_transaction: int | None = None

    def __post_init__(self) -> None:
        if not all(value is None or value > 0 for value in self.values()):
            raise ValueError("A relay's limits must be above 0.")

    def values(self) -> tuple[float | None, ...]:
        """All of them, in the order of the fields."""
        return (
            self.connections,
            self.rate_per_second,
            self.messages_per_session,
            self.recipients_per_transaction,
        )

    def within(self, other: "Limits") -> "Limits":
        """The stricter of both, limit by limit."""

        def lower(name: str) -> Any:
            given = (getattr(self, name), getattr(other, name))
            return min((one for one in given if one is not None), default=None)

        return replace(self, **{name: lower(name) for name in self.__slots__})


@dataclass(frozen=True, slots=True)
class SmtpRelay:
    """Where messages are handed over, and how; the password never shows in ``repr``.

    ``local_hostname`` None greets with this host's full name, or with the connection's own address
    where it has none (RFC 5321, section 4.1.3). ``ca_certificate`` is a PEM to be trusted instead
    of the system's authorities. With ``login`` xoauth2 the password is an access token.
    """

    host: str
    port: int
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    tls: Tls = "starttls"
    timeouts: SmtpTimeouts = SmtpTimeouts()
    local_hostname: str | None = None
    limits: Limits = Limits(4, messages_per_session=100)
    login: Login = "password"
    ca_certificate: str | None = field(default=None, repr=False)
    # Whose server this is, None for the platform's own: a tenant's failures are its own.
    tenant_id: str | None = None
    # What its owner calls it, if it has several: those of one server may log in as different users,
    # whom it limits and refuses each by itself.
    name: str | None = None
    # For what tenants choose: no address of the platform's own network, whatever the name says.
    public_only: bool = False

    def __post_init__(self) -> None:
        if not _HOST.fullmatch(self.host):
            raise ValueError("The relay's host is not a host name or address.")
        if not 1 <= self.port <= 65_535:
            raise ValueError("The relay's port must be from 1 to 65535.")
        if self.tls not in DEFAULT_PORTS:
            raise ValueError("The relay's tls must be none, starttls or implicit.")
        if self.local_hostname is not None and not _EHLO_NAME.fullmatch(self.local_hostname):
            raise ValueError("The local host name may hold visible ASCII only.")
        if self.password is not None and self.username is None:
            raise ValueError("A password for the relay needs a user name.")

    @property
    def where(self) -> str:
        """Host and port, as people write them."""
        return f"{self.host}:{self.port}"

    @property
    def label(self) -> str:
        """What tells it from the others of its owner: where it is, after its name if it has one."""
        return self.where if self.name is None else f"{self.name}@{self.where}"

    @classmethod
    def from_url(
        cls,
        url: str,
        *,
        timeouts: SmtpTimeouts = SmtpTimeouts(),
        limits: Limits = Limits(4, messages_per_session=100),
    ) -> Self:
        """Read ``smtp://[user:password@]host[:port][?tls=...&timeout=...&local_hostname=...]``.

        ``smtps://`` means implicit TLS. ``smtp://`` means STARTTLS and refuses a relay that does
        not offer it, except on loopback, where it means no TLS; ``?tls=`` says otherwise. Ports
        default to 465, 587 and 25; ``timeout`` bounds every step. User and password are
        percent-decoded.

        Raises:
            ValueError: The URL is malformed; the message never quotes it.
        """
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            raise ValueError("The relay's URL is malformed.") from None
        if parts.scheme not in {"smtp", "smtps"} or not parts.hostname:
            raise ValueError("The relay's URL must be smtp://host or smtps://host.")
        if parts.path not in {"", "/"} or parts.fragment:
            raise ValueError("The relay's URL may not have a path or fragment.")
        options = dict(parse_qsl(parts.query, keep_blank_values=True))
        tls = options.pop("tls", None)
        timeout = options.pop("timeout", None)
        local_hostname = options.pop("local_hostname", None)
        if options:
            raise ValueError("The relay's URL knows tls, timeout and local_hostname only.")
        if parts.scheme == "smtps":
            if tls not in {None, "implicit"}:
                raise ValueError("smtps:// is implicit TLS; use smtp:// for another kind.")
            tls = "implicit"
        elif tls is None:
            tls = "none" if parts.hostname in _LOOPBACK else "starttls"
        if tls not in DEFAULT_PORTS:
            raise ValueError("The relay's tls must be none, starttls or implicit.")
        if timeout is not None:
            try:
                seconds = float(timeout)
            except ValueError:
                raise ValueError("The relay's timeout must be a number of seconds.") from None
            timeouts = timeouts.at_most(seconds)
        return cls(
            host=parts.hostname,
            port=DEFAULT_PORTS[tls] if port is None else port,
            username=None if parts.username is None else unquote(parts.username),
            password=None if parts.password is None else unquote(parts.password),
            tls=tls,  # type: ignore[arg-type]  # checked above against the table's keys
            timeouts=timeouts,
            local_hostname=local_hostname,
            limits=limits,
        )
