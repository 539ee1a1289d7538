"""The rooms of the house, in tier order, lower ones first: the one list of them.

Who composes a process, reads the settings or migrates the database sums their descriptors
(:mod:`backend.core.room`) and knows no more of them than that.
"""

from typing import Any, Final

from backend.core.room import Room
from backend.managers import (
    audit,
    dashboard,
    email,
    gateway,
    identity,
    metrics,
    monitoring,
    orchestrator,
    security,
    tenant,
    tracing,
)

ROOMS: Final[tuple[Room[Any], ...]] = (
    tracing.ROOM,
    metrics.ROOM,
    security.ROOM,
    audit.ROOM,
    tenant.ROOM,
    orchestrator.ROOM,
    monitoring.ROOM,
    email.ROOM,
    identity.ROOM,
    gateway.ROOM,
    dashboard.ROOM,
)
