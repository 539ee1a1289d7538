"""The API keeps to its OpenAPI document, whatever is sent to it.

Schemathesis sends every operation of both planes valid, invalid and connected requests through a
real socket, and applies all its checks to each answer. ``EMAIL_SENDER_SCHEMATHESIS_EXAMPLES`` says
how many requests it draws for each operation in each phase, on top of the systematic ones.
"""

import asyncio
import base64
import os
from collections import defaultdict
from collections.abc import Collection
from pathlib import Path
from typing import Any
from zlib import crc32

import httpx
import pytest
import schemathesis
from schemathesis.config import SchemathesisConfig
from schemathesis.core.result import Ok
from schemathesis.engine import Status, events, from_schema

from tests.support.asking import ASK_ALL
from tests.support.operations import Operations
from tests.support.serving import Served, serving

EXAMPLES = int(os.environ.get("EMAIL_SENDER_SCHEMATHESIS_EXAMPLES", "1"))
CONFIG = Path(__file__).with_name("schemathesis.toml")
# What takes an authenticator's code of this half minute, a browser between two of its pages, or a
# worker that has told somebody where to answer: test_second_factor, test_external_log_ins and
# test_asks do these.
TAKES_A_PERSON = {
    "POST /api/v1/me/totp/confirm",
    "POST /api/v1/me/totp/recovery-codes",
    "POST /oauth/second-factor",
    "POST /oauth/external",
    "POST /job-callbacks/{token}",
    "GET /oauth/external/{provider_id}/callback",
}


class Report:
    """What a run found, and how far it came."""

    def __init__(self) -> None:
        self.failures: dict[str, str] = {}
        self.statuses: defaultdict[str, set[int]] = defaultdict(set)
        self.errors: list[str] = []

    def take(self, event: events.EngineEvent) -> None:
        if isinstance(event, events.NonFatalError):
            self.errors.append(f"{event.label}: {event.info.format()}")
        elif isinstance(event, events.FatalError):
            raise event.exception
        elif isinstance(event, events.ScenarioFinished):
            recorder = event.recorder
            for case_id, interaction in recorder.interactions.items():
                if interaction.response is not None:
                    case = recorder.cases[case_id].value
                    self.statuses[case.operation.label].add(interaction.response.status_code)
            for checks in recorder.checks.values():
                for check in checks:
                    if check.status is Status.FAILURE and check.failure_info is not None:
                        failure = check.failure_info.failure
                        self.failures[
                            f"{failure.operation}: {failure.title}\n{failure.message}"
                        ] = check.failure_info.code_sample


async def refused(served: Served, labels: Collection[str]) -> dict[str, str]:
    """Which of these do not succeed as the document's examples and links say, and what came.

    For what chance did not put together: a token of one use, a value that has to be there still.
    """
    headers = {"Authorization": f"Bearer {await asyncio.to_thread(served.token)}"}
    found = {}
    async with httpx.AsyncClient(base_url=served.base_url, headers=headers) as http:
        document = (await http.get("/openapi.json")).json()
        able = Operations(document, http, served.password, served.keep_spans, served.add_worker)
        for path, methods in document["paths"].items():
            for method, described in methods.items():
                if (label := f"{method.upper()} {path}") in labels:
                    try:
                        await able.perform(described["operationId"])
                    except (LookupError, httpx.HTTPStatusError) as error:
                        found[label] = str(error)
    return found


def read(address: str, *phases: str) -> Any:
    """The document, to be tried in these ways."""
    config = SchemathesisConfig.from_path(CONFIG)
    config.projects.override.generation.update(max_examples=EXAMPLES)
    config.projects.override.phases.update(phases=list(phases))
    return schemathesis.openapi.from_url(address, config=config, timeout=120)


def is_spared(context: Any) -> bool:
    """Whether an operation gets no systematic requests: always the same eight of nine."""
    return not ASK_ALL and crc32(context.operation.label.encode()) % 9 > 0


class TestEveryOperation:
    @pytest.mark.slow
    @pytest.mark.timeout(1500 + 180 * EXAMPLES)
    def test_answers_as_documented_and_is_reached(
        self, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        report = Report()
        with serving(tmp_path, database_url) as served:
            client_id, client_secret = served.foreign_client()
            basic = base64.b64encode(f"{client_id}:{client_secret}".encode()).decode()
            monkeypatch.setenv("EMAIL_SENDER_TOKEN", served.token())
            monkeypatch.setenv("EMAIL_SENDER_BASIC", basic)
            monkeypatch.setenv("EMAIL_SENDER_EMAIL", served.email)
            monkeypatch.setenv("EMAIL_SENDER_PASSWORD", served.password)
            hooks = "tests.support.schemathesis_hooks"
            monkeypatch.setattr(f"{hooks}.keep_spans", served.keep_spans)
            monkeypatch.setattr(f"{hooks}.add_worker", served.add_worker)
            address = f"{served.base_url}/openapi.json"
            schema = read(address, "examples", "fuzzing", "stateful")
            for event in from_schema(schema).execute():
                report.take(event)
            if not database_url.startswith("postgresql"):
                # Thousands of systematic ones, of which most come to no database.
                for event in from_schema(read(address, "coverage").exclude(is_spared)).execute():
                    report.take(event)
            labels = {
                found.ok().label for found in schema.get_all_operations() if isinstance(found, Ok)
            }
            unlucky = {
                label
                for label in labels - TAKES_A_PERSON
                if not any(200 <= status < 400 for status in report.statuses[label])
            }
            missed = asyncio.run(refused(served, unlucky))
        assert not report.errors
        found = "\n\n".join(f"{what}\n{how}" for what, how in report.failures.items())
        assert not found, found
        assert not missed, f"no success, by chance or by what the document says: {missed}"
