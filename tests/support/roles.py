"""The built-in roles, as this release's rooms fill them."""

from typing import Final

from backend.managers.tenant import Roles
from backend.rooms import HOUSE

ROLES: Final = Roles(HOUSE.permissions, HOUSE.role_holders)
