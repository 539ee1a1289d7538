"""The API keeps to its OpenAPI document, whatever is sent to it.

Schemathesis sends every operation of both planes valid, invalid and connected requests through a
real socket, and applies all its checks to each answer. ``EMAIL_SENDER_SCHEMATHESIS_EXAMPLES`` says
how many requests it draws for each operation in each phase, on top of the systematic ones.
"""

import base64
import os
from collections import defaultdict
from pathlib import Path

import pytest
import schemathesis
from schemathesis.config import SchemathesisConfig
from schemathesis.core.result import Ok
from schemathesis.engine import Status, events, from_schema

from tests.support.serving import serving

EXAMPLES = int(os.environ.get("EMAIL_SENDER_SCHEMATHESIS_EXAMPLES", "5"))
CONFIG = Path(__file__).with_name("schemathesis.toml")
# What takes an authenticator's code of this half minute, or a browser between two of its pages:
# test_second_factor and test_external_log_ins do these.
TAKES_A_PERSON = {
    "POST /api/v1/me/totp/confirm",
    "POST /api/v1/me/totp/recovery-codes",
    "POST /oauth/second-factor",
    "POST /oauth/external",
    "GET /oauth/external/{provider_id}/callback",
}
# What only the systematic requests put together as it has to be; asked on SQLite.
SYSTEMATIC = {
    "GET /api/v1/secrets/by-path/value",
    "POST /api/v1/secrets/tokens",
    "POST /api/v1/secrets/tokens/redeem",
    "POST /oauth/token",
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


class TestEveryOperation:
    @pytest.mark.slow
    @pytest.mark.no_cover
    @pytest.mark.timeout(300 + 180 * EXAMPLES)
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
            monkeypatch.setattr("tests.support.schemathesis_hooks.keep_spans", served.keep_spans)
            config = SchemathesisConfig.from_path(CONFIG)
            config.projects.override.generation.update(max_examples=EXAMPLES)
            quick = database_url.startswith("postgresql")
            if quick:
                # Without the thousands of systematic ones that come to no database. A few succeed
                # among those alone.
                config.projects.override.phases.update(phases=["examples", "fuzzing", "stateful"])
            schema = schemathesis.openapi.from_url(
                f"{served.base_url}/openapi.json", config=config, timeout=120
            )
            for event in from_schema(schema).execute():
                report.take(event)
        assert not report.errors
        found = "\n\n".join(f"{what}\n{how}" for what, how in report.failures.items())
        assert not found, found
        labels = {
            found.ok().label for found in schema.get_all_operations() if isinstance(found, Ok)
        }
        missed = {
            label: sorted(report.statuses[label])
            for label in labels
            if not any(200 <= status < 400 for status in report.statuses[label])
            and label not in TAKES_A_PERSON
            and not (quick and label in SYSTEMATIC)
        }
        assert not missed, f"no success among the answers: {missed}"
