"""The local SMTP sink of demos and tests: a process of its own, and no part of the API.

It accepts everything and delivers nothing. What it keeps is sealed under a key that follows from
the installation's root key. Whoever shares its folder and has that can read the copies: a platform
whose ``sink_directory`` names it shows them beside each message (``routes``), outside the versioned
document.
"""

from backend.sink.copies import SinkCopy, count_copies, hash_message_id, open_copy, read_copies
from backend.sink.server import SmtpSink

__all__ = ["SinkCopy", "SmtpSink", "count_copies", "hash_message_id", "open_copy", "read_copies"]
