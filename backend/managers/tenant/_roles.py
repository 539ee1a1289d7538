"""The built-in roles over permissions ``noun:verb``."""

from collections.abc import Mapping
from typing import Final, Literal

from backend.managers.tenant.errors import RoleTooHighError

Role = Literal["owner", "admin", "operator", "viewer", "workflow"]

_READ: Final = frozenset(
    {
        "email:read",
        "email_template:read",
        "email_settings:read",
        "job:read",
        "audit:read",
        "overview:read",
        "member:read",
        "role:read",
    }
)
_OPERATE: Final = _READ | {
    "email:send",
    "email:read_content",
    "email_template:write",
    "job:write",
    "audit:verify",
    "client:read",
    "api_key:read",
}
_ADMIN: Final = _OPERATE | {
    "email_settings:write",
    "member:write",
    "client:write",
    "api_key:write",
    "token:introspect",
}

ROLES: Final[Mapping[Role, frozenset[str]]] = {
    # A permission and not a rule about the name: whatever hands out roles compares permissions, so
    # no way of handing them out (a member, a client, a key, a new secret) can forget it.
    "owner": _ADMIN | {"owner:write"},
    "admin": _ADMIN,
    "operator": _OPERATE,
    "viewer": _READ,
    "workflow": frozenset(
        {
            "email:send",
            "email:read",
            "email_template:read",
            "job:read",
            "job:write",
            "token:introspect",
        }
    ),
}
"""Role to permissions. Owners differ from admins in one: only they make, or unmake, owners."""

PLATFORM_PERMISSIONS: Final = frozenset({"platform:read", "platform:write"})


def permissions_of(role: str, *, platform_admin: bool = False) -> frozenset[str]:
    """What ``role`` permits; an unknown role permits nothing."""
    permissions = next((each for name, each in ROLES.items() if name == role), frozenset())
    return permissions | PLATFORM_PERMISSIONS if platform_admin else permissions


def refuse_higher(role: str, granter: frozenset[str] | None) -> None:
    """Nobody hands out, to a person, a client or a key, what they lack themselves.

    Args:
        role: What is to be handed out.
        granter: The permissions of whoever does it; None for the platform itself.

    Raises:
        RoleTooHighError: The role has permissions the granter lacks.
    """
    if granter is not None and not permissions_of(role) <= granter:
        raise RoleTooHighError
