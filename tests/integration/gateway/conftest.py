"""Identity and the gate on a database of either kind."""

from tests.support.gate import clock, gate

__all__ = ["clock", "gate"]
