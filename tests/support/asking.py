"""How much a run asks: a share that is always the same, or everything."""

import os

ASK_ALL = bool(os.environ.get("EMAIL_SENDER_ASK_ALL"))
"""Whether all of what usually is a share is asked, as before a release."""
