"""The managers on a database, with a clock that only the test moves."""

from tests.support.gate import clock, gate

__all__ = ["clock", "gate"]
