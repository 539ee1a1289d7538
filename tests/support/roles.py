"""The built-in roles, as this release's rooms fill them."""

from typing import Final

from backend.core.room import House
from backend.managers.tenant import Roles
from backend.rooms import ROOMS

ROLES: Final = Roles(House(ROOMS).permissions)
