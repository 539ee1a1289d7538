"""The local SMTP sink of demos and tests: a process of its own, and no part of the API.

It accepts everything and delivers nothing. Whoever shares its folder can read the copies: a
platform whose ``sink_directory`` names it shows them beside each message (``routes``), outside the
versioned document.
"""

from backend.sink.copies import SinkCopy, count_copies, hash_message_id, read_copies
from backend.sink.server import SmtpSink

__all__ = ["SinkCopy", "SmtpSink", "count_copies", "hash_message_id", "read_copies"]
