"""What every wire type of the client is."""

import msgspec


class Wire(msgspec.Struct, frozen=True):
    """A value that cannot change and does not show itself.

    Fields that a type does not know are ignored, so the API may grow under a console that was not
    restarted.
    """

    def __repr__(self) -> str:
        """Name the type alone: its values may be a secret, and this ends up in logs."""
        return f"{type(self).__name__}(...)"
