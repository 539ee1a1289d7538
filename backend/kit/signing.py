"""Signatures of what is sent to others, by Standard Webhooks 1.0 (https://www.standardwebhooks.com)."""

import base64
import hashlib
import hmac
from datetime import datetime


def signed(secret: bytes, name: str, now: datetime, content: bytes) -> dict[str, str]:
    """The headers: a name, a time, and HMAC-SHA256 over both and the body.

    Args:
        secret: The key.
        name: The same for what is sent again.
        now: Of this try: a receiver refuses what is five minutes old.
        content: The body.
    """
    moment = str(int(now.timestamp()))
    mac = hmac.new(secret, f"{name}.{moment}.".encode() + content, hashlib.sha256).digest()
    return {
        "webhook-id": name,
        "webhook-timestamp": moment,
        "webhook-signature": f"v1,{base64.b64encode(mac).decode()}",
    }


def shown(secret: bytes) -> str:
    """A symmetric secret as Standard Webhooks writes it."""
    return f"whsec_{base64.b64encode(secret).decode()}"
