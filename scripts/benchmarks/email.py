"""The price of accountable mail: HTTP in, durable, worker, SMTP out, against plain aiosmtplib.

Both end at the same sink process and are measured by what lies in its folder: from the moment the
first message is begun to the moment the last one was stored, which the sink writes into its file
names. So nothing that is still queued somewhere counts as sent, and watching costs next to nothing.
"""

import asyncio
import json
import re
import shutil
from collections.abc import Iterator
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from pathlib import Path
from typing import Final

import aiosmtplib
import httpx
import uvloop

from backend.core.clock import epoch_nanoseconds
from backend.managers.email import EmailSettings
from scripts.benchmarks.load import Request, send_all
from scripts.benchmarks.measure import BenchmarkError, Result, alternate
from scripts.benchmarks.processes import installation, wait_until
from scripts.installation import HOST, Installation

REFERENCE: Final = "EmailMessage + aiosmtplib"
_CLIENTS: Final = {"single": 16, "batch100": 4}
_BATCH: Final = 100
_ARRIVAL_SECONDS: Final = 120.0
_SINK_FILE: Final = re.compile(r"([0-9a-f]{32})\.(\d+)-[0-9a-f]+\.eml")
_UNFINISHED: Final = re.compile(
    r'^email_sender_orchestrator_jobs\{state="(?:ready|running)"\} (\S+)$', re.MULTILINE
)
_SENDER: Final = "Email Sender <no-reply@email-sender.example>"
_TEXT: Final = (
    "Dear {name},\n\n"
    "your order {number} has left our warehouse and will be with you in two or three working "
    "days. You can follow the parcel from this evening on under the number below.\n\n"
    "    Order   {number}\n    Parcel  EX-{number:08d}\n    Pieces  3\n\n"
    "If something is missing or broken, answer this message: it reaches a person.\n\n"
    "With kind regards\nThe warehouse\n"
)


def run_case(case: str, rounds: int, messages: int) -> Result:
    """Messages a second that reach the sink in the embedded shape, SQLite and FULL."""
    with installation("sink", "api", "worker") as (platform, _):
        token = platform.token()

        def ours(count: int = messages) -> float:
            return deliver(case, platform, token, count)

        def reference(count: int = messages) -> float:
            _clear(platform.sink_folder)
            began = uvloop.run(_send_plainly(platform.sink_port, count))
            return count / _seconds_to_last(platform.sink_folder, began, count)

        for warm in (ours, reference):
            warm(_BATCH)
        mine, theirs = alternate(rounds, ours, reference)
    return Result("email", case, mine, theirs, REFERENCE, "messages/s")


def deliver(case: str, platform: Installation, token: str, count: int) -> float:
    """Messages a second that reach the sink, from the first request to the last one's arrival.

    Raises:
        BenchmarkError: They did not all arrive, or one arrived twice.
    """
    requests = list(requests_of(case, platform.api_port, token, count))
    _clear(platform.sink_folder)
    began = send_all(requests, clients=_CLIENTS[case])
    rate = count / _seconds_to_last(platform.sink_folder, began, count)
    # What still has to be recorded is part of our price, but not of the other's run.
    wait_until(lambda: _settled(platform.api_port), "the recording of all outcomes")
    return rate


def _fields(number: int) -> tuple[str, str, str]:
    """Recipient, subject and text of one message: no two are alike."""
    name = f"Customer {number}"
    return (
        f"{name} <customer-{number}@example.test>",
        f"Your order {number} is on its way",
        _TEXT.format(name=name, number=number),
    )


def requests_of(case: str, port: int, token: str, count: int) -> Iterator[Request]:
    """The requests that send so many messages."""
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    messages = []
    for number in range(count):
        to, subject, text = _fields(number)
        messages.append({"to": [to], "subject": subject, "text": text})
    if case == "single":
        for message in messages:
            body = json.dumps(message).encode()
            yield Request(port, "/api/v1/emails", headers, body)
        return
    for start in range(0, count, _BATCH):
        body = json.dumps({"messages": messages[start : start + _BATCH]}).encode()
        yield Request(port, "/api/v1/emails/batch", headers, body)


async def _send_plainly(port: int, count: int) -> int:
    """The same messages over as many connections as the worker keeps; the epoch ns of the start."""
    numbers = iter(range(count))
    began = epoch_nanoseconds()
    connections = EmailSettings().connections
    async with asyncio.TaskGroup() as group:
        for _ in range(connections):
            group.create_task(_send_next(port, numbers))
    return began


async def _send_next(port: int, numbers: Iterator[int]) -> None:
    async with aiosmtplib.SMTP(hostname=HOST, port=port) as smtp:
        for number in numbers:
            to, subject, text = _fields(number)
            message = EmailMessage()
            message["From"] = _SENDER
            message["To"] = to
            message["Subject"] = subject
            message["Date"] = formatdate()
            message["Message-ID"] = make_msgid(domain="email-sender.example")
            message.set_content(text)
            await smtp.send_message(message)


def _clear(sink: Path) -> None:
    for folder in sink.glob("??"):
        shutil.rmtree(folder)


def _seconds_to_last(directory: Path, began: int, count: int) -> float:
    """From ``began`` to the arrival of the last of ``count`` different messages.

    Raises:
        BenchmarkError: They did not all arrive, or one arrived twice.
    """
    arrivals: list[tuple[str, int]] = []

    def complete() -> bool:
        arrivals[:] = [
            (found[1], int(found[2]))
            for path in directory.glob("??/*.eml")
            if (found := _SINK_FILE.fullmatch(path.name))
        ]
        return len(arrivals) >= count

    wait_until(complete, f"the arrival of {count} messages", _ARRIVAL_SECONDS)
    if len({digest for digest, _ in arrivals}) != count or len(arrivals) != count:
        raise BenchmarkError("a message arrived twice")
    return (max(at for _, at in arrivals) - began) / 1e9


def _settled(api_port: int) -> bool:
    counts = _UNFINISHED.findall(httpx.get(f"http://{HOST}:{api_port}/metrics").text)
    return len(counts) == 2 and not any(float(count) for count in counts)
