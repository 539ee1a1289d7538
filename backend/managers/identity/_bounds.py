"""What a client or a key is held to within its role: scopes, an end, networks."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from ipaddress import ip_network
from typing import Annotated, Any, Final

from pydantic import AfterValidator, Field

from backend.managers.identity.errors import ExpiryInvalidError, ScopeBeyondRoleError


def _network(text: str) -> str:
    try:
        return str(ip_network(text))
    except ValueError as exc:
        raise ValueError(f"{exc}: write it like 192.0.2.0/24 or 2001:db8::/32") from exc


Network = Annotated[
    str,
    Field(max_length=64, json_schema_extra={"format": "cidr"}),
    AfterValidator(_network),
]
"""A network in CIDR notation, or one address."""

Scopes = Annotated[list[Annotated[str, Field(max_length=100)]], Field(max_length=200)]
Networks = Annotated[list[Network], Field(max_length=50)]
SCOPES_TEXT: Final = "Permissions it is held to; null: all that its role has, now and later"
NETWORKS_TEXT: Final = "Networks that it may be used from; empty: any"


@dataclass(frozen=True, slots=True)
class CredentialBounds:
    """The bounds of one credential.

    Attributes:
        scopes: Permissions that it is held to; None: all of its role.
        expires_at: From when on it is void; None: never.
        networks: Where it may be used from, in CIDR notation; none: anywhere.
    """

    scopes: Sequence[str] | None = None
    expires_at: datetime | None = None
    networks: Sequence[str] = ()

    def refuse_invalid(self, permitted: frozenset[str], now: datetime) -> None:
        """Refuse what would hold nothing.

        Raises:
            ScopeBeyondRoleError: A scope is none of the role's permissions.
            ExpiryInvalidError: It would be dead already.
        """
        if beyond := sorted(set(self.scopes or ()) - permitted):
            raise ScopeBeyondRoleError(f"The role lacks {', '.join(beyond)}").at("scopes")
        if self.expires_at is not None and self.expires_at <= now:
            raise ExpiryInvalidError().at("expires_at")

    def facts(self) -> dict[str, Any]:
        """What the audit trail keeps of them; nothing of bounds that are none."""
        found: dict[str, Any] = {}
        if self.scopes is not None:
            found["scopes"] = sorted(self.scopes)
        if self.expires_at is not None:
            found["expires_at"] = self.expires_at.isoformat()
        if self.networks:
            found["networks"] = list(self.networks)
        return found

    def columns(self) -> dict[str, Any]:
        """The columns of a row that keeps them."""
        return {
            "scopes": None if self.scopes is None else sorted(set(self.scopes)),
            "expires_at": self.expires_at,
            "networks": list(self.networks) or None,
        }


def held_to(scopes: Sequence[str] | None, permitted: frozenset[str]) -> frozenset[str]:
    """What is left of the role's permissions."""
    return permitted if scopes is None else permitted.intersection(scopes)


def is_over(expires_at: datetime | None, now: datetime) -> bool:
    """Whether a credential with this end is void."""
    return expires_at is not None and expires_at <= now


def earlier(seconds: float, expires_at: datetime | None) -> float:
    """The earlier of both ends, in epoch seconds."""
    return seconds if expires_at is None else min(seconds, expires_at.timestamp())
