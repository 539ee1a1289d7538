"""An errand for arranging and looking: tests see what no one errand of the house may."""

from typing import Final

from backend.core.audit import SEQUENCER
from backend.core.columns import tables_of
from backend.core.context import Errand
from backend.rooms import ROOMS

EVERYTHING: Final = Errand(
    "test.everything",
    frozenset().union(SEQUENCER.tables, *(tables_of(*room.models) for room in ROOMS)),
    of_platform=True,
)
