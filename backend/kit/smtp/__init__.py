"""Mail servers: sessions that are kept, and what a server said about each recipient."""

from backend.kit.smtp._answers import RecipientOutcome
from backend.kit.smtp._flow import ALL_SENDERS, Flow, Hold, Pacing, Pause, PauseKind
from backend.kit.smtp._pool import SmtpPool
from backend.kit.smtp._providers import limits_for, provider_of
from backend.kit.smtp._rehearsal import Certificate, Rehearsal, Result, Step, StepName, rehearse
from backend.kit.smtp._relay import Limits, Login, SmtpRelay, SmtpTimeouts
from backend.kit.smtp._session import verify
from backend.kit.smtp.errors import RelayUnavailableError

__all__ = [
    "ALL_SENDERS",
    "Certificate",
    "Flow",
    "Hold",
    "Limits",
    "Login",
    "Pacing",
    "Pause",
    "PauseKind",
    "RecipientOutcome",
    "Rehearsal",
    "RelayUnavailableError",
    "Result",
    "SmtpPool",
    "SmtpRelay",
    "SmtpTimeouts",
    "Step",
    "StepName",
    "limits_for",
    "provider_of",
    "rehearse",
    "verify",
]
