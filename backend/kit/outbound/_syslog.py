"""Syslog over TLS: messages of RFC 5424, framed by octet counting (RFC 5425, section 4.3)."""

import asyncio
import socket
import ssl
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Final

from backend.kit.outbound.errors import UnreachableError

_AUDIT: Final = 13
"""Facility "log audit" (RFC 5424, table 1)."""
_CLOSING_SECONDS: Final = 5.0
_NAME: Final = 48
_PROCESS: Final = 128
_MESSAGE_ID: Final = 32
_MOST_IN_SEQUENCE: Final = 2**31 - 1
_BOM: Final = b"\xef\xbb\xbf"


def syslog_message(
    *,
    severity: int,
    at: datetime,
    process: str,
    message_id: str,
    sequence: int,
    text: bytes,
    facility: int = _AUDIT,
) -> bytes:
    """One message of RFC 5424, without a frame; its text is UTF-8 and said to be.

    The host is not told: of a name that a container was given nobody knows whose it is. The number
    is ``sequenceId`` of the element ``meta`` (section 7.3.1), which begins anew after 2147483647.

    Args:
        severity: 0 (emergency) to 7 (debug).
        at: When it happened.
        process: Who sends it, for PROCID.
        message_id: The kind of event, for MSGID.
        sequence: Its number, from 1.
        text: The message.
        facility: Of what kind all of them are: 13 (log audit), 14 (log alert).
    """
    moment = at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    head = (
        f"<{facility * 8 + severity}>1 {moment} - {_printed('email-sender', _NAME)}"
        f" {_printed(process, _PROCESS)} {_printed(message_id, _MESSAGE_ID)}"
        f' [meta sequenceId="{(sequence - 1) % _MOST_IN_SEQUENCE + 1}"] '
    )
    return head.encode("ascii") + _BOM + text


def _printed(text: str, most: int) -> str:
    """A field of the header: printable ASCII without spaces, or nothing (``-``)."""
    return "".join(one if "!" <= one <= "~" else "_" for one in text)[:most] or "-"


async def send_syslog(
    connection: socket.socket, host: str, context: ssl.SSLContext, messages: Sequence[bytes]
) -> None:
    """Send messages over a connected socket, which is closed; the certificate is ``host``'s.

    Syslog has no acknowledgement. What comes nearest is asked for: after the last message we say
    ``close_notify`` and wait for the other side's, which it sends when it has read all before it.
    One that hung up earlier, or says nothing in five seconds, has not taken them.

    Raises:
        UnreachableError: No TLS, or the other side did not read to the end.
    """
    writer: asyncio.StreamWriter | None = None
    try:
        reader, writer = await asyncio.open_connection(
            sock=connection,
            ssl=context,
            server_hostname=host,
            ssl_shutdown_timeout=_CLOSING_SECONDS,
        )
        for message in messages:
            writer.write(b"%d " % len(message) + message)
            await writer.drain()
        if reader.at_eof():
            raise UnreachableError(f"{host} hung up")
        writer.close()
        await writer.wait_closed()
    except ssl.SSLError as error:
        reason = error.reason or type(error).__name__
        raise UnreachableError(f"no TLS with {host}: {reason}") from error
    except OSError as error:  # a time-out is one
        raise UnreachableError(f"{host} did not read to the end") from error
    finally:
        if writer is None:
            connection.close()
        else:
            with suppress(RuntimeError):
                writer.transport.abort()
