"""Commands that speak to an API over the wire, as whoever logged in."""

import asyncio
import io
import json
import socket
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import httpx
import pytest

from backend import cli
from backend.core.context import Scope
from backend.core.database import Database, make_engine
from backend.core.events import event_maker
from backend.managers.orchestrator import Claim, JobKind, OrchestratorManager, Worker
from backend.rooms import HOUSE
from tests.support.bridge import Loop
from tests.support.prometheus import nothing
from tests.support.serving import Served, serving
from tests.support.trail import audit_row

pytestmark = pytest.mark.command


def orders(path: str, query: Mapping[str, list[str]]) -> tuple[int, Any]:
    """A Prometheus with one series, that has a value at the first two steps of any window."""
    metric = {"__name__": "orders_total", "shop": "berlin"}
    match path.removeprefix("/api/v1/"):
        case "query":
            at = float(query.get("time", ["0"])[0])  # the readiness check names none
            found: Any = {
                "resultType": "vector",
                "result": [{"metric": metric, "value": [at, "3"]}],
            }
        case "query_range":
            start, step = float(query["start"][0]), float(query["step"][0])
            values = [[start, "1"], [start + step, "NaN"]]
            found = {"resultType": "matrix", "result": [{"metric": metric, "values": values}]}
        case _:
            return nothing(path, query)
    return 200, {"status": "success", "data": found, "warnings": ["a block is missing"]}


@pytest.fixture
def served(database_url: str, tmp_path: Path) -> Iterator[Served]:
    """A platform behind a real socket."""
    data = tmp_path / "served"
    data.mkdir()
    with serving(data, database_url, prometheus=orders) as made:
        yield made


