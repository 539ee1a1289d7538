"""The one way out of a process, for HTTP and for names: deadlines, shares, and one's own network.

What a tenant names is looked up by us and not by the system's resolver, whose few threads all
share; nobody takes more look-ups or requests than their share; a destination that fails or hangs is
left alone for a while, for that tenant only; and no address of the platform's own network is
connected to, whatever a name says and whenever it says so.
"""

from backend.kit.outbound._addresses import is_public, is_web_address
from backend.kit.outbound._breaker import Breaker
from backend.kit.outbound._http import HttpAnswer
from backend.kit.outbound._outbound import Outbound
from backend.kit.outbound._session import (
    BoundedSession,
    LongAnswerError,
    RefusedAnswerError,
    SlowAnswerError,
)
from backend.kit.outbound._syslog import syslog_message
from backend.kit.outbound._trust import tls_context, trusting
from backend.kit.outbound.errors import NotAllowedError, UnreachableError
from backend.kit.outbound.settings import OutboundSettings

__all__ = [
    "BoundedSession",
    "Breaker",
    "HttpAnswer",
    "LongAnswerError",
    "NotAllowedError",
    "Outbound",
    "OutboundSettings",
    "RefusedAnswerError",
    "SlowAnswerError",
    "UnreachableError",
    "is_public",
    "is_web_address",
    "syslog_message",
    "tls_context",
    "trusting",
]
