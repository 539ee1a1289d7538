"""Cancelling a job whose message is on its way: what the server said is what is recorded."""

import asyncio
from typing import Any

import pytest

from backend.managers.email import EmailManager
from backend.sink import SmtpSink, read_copies
from tests.support.mailing import Mailing
from tests.support.platform import TenantClient

EMAIL = {"to": ["ada@example.test"], "subject": "Hello", "text": "There"}


class Gate:
    """Holds every message back between its last octet and the server's answer."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.received = 0
        self.opened = asyncio.Event()
        self.answer: str | None = None
        real = SmtpSink.handle_DATA

        async def gated(sink: SmtpSink, *call: Any) -> str:
            self.received += 1
            stored = await real(sink, *call)
            await self.opened.wait()
            return self.answer or stored

        monkeypatch.setattr(SmtpSink, "handle_DATA", gated)

    async def holds(self, count: int) -> None:
        async with asyncio.timeout(60):
            while self.received < count:
                await asyncio.sleep(0.01)


async def cancel(mailing: Mailing, caller: TenantClient, *job_ids: str) -> None:
    """Ask for it, and wait until the worker knows."""
    for job_id in job_ids:
        answer = await caller.http.post(f"/api/v1/jobs/{job_id}/cancel")
        assert (answer.status_code, answer.json()["state"]) == (200, "running")
    held = mailing.worker._held
    async with asyncio.timeout(60):
        while not all(one in held and one in held[one].cancelled for one in job_ids):
            await asyncio.sleep(0.01)
    await asyncio.sleep(0)  # what the worker would now stop, it has been told to


async def cancelled(mailing: Mailing, caller: TenantClient, gate: Gate) -> dict[str, str]:
    """A message whose job is cancelled while the server has it and has not answered."""
    made: dict[str, str] = (await caller.http.post("/api/v1/emails", json=EMAIL)).json()
    await gate.holds(1)
    await cancel(mailing, caller, made["job_id"])
    return made


async def ended(mailing: Mailing, caller: TenantClient, made: dict[str, str]) -> tuple[Any, Any]:
    """The job once it has ended, and its message."""
    job = await mailing.ended(caller, made["job_id"])
    return job, (await caller.http.get(f"/api/v1/emails/{made['id']}")).json()


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Gate:
    """Before the first session with the server begins."""
    return Gate(monkeypatch)


class TestCancelWhileSending:
    @pytest.mark.slow
    async def test_a_message_that_was_accepted_is_accepted(
        self, mailing: Mailing, gate: Gate
    ) -> None:
        ada = await mailing.caller()
        made = await cancelled(mailing, ada, gate)
        gate.opened.set()
        job, email = await ended(mailing, ada, made)
        assert (job["state"], email["state"]) == ("succeeded", "accepted")
        assert email["recipients"][0]["response_code"] == 250

    async def test_a_message_that_was_deferred_is_not_tried_again(
        self, mailing: Mailing, gate: Gate
    ) -> None:
        gate.answer = "451 4.3.0 Try again later"
        ada = await mailing.caller()
        made = await cancelled(mailing, ada, gate)
        gate.opened.set()
        job, email = await ended(mailing, ada, made)
        assert (job["state"], email["state"], email["attempts"]) == ("cancelled", "cancelled", 1)
        assert email["recipients"][0]["response_code"] == 451
        assert "Try again later" in email["recipients"][0]["response"]

    @pytest.mark.slow
    async def test_of_a_batch_only_what_had_not_begun_is_cancelled(
        self, mailing: Mailing, gate: Gate
    ) -> None:
        ada = await mailing.caller()
        connections = mailing.platform.of(EmailManager).settings.connections
        count = connections + 3
        answer = await ada.http.post("/api/v1/emails/batch", json={"messages": [EMAIL] * count})
        made = answer.json()["items"]
        await gate.holds(connections)
        await cancel(mailing, ada, *(one["job_id"] for one in made))
        gate.opened.set()
        jobs = [await mailing.ended(ada, one["job_id"]) for one in made]
        states: list[str] = []
        for one, job in zip(made, jobs, strict=True):
            email = (await ada.http.get(f"/api/v1/emails/{one['id']}")).json()
            copies = await asyncio.to_thread(read_copies, mailing.directory, str(one["message_id"]))
            sent = (job["state"], email["state"], len(copies))
            assert sent in {("succeeded", "accepted", 1), ("cancelled", "cancelled", 0)}
            states.append(job["state"])
        assert states.count("succeeded") == connections

    async def test_a_server_that_never_answers_is_left_and_the_doubt_recorded(
        self, mailing: Mailing, gate: Gate
    ) -> None:
        ada = await mailing.caller()
        made = await cancelled(mailing, ada, gate)
        deadline = mailing.worker._held[made["job_id"]].deadline
        assert deadline is not None
        deadline.reschedule(asyncio.get_running_loop().time())
        job, email = await ended(mailing, ada, made)
        gate.opened.set()
        assert (job["state"], email["state"]) == ("cancelled", "cancelled")
        assert "may hold the message" in job["error"]
        assert "may hold the message" in email["recipients"][0]["response"]
        assert [step["event"] for step in email["timeline"]] == [
            "queued",
            "sending",
            "deferred",
            "cancelled",
        ]
