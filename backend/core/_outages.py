"""What drivers and pools raise when the database cannot serve, and why, in words for operators.

The words are ours: what a driver says may quote an address, a statement or a value.
"""

import sqlite3
from typing import Any, Final

from sqlalchemy.exc import InterfaceError, OperationalError, PendingRollbackError
from sqlalchemy.exc import TimeoutError as PoolTimeout

OUTAGES: Final = (OperationalError, InterfaceError, PoolTimeout, OSError, PendingRollbackError)
"""Whatever of these a transaction raises, the database was away or could not serve."""

DISK_FULL: Final = "its disk is full"
_SILENT: Final = "it does not answer"
_SQLITE: Final = {
    sqlite3.SQLITE_FULL: DISK_FULL,
    sqlite3.SQLITE_BUSY: "somebody else holds its write lock",
    sqlite3.SQLITE_READONLY: "its file cannot be written",
    sqlite3.SQLITE_IOERR: "its disk fails",
    sqlite3.SQLITE_CANTOPEN: "its file cannot be opened",
}
_READ_ONLY: Final = "25006"
_SILENT_SESSION: Final = "25P03"
# Appendix A of PostgreSQL's manual.
_POSTGRESQL: Final = {
    "53100": DISK_FULL,
    "53300": "it has no connection left",
    "57P03": "it is starting or stopping",
    "57P01": "it is stopping",
    _READ_ONLY: "it can only be read",
    _SILENT_SESSION: "it ended a session that was silent for too long",
}
_INTERNAL: Final = frozenset({_READ_ONLY, _SILENT_SESSION})


def reason_of(error: BaseException) -> str:
    """Why the database cannot serve, as far as the driver's code tells."""
    if isinstance(error, PoolTimeout):
        return "all connections are in use"
    cause: Any = getattr(error, "orig", None) or error
    code = getattr(cause, "sqlite_errorcode", None)
    if code is not None:
        # The low byte is the kind of failure, the rest says where it was met.
        return _SQLITE.get(code & 0xFF, "it refuses")
    state = getattr(cause, "sqlstate", None)
    return _SILENT if state is None else _POSTGRESQL.get(state, "it refuses")


def is_outage(error: BaseException) -> bool:
    """Whether an internal error is none of ours: the driver counts some of the server's among them.

    It can only be read, as a standby can; or it has ended a session that sat in a transaction, as
    a process does that was frozen there: what that one did is undone, and may be done anew.
    """
    return getattr(getattr(error, "orig", None), "sqlstate", None) in _INTERNAL
