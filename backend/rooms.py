"""The rooms of the house, in tier order, lower ones first: the one list of them.

Who composes a process, reads the settings or migrates the database sums their descriptors
(:mod:`backend.core.room`) and knows no more of them than that.
"""

from typing import Any, Final

from backend.core.audit import SEQUENCER
from backend.core.context import Errand
from backend.core.events import OUTBOX, PLATFORM_EVENTS
from backend.core.room import House, Room
from backend.core.signal_log import SIGNALS
from backend.managers import (
    access,
    alerting,
    audit,
    compliance,
    dashboard,
    email,
    gateway,
    identity,
    logging,
    metrics,
    monitoring,
    orchestrator,
    secrets,
    security,
    tenant,
    tracing,
    webhooks,
)

ROOMS: Final[tuple[Room[Any], ...]] = (
    tracing.ROOM,
    logging.ROOM,
    metrics.ROOM,
    security.ROOM,
    tenant.ROOM,
    orchestrator.ROOM,
    audit.ROOM,
    monitoring.ROOM,
    email.ROOM,
    secrets.ROOM,
    identity.ROOM,
    gateway.ROOM,
    access.ROOM,
    webhooks.ROOM,
    alerting.ROOM,
    compliance.ROOM,
    dashboard.ROOM,
)

CORE_ERRANDS: Final[tuple[Errand, ...]] = (SEQUENCER, OUTBOX, PLATFORM_EVENTS, SIGNALS)

HOUSE: Final = House(ROOMS, errands=CORE_ERRANDS)
"""The sum for whoever needs no more than this release has."""