@pytest.fixture
def profiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where ``login`` keeps what it was given."""
    path = tmp_path / "home" / "profiles.json"
    monkeypatch.setenv("EMAIL_SENDER__CLI__PROFILES", str(path))
    return path


@pytest.fixture
def admin(served: Served) -> tuple[str, str]:
    """Id and secret of an API client that may do all in its tenant."""
    made = httpx.post(
        f"{served.base_url}/api/v1/clients",
        json={"name": "shell", "role": "admin"},
        headers={"Authorization": f"Bearer {served.token()}"},
    ).raise_for_status()
    return made.json()["client_id"], made.json()["client_secret"]


@pytest.fixture
def logged_in(shell, served, admin, profiles, monkeypatch):
    """A shell that acts as that client."""
    client_id, secret = admin
    monkeypatch.setenv("EMAIL_SENDER__CLI__SECRET", secret)
    shell.run("login", "--url", served.base_url, "--client-id", client_id)
    monkeypatch.delenv("EMAIL_SENDER__CLI__SECRET")
    return shell


def rows(out: str) -> list[list[str]]:
    return [line.split("\t") for line in out.splitlines()]


class TestLogin:
    def test_keeps_the_secret_for_its_owner_alone(self, logged_in, profiles, admin):
        assert stat.S_IMODE(profiles.stat().st_mode) == 0o600
        assert stat.S_IMODE(profiles.parent.stat().st_mode) == 0o700
        kept = json.loads(profiles.read_text())["default"]
        assert (kept["client_id"], kept["secret"]) == admin
        said = logged_in.run("whoami")
        assert said.splitlines()[0].endswith("admin in demo")
        assert "  email_settings:write" in said.splitlines()

    def test_takes_the_secret_from_a_file_or_standard_input(
        self, shell, served, admin, profiles, tmp_path, monkeypatch
    ):
        client_id, secret = admin
        file = tmp_path / "secret"
        file.write_text(f"{secret}\n")
        at = ("--url", served.base_url, "--client-id", client_id)
        assert "shell" in shell.run("login", *at, "--secret-file", str(file))
        monkeypatch.setattr("sys.stdin", io.StringIO(f"{secret}\n"))
        assert "shell" in shell.run("login", *at, "--secret-file", "-", "--profile", "piped")
        assert json.loads(profiles.read_text()).keys() == {"default", "piped"}

    def test_takes_an_api_key(self, logged_in, served, profiles, monkeypatch):
        made = dict(rows(logged_in.run("key-create", "report", "--role", "viewer")))
        monkeypatch.setenv("EMAIL_SENDER__CLI__SECRET", made["key"])
        said = logged_in.run("login", "--url", served.base_url, "--profile", "report")
        assert said == f"report (api_key:{made['id']}), viewer in demo\n"
        assert logged_in.run("whoami", "--profile", "report").splitlines()[0] == said.strip()

    def test_keeps_nothing_that_is_refused(self, shell, served, profiles, monkeypatch):
        monkeypatch.setenv("EMAIL_SENDER__CLI__SECRET", "wrong")
        said = shell.fail("login", "--url", served.base_url, "--client-id", "es_nobody")
        assert said.startswith("the log-in is refused: ")
        assert not profiles.exists()

    def test_sends_no_secret_in_plain_text(self, shell, profiles, monkeypatch):
        monkeypatch.setenv("EMAIL_SENDER__CLI__SECRET", "secret")
        said = shell.fail("login", "--url", "http://mail.example.org")
        assert said == "the secret would travel in plain text: the URL must be https://"

    def test_without_a_secret_says_where_one_may_be(self, shell, profiles):
        assert "EMAIL_SENDER__CLI__SECRET" in shell.fail("login", "--url", "https://example.org")

    def test_refuses_a_file_that_others_may_read(self, logged_in, profiles):
        profiles.chmod(0o640)
        assert "may be read by others: chmod 600 it" in logged_in.fail("whoami")

    def test_is_forgotten(self, logged_in, profiles):
        logged_in.run("logout")
        assert json.loads(profiles.read_text()) == {}
        said = logged_in.fail("whoami")
        assert said == "there is no profile 'default': log in with `email-sender login`"


class TestWithoutAnInstallation:
    def test_they_ask_from_anywhere(self, logged_in, tmp_path, monkeypatch):
        """No data folder, no database, no root key."""
        monkeypatch.setenv("EMAIL_SENDER__DATA_DIR", str(tmp_path / "nowhere"))
        monkeypatch.delenv("EMAIL_SENDER__DATABASE__URL")
        assert logged_in.run("whoami").splitlines()[0].endswith("admin in demo")
        assert not (tmp_path / "nowhere").exists()

    def test_an_api_that_is_not_there_is_one_line(self, logged_in, profiles, unused_tcp_port):
        kept = json.loads(profiles.read_text())
        kept["default"]["url"] = f"http://127.0.0.1:{unused_tcp_port}"
        profiles.write_text(json.dumps(kept))
        assert logged_in.fail("whoami").startswith("The destination cannot be reached: ")


class TestClients:
    def test_are_made_listed_rotated_and_deleted(self, logged_in, served, profiles):
        made = dict(rows(logged_in.run("client-create", "invoices", "--role", "workflow")))
        listed = {row[0]: row for row in rows(logged_in.run("client-list"))}
        assert listed[made["id"]][1:] == [made["client_id"], "workflow", "False", "invoices"]
        again = dict(rows(logged_in.run("client-rotate", made["id"])))
        assert again["client_id"] == made["client_id"]
        assert again["client_secret"] != made["client_secret"]
        assert token_status(served, made) == 401
        assert token_status(served, again) == 200
        assert logged_in.run("client-delete", made["id"]) == ""
        assert made["id"] not in logged_in.run("client-list")

    def test_of_a_role_that_is_none_are_refused_in_one_line(self, logged_in):
        said = logged_in.fail("client-create", "invoices", "--role", "king")
        assert said.startswith("There is no such role")
        assert "/body/role" in said

    def test_an_id_cannot_lead_elsewhere(self, logged_in):
        for name in ("..", "../api-keys/x", "x?y"):
            assert logged_in.fail("client-delete", name)
        assert "shell" in logged_in.run("client-list")


class TestKeys:
    def test_are_made_listed_and_revoked(self, logged_in, served):
        made = dict(
            rows(
                logged_in.run(
                    *("key-create", "report", "--role", "viewer"),
                    *("--expires", "2999-01-31T12:00:00Z"),
                )
            )
        )
        assert key_status(served, made["key"]) == 200
        (row,) = rows(logged_in.run("key-list"))
        assert (row[0], row[2], row[5]) == (made["id"], "viewer", "report")
        assert made["key"].startswith(row[1])
        assert row[3].startswith("2999-01-31T12:00:00")
        logged_in.run("key-revoke", made["id"])
        assert key_status(served, made["key"]) == 401


class TestSecrets:
    def test_are_set_from_a_file_and_read(self, logged_in, tmp_path, monkeypatch):
        file = tmp_path / "smtp.json"
        file.write_text('{"user": "mailer", "password": "p"}')
        where = ("billing/smtp", "--environment", "production")
        assert logged_in.run("secret-set", *where, "--file", str(file)) == "version\t1\n"
        assert json.loads(logged_in.run("secret-get", *where)) == json.loads(file.read_text())
        assert logged_in.run("secret-get", *where, "--key", "password") == "p\n"
        assert "has no key 'other'" in logged_in.fail("secret-get", *where, "--key", "other")
        monkeypatch.setattr("sys.stdin", io.StringIO("one text\n"))
        assert logged_in.run("secret-set", *where, "--text", "--cas", "1") == "version\t2\n"
        assert logged_in.run("secret-get", *where) == "one text\n"
        assert json.loads(logged_in.run("secret-get", *where, "--version", "1"))["user"] == "mailer"
        (row,) = rows(logged_in.run("secret-list", "--environment", "production"))
        assert row[:3] == ["billing/smtp", "2", "live"]
        assert logged_in.run("secret-list", "--folder", "billing") == ""

    def test_that_are_none_are_refused_and_not_repeated(self, logged_in, tmp_path):
        file = tmp_path / "value"
        for content in (b"hunter2", b'{"password": "hunter2"', b'["hunter2"]', b"hunter2\xff"):
            file.write_bytes(content)
            said = logged_in.fail("secret-set", "a", "--file", str(file))
            assert "hunter2" not in said
        assert "cannot be read" in logged_in.fail("secret-set", "a", "--file", str(tmp_path / "no"))
        assert logged_in.run("secret-list") == ""

    def test_are_deleted_by_version_and_whole(self, logged_in, tmp_path):
        file = tmp_path / "value"
        file.write_text("x")
        for _ in range(2):
            logged_in.run("secret-set", "a/b", "--file", str(file), "--text")
        logged_in.run("secret-delete", "a/b", "--version", "2")
        assert "cannot be read any more" in logged_in.fail("secret-get", "a/b")
        logged_in.run("secret-undelete", "a/b", "--version", "2")
        assert logged_in.run("secret-get", "a/b") == "x\n"
        logged_in.run("secret-delete", "a/b", "--version", "1", "--destroy")
        assert "cannot be read" in logged_in.fail("secret-get", "a/b", "--version", "1")
        logged_in.run("secret-delete", "a/b")
        assert logged_in.run("secret-list") == ""
        assert "there is no secret a/b" in logged_in.fail("secret-delete", "a/b")

    def test_are_never_found_by_a_beginning(self, logged_in, tmp_path):
        """The list would take it for one, and another secret would be destroyed."""
        file = tmp_path / "value"
        file.write_text("x")
        logged_in.run("secret-set", "a/b", "--file", str(file), "--text")
        for pattern in ("a/*", "*", "a/b*"):
            assert "there is no secret" in logged_in.fail("secret-delete", pattern)
            undelete = ("secret-undelete", pattern, "--version", "1")
            assert "there is no secret" in logged_in.fail(*undelete)
        assert "of one --version" in logged_in.fail("secret-delete", "a/b", "--destroy")
        assert logged_in.run("secret-get", "a/b") == "x\n"

    def test_are_changed_by_key(self, logged_in, tmp_path):
        file = tmp_path / "value.json"
        file.write_text('{"user": "u", "password": "p"}')
        logged_in.run("secret-set", "a", "--file", str(file))
        file.write_text('{"password": "q"}')
        assert logged_in.run("secret-patch", "a", "--file", str(file), "--cas", "1") == (
            "version\t2\n"
        )
        assert json.loads(logged_in.run("secret-get", "a")) == {"user": "u", "password": "q"}
        assert logged_in.run("secret-patch", "a", "--remove", "user") == "version\t3\n"
        assert json.loads(logged_in.run("secret-get", "a")) == {"password": "q"}
        assert "changed meanwhile" in logged_in.fail(
            "secret-patch", "a", "--remove", "password", "--cas", "1"
        )
        assert "say what to change" in logged_in.fail("secret-patch", "a")
        listed = rows(logged_in.run("secret-versions", "a"))
        assert [one[:2] for one in listed] == [["3", "live"], ["2", "live"], ["1", "live"]]

    def test_are_given_to_an_execution_by_a_token(self, logged_in, tmp_path, monkeypatch):
        file = tmp_path / "value"
        file.write_text("x")
        logged_in.run("secret-set", "a", "--file", str(file), "--text")
        made = dict(rows(logged_in.run("secret-token", "a", "--workflow", "w1")))
        assert made["token"].startswith("es_once_")
        for said in ("x\n", None):
            monkeypatch.setattr("sys.stdin", io.StringIO(f"{made['token']}\n"))
            redeem = ("secret-redeem", "--workflow", "w1", "--execution", "1")
            if said is not None:
                assert logged_in.run(*redeem) == said
            else:
                assert "cannot be used any more" in logged_in.fail(*redeem)


class TestCrypto:
    def test_encrypts_opens_and_signs_files(self, logged_in, served, tmp_path):
        token = {"Authorization": f"Bearer {served.token()}"}
        for name, kind in (("orders", "aes256-gcm"), ("hooks", "ed25519")):
            httpx.post(
                f"{served.base_url}/api/v1/keys", json={"name": name, "type": kind}, headers=token
            ).raise_for_status()
        said = "\x00 \u00ff attack\n"
        plain, sealed = tmp_path / "plain", tmp_path / "sealed"
        plain.write_text(said)
        where = ("--file", str(sealed), "--context", "a/1")
        made = logged_in.run("crypto-encrypt", "orders", "--file", str(plain), *where[2:])
        assert made.startswith("es1:")
        sealed.write_text(made)
        assert logged_in.run("crypto-decrypt", "orders", *where) == said
        sealed.write_text(logged_in.run("crypto-rewrap", "orders", *where))
        assert logged_in.run("crypto-decrypt", "orders", *where) == said
        signature = logged_in.run("crypto-sign", "hooks", "--file", str(plain)).strip()
        of_it = ("crypto-verify", "hooks", "--signature", signature, "--file")
        assert logged_in.run(*of_it, str(plain)) == "valid\n"
        for arguments, told in (
            (("crypto-decrypt", "orders", *where[:2]), "does not open"),
            ((*of_it, str(sealed)), "is not of this message"),
            (("crypto-sign", "../keys", "--file", str(plain)), "Not found"),
            (("crypto-sign", "hooks", "--file", str(tmp_path / "no")), "cannot be read"),
        ):
            assert told in logged_in.fail(*arguments)


class TestEmailSettings:
    def test_are_tested_and_every_step_is_told(self, logged_in, tmp_path, capsys):
        settings = {"from_address": "billing@acme.example", "smtp": {"host": "nobody.invalid"}}
        file = tmp_path / "settings.json"
        file.write_text(json.dumps(settings))
        with pytest.raises(SystemExit) as ended:
            cli.main(["email-settings-test", "ada@example.test", "--settings", str(file)])
        assert ended.value.code == 2
        told = capsys.readouterr()
        assert [line.split()[0] for line in told.out.splitlines()[1:]] == [">", "<"]
        assert told.out.splitlines()[0].endswith("look_up")
        assert told.out.splitlines()[1].endswith("> nobody.invalid")
        assert told.err.startswith("email-sender: There is no address for nobody.invalid.")

    def test_that_are_no_json_are_not_sent(self, logged_in, tmp_path):
        file = tmp_path / "settings.json"
        file.write_text("{")
        said = logged_in.fail("email-settings-test", "a@example.test", "--settings", str(file))
        assert said == f"{file} is no JSON"


def token_status(served: Served, credentials: dict[str, str]) -> int:
    auth = (credentials["client_id"], credentials["client_secret"])
    form = {"grant_type": "client_credentials"}
    return httpx.post(f"{served.base_url}/oauth/token", data=form, auth=auth).status_code


def key_status(served: Served, key: str) -> int:
    return httpx.get(f"{served.base_url}/api/v1/me", headers={"X-API-Key": key}).status_code


class TestLogs:
    def test_are_searched_and_followed(self, logged_in, served):
        bearer = {"Authorization": f"Bearer {served.token()}"}
        lines = [
            {"@timestamp": f"2026-01-31T08:0{n}:00Z", "message": f"payment {n}\tfailed",
             "level": level, "source": "shop"}
            for n, level in enumerate(("info", "error", "warn"))
        ]  # fmt: skip
        body = b"\n".join(json.dumps(one).encode() for one in lines)
        logs = f"{served.base_url}/api/v1/logs"
        httpx.post(logs, content=body, headers=bearer).raise_for_status()
        found = rows(logged_in.run("logs-search", "failed", "--level", "warn"))
        assert [one[1:] for one in found] == [
            ["error", "shop", "payment 1 failed"],
            ["warn", "shop", "payment 2 failed"],
        ]
        at = ("--after", "2026-01-31T08:01:00Z", "--before", "2026-01-31T08:02:00Z")
        (one,) = logged_in.run("logs-search", *at, "--json").splitlines()
        assert json.loads(one)["message"] == "payment 1\tfailed"
        (last,) = rows(logged_in.run("logs-search", "--limit", "1"))
        assert last[3] == "payment 2 failed"
        assert len(rows(logged_in.run("logs-tail", "--lines", "2"))) == 2
        assert "no word to look for" in logged_in.fail("logs-search", "!?")
        (alike,) = rows(
            logged_in.run("logs-patterns", "payment", "--after", "2026-01-31T00:00:00Z")
        )
        assert alike == ["3", "-", "error", "payment <n> failed"]
        assert logged_in.run("logs-patterns", "payment", "--new") == ""

    def test_that_are_not_exported_are_told_of_and_decided_on(self, logged_in):
        facts = dict(rows(logged_in.run("logs-export")))
        assert (facts["state"], facts["dead"], facts["last_error"]) == ("off", "0", "-")
        assert rows(logged_in.run("logs-dead")) == []
        assert logged_in.run("logs-dead-retry", "--all") == "0\n"
        nobody = "01990b6e-2a4b-7c3d-8e5f-0123456789ab"
        assert logged_in.run("logs-dead-forget", "--id", nobody) == "0\n"
        assert "ids" in logged_in.fail("logs-dead-forget", "--id", "x")


class TestMetrics:
    def test_are_recorded_listed_and_asked_for(self, logged_in):
        for shop in ("berlin", "bonn"):
            logged_in.run("metric-record", "orders_total", "2", "--label", f"shop={shop}")
        logged_in.run("metric-record", "queue_depth", "7.5", "--kind", "gauge")
        found = rows(logged_in.run("metric-list"))
        assert [one[:3] for one in found] == [
            ["orders_total", "counter", "2"],
            ["queue_depth", "gauge", "1"],
        ]
        assert rows(logged_in.run("metric-list", "--prefix", "q"))[0][0] == "queue_depth"
        # Nothing folds here: the lines are there, and stand at nothing yet.
        asked = ("metric-query", "orders_total", "sum", "--by", "shop", "--week-before")
        assert sorted(rows(logged_in.run(*asked))) == [
            ["shop=berlin", "0", "0"],
            ["shop=bonn", "0", "0"],
        ]
        assert rows(logged_in.run(*asked, "--label", "shop=bonn")) == [["shop=bonn", "0", "0"]]
        assert logged_in.run("metric-query", "nothing", "sum") == ""

    def test_says_in_a_line_why_not(self, logged_in):
        assert "name=value" in logged_in.fail("metric-record", "x", "1", "--label", "shop")
        assert "what it grew by" in logged_in.fail("metric-record", "--", "x", "-1")
        logged_in.run("metric-record", "orders_total", "1")
        assert "can be asked for" in logged_in.fail("metric-query", "orders_total", "quantile")


class TestPrometheus:
    def test_is_asked_at_a_moment_and_over_a_time_range(self, logged_in):
        found = rows(logged_in.run("prometheus-query", "up", "--at", "2026-11-20T09:00:00Z"))
        series = "__name__=orders_total,shop=berlin"
        assert found == [[series, "1795165200.000", "3"]]
        window = ("--since", "2026-11-20T09:00:00Z", "--until", "2026-11-20T10:00:00Z")
        found = rows(logged_in.run("prometheus-query", "up", *window, "--step", "60"))
        assert found == [[series, "1795165200.000", "1"], [series, "1795165260.000", "NaN"]]

    def test_says_in_a_line_why_not(self, logged_in):
        said = logged_in.fail("prometheus-query", "sum(up")
        assert "1:4: ( is not closed" in said
        at = "2026-11-20T09:00:00Z"
        assert "give one" in logged_in.fail("prometheus-query", "up", "--at", at, "--since", at)
        assert logged_in.fail("prometheus-query", "up", "--platform")


class TestObjectives:
    def test_are_promised_changed_listed_and_taken_back(self, logged_in):
        logged_in.run("slo-save", "Mail is taken", "success", "0.99", "--of", "emails")
        logged_in.run("slo-save", "Fast", "latency", "0.95", "--within-ms", "100")
        fast, mail = rows(logged_in.run("slo-list"))
        assert fast == [
            "Fast", "not_measured", "-", "0.95", "-", "Nothing has been measured yet.",
        ]  # fmt: skip
        assert mail[:4] == ["Mail is taken", "not_measured", "-", "0.99"]
        logged_in.run("slo-save", "Mail is taken", "success", "0.9", "--of", "emails")
        assert [one[3] for one in rows(logged_in.run("slo-list"))] == ["0.95", "0.9"]
        logged_in.run("slo-delete", "Fast")
        assert [one[0] for one in rows(logged_in.run("slo-list"))] == ["Mail is taken"]

    def test_says_in_a_line_why_not(self, logged_in):
        assert "latency needs within_ms" in logged_in.fail("slo-save", "Fast", "latency", "0.95")
        assert "there is no objective" in logged_in.fail("slo-delete", "Fast")


class TestAlertRules:
    def test_one_of_the_catalogue_is_added(self, logged_in):
        found = {one[0]: one for one in rows(logged_in.run("alert-catalogue-list"))}
        assert found["storage"][1:3] == ["warning", "not there"]
        logged_in.run("alert-catalogue-add", "storage")
        found = {one[0]: one for one in rows(logged_in.run("alert-catalogue-list"))}
        assert found["storage"][2] == "there"
        (rule,) = rows(logged_in.run("alert-rules-list"))
        assert rule[:2] == ["Storage threshold", "warning"]
        logged_in.run("alert-catalogue-add", "storage")
        assert len(rows(logged_in.run("alert-rules-list"))) == 1

    def test_a_rule_is_tried_before_it_is_kept(self, logged_in, tmp_path):
        condition = {"kind": "log", "compare": "<", "threshold": 1}
        rule = {"name": "No line", "severity": "info", "condition": condition}
        file = tmp_path / "rule.json"
        file.write_text(json.dumps(rule))
        ((labels, _, ended, value),) = rows(logged_in.run("alert-rules-test", str(file)))
        assert (labels, ended, value) == ("-", "-", "0.0")
        assert rows(logged_in.run("alert-rules-list")) == []


class TestRuleFiles:
    FILE = """
