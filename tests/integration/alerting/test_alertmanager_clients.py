"""A real Prometheus sends us its alerts, and a real amtool asks for them and silences them."""

import json
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.prometheus import PrometheusServer, needs_amtool, needs_prometheus
from tests.support.serving import serving

RULES = Path(__file__).parents[3] / "deploy" / "prometheus" / "email-sender.rules.yml"
DOWN = "EmailSenderProcessDown"


@dataclass(frozen=True)
class Place:
    """Where the API is, and a tenant's key to it."""

    url: str
    key: str

    @property
    def http(self) -> httpx.Client:
        return httpx.Client(base_url=self.url, headers={"Authorization": f"Bearer {self.key}"})

    def alerts(self) -> list[Any]:
        """As the console shows them."""
        with self.http as http:
            found: list[Any] = http.get("/api/v1/alerts").raise_for_status().json()["items"]
        return found

    def silences(self) -> list[Any]:
        """As the console shows them."""
        with self.http as http:
            found: list[Any] = http.get("/api/v1/silences").raise_for_status().json()["items"]
        return found


@pytest.fixture
def place(tmp_path: Path, database_url: str) -> Iterator[Place]:
    with serving(tmp_path / "data", database_url) as served:
        made = httpx.post(
            f"{served.base_url}/api/v1/api-keys",
            json={"name": "Prometheus", "role": "workflow"},
            headers={"Authorization": f"Bearer {served.token()}"},
        )
        yield Place(served.base_url, made.raise_for_status().json()["key"])


def until(found: Callable[[], bool], seconds: float = 60.0) -> None:
    """Wait for something, which has to come."""
    end = time.monotonic() + seconds
    while not found():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.2)


@pytest.mark.timeout(180)
def test_prometheus_sends_what_our_rules_find(tmp_path: Path, place: Place) -> None:
    needs_prometheus()
    # As they ship, but for how long somebody waits.
    hasty = re.sub(r"\b(for|interval): \w+", r"\1: 1s", RULES.read_text())
    exposed: dict[str, Any] = {
        "email-sender": ({"tenant": "ours"}, "no { exposition"),
        "another": ({}, "orders_total 1\n"),
    }
    sends_to = {
        "path_prefix": "/alertmanager",
        "authorization": {"credentials": place.key},
        "static_configs": [{"targets": [place.url.removeprefix("http://")]}],
    }
    with PrometheusServer(tmp_path / "prometheus", exposed, hasty, [sends_to]):
        until(lambda: any(one["name"] == DOWN for one in place.alerts()))
        (down,) = [one for one in place.alerts() if one["name"] == DOWN]
        assert down["source"] == "prometheus"
        assert (down["state"], down["severity"]) == ("firing", "critical")
        assert down["labels"]["tenant"] == "ours"
        assert down["summary"].startswith(f"{down['labels']['instance']} does not answer")
        assert down["expires_at"] is not None
        exposed["email-sender"] = ({}, "orders_total 1\n")
        until(lambda: not [one for one in place.alerts() if one["name"] == DOWN and firing(one)])
    (same,) = [one for one in place.alerts() if one["name"] == DOWN]
    assert same["id"] == down["id"]


def firing(alert: Any) -> bool:
    return bool(alert["state"] == "firing")


class Amtool:
    """Alertmanager's own command, told where we are and who asks."""

    def __init__(self, folder: Path, place: Place) -> None:
        self._program = needs_amtool()
        self._config = folder / "http.yml"
        # JSON is YAML.
        self._config.write_text(json.dumps({"authorization": {"credentials": place.key}}))
        self._url = f"{place.url}/alertmanager"

    def __call__(self, *arguments: str, fails: bool = False) -> str:
        done = subprocess.run(
            [
                self._program,
                f"--alertmanager.url={self._url}",
                f"--http.config.file={self._config}",
                *arguments,
            ],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert (done.returncode != 0) is fails, done.stdout + done.stderr
        return done.stderr if fails else done.stdout

    def json(self, *arguments: str) -> Any:
        """What it says for programs."""
        return json.loads(self(*arguments, "--output=json"))


def test_amtool_finds_its_way(tmp_path: Path, place: Place) -> None:
    amtool = Amtool(tmp_path, place)
    assert amtool.json("alert", "query") == []
    amtool("alert", "add", "DiskFull", "severity=page", "instance=db1", "--annotation=summary=Full")
    amtool("alert", "add", "DiskFull", "severity=page", "instance=web1")
    assert len(place.alerts()) == 2
    (one,) = amtool.json("alert", "query", "instance=db1")
    assert one["labels"] == {"alertname": "DiskFull", "severity": "page", "instance": "db1"}
    assert one["annotations"] == {"summary": "Full"}
    assert "DiskFull" in amtool("alert", "query", "instance=~db.*")

    made = amtool(
        *("silence", "add", "instance=~db.*", "alertname=DiskFull"),
        *("--author=ada", "--comment=It moves", "--duration=2h"),
    ).strip()
    (kept,) = place.silences()
    assert kept["id"] == made
    assert kept["matchers"] == 'instance=~"db.*", alertname="DiskFull"'
    assert (kept["reason"], kept["state"]) == ("It moves (ada)", "active")
    (told,) = amtool.json("silence", "query", "alertname=DiskFull")
    assert told["id"] == made
    assert amtool.json("silence", "query", "alertname=Another") == []
    left = amtool.json("alert", "query")
    assert [one["labels"]["instance"] for one in left] == ["web1"]
    (quiet,) = amtool.json("alert", "query", "--silenced")
    assert quiet["status"]["silencedBy"] == [made]

    amtool("silence", "update", "--comment=It moves still", made)
    (kept,) = place.silences()
    assert (kept["id"], kept["reason"]) == (made, "It moves still")
    amtool("silence", "expire", made)
    (kept,) = place.silences()
    assert kept["state"] == "expired"
    assert amtool.json("silence", "query") == []
    assert len(amtool.json("silence", "query", "--expired")) == 1
    assert len(amtool.json("alert", "query")) == 2

    refused = amtool("silence", "add", "team!=db", "--comment=all", fails=True)
    assert "At least one matcher has to ask for a label that is there" in refused
    refused = amtool("alert", "add", "Late", "--start=2026-01-02T00:00:00Z",
                     "--end=2026-01-01T00:00:00Z", fails=True)  # fmt: skip
    assert "start time must be before end time" in refused
    assert "disabled" in amtool("cluster", "show")
