"""The built-in roles, over the permissions that all rooms declare."""

from collections.abc import Mapping
from typing import Final, Literal, get_args

from backend.core.database import Tx
from backend.core.room import PLATFORM_ADMIN
from backend.managers.tenant.errors import RoleTooHighError

Role = Literal["owner", "admin", "operator", "viewer", "workflow"]
NAMES: Final[tuple[Role, ...]] = get_args(Role)


class Roles:
    """Which role permits what.

    Owners differ from admins in one permission, ``owner:write``, and not by a rule about their
    name: whatever hands out or takes away compares permissions, so no way of doing it (a member, a
    client, a key, a new secret) can forget it.
    """

    def __init__(self, holders: Mapping[str, frozenset[str]]) -> None:
        """Turn permission to roles into role to permissions.

        Raises:
            ValueError: A permission is to be held by a role that is none.
        """
        strange = frozenset().union(*holders.values()) - set(NAMES) - PLATFORM_ADMIN
        if strange:
            msg = f"no built-in role is called {', '.join(sorted(strange))}"
            raise ValueError(msg)
        self.by_name: Mapping[Role, frozenset[str]] = {
            role: frozenset(name for name, who in holders.items() if role in who) for role in NAMES
        }
        self.of_platform: Final = frozenset(
            name for name, who in holders.items() if who & PLATFORM_ADMIN
        )

    def permissions_of(self, role: str, *, platform_admin: bool = False) -> frozenset[str]:
        """What ``role`` permits; an unknown role permits nothing."""
        permissions = next(
            (each for name, each in self.by_name.items() if name == role), frozenset()
        )
        return permissions | self.of_platform if platform_admin else permissions

    def refuse_higher(self, tx: Tx, role: str, holder: frozenset[str] | None) -> None:
        """Nobody hands out or takes away a role, of a person, client or key, that they lack.

        The one rule of both directions. What it asked is noted in ``tx``, for kept answers.

        Args:
            tx: The act's.
            role: What is handed out, or what whoever is to lose something holds.
            holder: The permissions of whoever does it; None for the platform itself.

        Raises:
            RoleTooHighError: The role has permissions the holder lacks.
        """
        if holder is None:
            return
        needed = self.permissions_of(role)
        if not needed <= holder:
            raise RoleTooHighError
        tx.demand(needed)