groups:
  - name: orders
    rules:
      - record: orders:rate5m
        expr: rate(orders_total[5m])
      - {alert: OrdersStopped, expr: "orders:rate5m == 0", labels: {severity: page}}
"""

    def test_are_tried_and_then_imported(self, logged_in, tmp_path):
        file = tmp_path / "rules.yml"
        file.write_text(self.FILE)
        for more, outcome in ((("--dry-run",), "created"), ((), "created"), ((), "unchanged")):
            recorded, made = rows(logged_in.run("alert-rules-import", str(file), *more))
            assert recorded[:2] == ["refused", "orders:rate5m"]
            assert recorded[2].startswith("A recording rule")
            assert made == [outcome, "OrdersStopped", "Severity page is critical"]
        (kept,) = rows(logged_in.run("alert-rules-list"))
        assert kept[0] == "OrdersStopped"
        file.write_text("groups: 5")
        assert "It has no list of groups" in logged_in.fail("alert-rules-import", str(file))
        assert "cannot be read" in logged_in.fail("alert-rules-import", str(tmp_path / "none"))


class TestWebhooks:
    def test_one_from_its_making_to_its_end(self, logged_in):
        made = dict(
            rows(
                logged_in.run(
                    "webhooks-create", "Orders", "https://hooks.example.com/x", "alert.fired",
                    "--subject", "alert:",
                )
            )
        )  # fmt: skip
        assert made["secret"].startswith("whsec_")
        (one,) = rows(logged_in.run("webhooks-list"))
        assert one[:4] == [made["id"], "delivering", "Orders", "hooks.example.com"]
        rotated = dict(rows(logged_in.run("webhooks-rotate", made["id"])))
        assert rotated["secret"] != made["secret"]
        (told,) = rows(logged_in.run("webhooks-replay", made["id"], "--after-seq", "0"))
        assert told[:2] == [made["id"], "0"]
        logged_in.run("webhooks-replay", made["id"], "--since", "2026-01-05T09:00:00Z")
        (tried,) = rows(logged_in.run("webhooks-test", made["id"]))
        assert tried[:2] == ["refused", "-"]
        (failed,) = rows(logged_in.run("webhooks-deliveries", made["id"], "--failed"))
        assert failed[1:3] == ["refused", "-"]
        logged_in.run("webhooks-remove", made["id"])
        assert logged_in.fail("webhooks-test", made["id"]) == "There is no such webhook"


class TestGraphsAndSchedules:
    TASK: ClassVar = {"kind": "http.request", "args": {"url": "https://books.example.com/"}}
    GRAPH: ClassVar = {
        "name": "Month's end",
        "tasks": [{"name": "a", **TASK}, {"name": "b", **TASK, "depends_on": ["a"]}],
    }

    def test_a_graph_is_submitted_held_up_stopped_and_begun_again(
        self, logged_in, tmp_path, monkeypatch
    ):
        monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps(self.GRAPH)))
        (made,) = rows(logged_in.run("graphs-submit", "-"))
        assert made[1:4] == ["running", "0/2", "Month's end"]
        graph_id = made[0]
        assert rows(logged_in.run("graphs-pause", graph_id))[0][1] == "paused"
        assert rows(logged_in.run("graphs-resume", graph_id))[0][1] == "running"
        told = rows(logged_in.run("graphs-tasks", graph_id, "--state", "blocked"))
        assert [one[3:6] for one in told] == [["b", "http.request", "a"]]
        assert rows(logged_in.run("graphs-cancel", graph_id))[0][1] == "cancelled"
        assert logged_in.fail("graphs-cancel", graph_id).startswith("The graph has already ended")
        assert rows(logged_in.run("graphs-retry", graph_id))[0][1] == "running"
        assert rows(logged_in.run("graphs-list", "--state", "cancelled")) == []
        broken = tmp_path / "broken"
        broken.write_text("[")
        assert "cannot be read" in logged_in.fail("graphs-submit", str(broken))
        broken.write_text("[]")
        assert "is no graph" in logged_in.fail("graphs-submit", str(broken))

    def test_jobs_are_submitted_counted_and_cancelled(self, logged_in, tmp_path):
        file = tmp_path / "job.json"
        asked = {"kind": "http.request", "args": {"url": "https://books.example/"}}
        file.write_text(json.dumps({**asked, "delay_seconds": 600}))
        made = [rows(logged_in.run("jobs-submit", str(file)))[0] for _ in range(3)]
        assert {tuple(one[1:3]) for one in made} == {("ready", "http.request")}
        assert rows(logged_in.run("jobs-totals")) == [["http.request", "ready", "3"]]
        assert logged_in.run("jobs-totals", "--errors") == ""
        since = ("--created-after", "2099-01-01T00:00:00Z")
        assert logged_in.run("jobs-cancel", *since) == "0 cancelled, 0 asked to stop\n"
        assert (
            logged_in.run("jobs-cancel", "--subject", "email:1") == "0 cancelled, 0 asked to stop\n"
        )
        newest = [one[0] for one in reversed(made)]
        assert [one[0] for one in rows(logged_in.run("jobs-list"))] == newest
        assert len(rows(logged_in.run("jobs-list", "--state", "ready", "--limit", "2"))) == 2
        assert logged_in.run("jobs-list", "--graph", made[0][0]) == ""
        assert logged_in.run("jobs-attempts", newest[0]) == ""
        assert "Job not found" in logged_in.fail("jobs-attempts", made[0][0][:-4] + "ffff")
        done = logged_in.run("jobs-cancel", "--kind", "http.request")
        assert done == "3 cancelled, 0 asked to stop\n"
        assert rows(logged_in.run("jobs-totals")) == [["http.request", "cancelled", "3"]]
        file.write_text(json.dumps({"kind": "email.send"}))
        assert "The kind is one of email, http.request" in logged_in.fail("jobs-submit", str(file))
        file.write_text(json.dumps({"name": "x"}))
        assert "is no job: it has no kind" in logged_in.fail("jobs-submit", str(file))

    def test_a_schedule_is_kept_changed_run_paused_and_removed(self, logged_in, tmp_path):
        file = tmp_path / "nightly.json"
        timing = {"type": "cron", "expression": "30 2 * * *", "zone": "Europe/Paris"}
        body = {"name": "Nightly", "timing": timing, "graph": self.GRAPH}
        file.write_text(json.dumps(body))
        assert len(rows(logged_in.run("schedules-preview", str(file), "--count", "3"))) == 3
        (made,) = rows(logged_in.run("schedules-save", str(file)))
        assert made[1:3] == ["on", "Nightly"]
        assert made[4] == "30 2 * * * Europe/Paris"
        since = {"type": "interval", "seconds": 60, "since": "2026-01-05T09:00:00Z"}
        file.write_text(json.dumps({**body, "timing": since}))
        (changed,) = rows(logged_in.run("schedules-save", str(file)))
        assert (changed[0], changed[4]) == (made[0], "each 60 s")
        ((graph_id,),) = rows(logged_in.run("schedules-run", made[0]))
        assert graph_id in logged_in.run("graphs-list")
        logged_in.run("schedules-pause", made[0])
        assert rows(logged_in.run("schedules-list"))[0][1:4] == ["paused", "Nightly", "-"]
        logged_in.run("schedules-resume", made[0])
        assert rows(logged_in.run("schedules-list"))[0][1] == "on"
        span = ("--since", "2026-01-05T09:00:00Z", "--until", "2026-01-06T09:00:00Z")
        assert logged_in.run("schedules-firings", made[0], *span) == ""
        short = (*span[:3], "2026-01-05T09:02:00Z")
        assert rows(logged_in.run("schedules-backfill", made[0], *short)) == [["2", "0"]]
        assert rows(logged_in.run("schedules-backfill", made[0], *short)) == [["0", "2"]]
        assert "more than 100 times" in logged_in.fail("schedules-backfill", made[0], *span)
        logged_in.run("schedules-remove", made[0])
        assert logged_in.fail("schedules-run", made[0]) == "Schedule not found"


@pytest.fixture
def for_platform(shell, served, profiles, monkeypatch):
    """A shell that acts as a program of the platform."""
    made = httpx.post(
        f"{served.base_url}/api/v1/platform/clients",
        json={"name": "shell", "role": "administrator"},
        headers={"Authorization": f"Bearer {served.token()}"},
    ).raise_for_status()
    monkeypatch.setenv("EMAIL_SENDER__CLI__SECRET", made.json()["client_secret"])
    shell.run("login", "--url", served.base_url, "--client-id", made.json()["client_id"])
    return shell


@pytest.fixture
def loop() -> Iterator[Loop]:
    made = Loop()
    yield made
    made.close()


class TestWorkers:
    def test_one_is_drained_waited_for_and_resumed(
        self, for_platform, served, database_url, loop, monkeypatch
    ):
        let_go = asyncio.Event()

        async def hold(_: Claim) -> None:
            await let_go.wait()

        async def submit() -> None:
            async with database.transaction(Scope("test", served.tenant_id)) as tx:
                await manager.submit(tx, "hold", args={})

        async def make() -> tuple[Database, Worker]:
            made = Database(
                make_engine(database_url, pool_size=2),
                audit_row=audit_row,
                event_row=event_maker(HOUSE.events),
            )
            kinds = [JobKind.simple("hold", hold)]
            return made, Worker(
                made,
                manager,
                kinds,
                beat_seconds=0.1,
                poll_seconds=0.05,
                ttl_seconds=600.0,
                version="1.2.3",
            )

        manager = OrchestratorManager()
        database, worker = loop.run(make())
        working = loop.start(worker.run())
        loop.run(submit())
        while not (found := rows(for_platform.run("workers-list"))) or found[0][2] != "1/125":
            pass
        assert found[0][:4] == [worker.id, "working", "1/125", "1.2.3"]
        said = for_platform.fail("workers-drain", worker.id, "--wait", "0.6", status=1)
        assert said == f"not drained within 0.6 s: {worker.id} is draining, 1 run"
        loop.run(set_event(let_go))
        host = socket.gethostname()
        (drained,) = rows(for_platform.run("workers-drain", "--host", host, "--wait", "60"))
        assert (drained[0], drained[3]) == (worker.id, "0")
        assert rows(for_platform.run("workers-list"))[0][1:3] == ["drained", "0/125"]
        for_platform.run("workers-resume", "--host", host)
        assert rows(for_platform.run("workers-list"))[0][1] == "working"
        loop.run(end(worker, working, database))

    def test_says_which_there_is_none_of(self, for_platform, capsys):
        assert for_platform.run("workers-list") == ""
        said = for_platform.fail("workers-drain", "--host", "mail-9")
        assert said == "no worker of host 'mail-9' can be heard"
        assert for_platform.fail("workers-resume", "mail-9:1:2") == "Worker not found"
        for wrong in (
            ("--host", "a", "--wait", "-1"),
            ("--host", "a", "--wait", "nan"),
            ("a", "--host", "a"),
            (),
        ):
            assert for_platform.fail("workers-drain", *wrong)


async def set_event(event: asyncio.Event) -> None:
    event.set()


async def end(worker: Worker, working: asyncio.Task[None], database: Database) -> None:
    worker.stop()
    await working
    await database.aclose()


class TestSilencesAndOnCall:
    def test_silences_are_made_listed_and_ended(self, logged_in):
        made = logged_in.run(
            "silences-add", 'team="db"', "--reason", "it moves", "--at", "2099-01-02T00:00:00Z",
            "--for", "3d", "--announce-hours", "48",
        ).strip()  # fmt: skip
        (one,) = rows(logged_in.run("silences-list", "--state", "scheduled", "--labels", "team=db"))
        assert one[:6] == [
            made, "scheduled", "maintenance", 'team="db"', "2099-01-02T00:00:00Z",
            "2099-01-05T00:00:00Z",
        ]  # fmt: skip
        now = logged_in.run("silences-add", "team=web", "--reason", "noise").strip()
        assert [one[0] for one in rows(logged_in.run("silences-list"))] == [now, made]
        logged_in.run("silences-expire", now)
        assert rows(logged_in.run("silences-list", "--state", "expired"))[0][0] == now
        assert logged_in.fail("silences-expire", now) == "The silence is over"

    @pytest.mark.parametrize("wrong", [("--for", "soon"), ("--at", "2027-01-01")])
    def test_times_that_are_none_are_refused(self, logged_in, wrong, capsys):
        with pytest.raises(SystemExit):
            logged_in.run("silences-add", "team=db", "--reason", "x", *wrong)
        assert "is no time like" in capsys.readouterr().err

    def test_who_is_on_call_is_told(self, logged_in, served):
        layer = {
            "people": ["ada@example.test"],
            "start": "2026-01-05T09:00",
            "zone": "Europe/Paris",
        }
        httpx.post(
            f"{served.base_url}/api/v1/on-call-schedules",
            json={"name": "db", "layers": [layer]},
            headers={"Authorization": f"Bearer {served.token()}"},
        ).raise_for_status()
        assert rows(logged_in.run("oncall")) == [["db", "ada@example.test", "-", "-"]]
