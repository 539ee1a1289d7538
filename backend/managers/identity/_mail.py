"""What the platform itself writes to people: invitations, and links to set a password again."""

from collections.abc import Awaitable, Callable
from datetime import datetime

from backend.core.database import Tx

SendMail = Callable[[Tx, str, str, str], Awaitable[None]]
"""Queues a message of the platform's own in a transaction of any errand: to, subject, text."""


def reset_text(link: str, expires_at: datetime) -> tuple[str, str]:
    """Subject and text of a link for a new password."""
    text = (
        "Hello,\n\nsomebody, you we hope, asked for a new password for this e-mail address. To set "
        f"one, open\n\n{link}\n\nThe link works once, until {expires_at:%H:%M} UTC. Setting a "
        "password ends all your log-ins.\nIf it was not you, leave this message; your password "
        "stays as it is.\n"
    )
    return "Set a new password", text


def invitation_text(tenant: str, role: str, link: str, expires_at: datetime) -> tuple[str, str]:
    """Subject and text of an invitation."""
    text = (
        f"Hello,\n\nyou are invited to work in {tenant} as {role}. To accept, open\n\n"
        f"{link}\n\n"
        f"The link works once, until {expires_at:%Y-%m-%d %H:%M} UTC, and is for you alone: do not "
        "pass it on.\nIf you did not expect this message, leave it; nothing happens then.\n"
    )
    return f"You are invited to {' '.join(tenant.split())}", text
