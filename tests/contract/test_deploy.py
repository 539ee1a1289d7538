"""What containers are started with is what the programs know, and what a file names is there."""

import json
import re
import shutil
import subprocess
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from jsonschema_rs import Draft7Validator

from backend.kit.smtp import SmtpRelay
from backend.settings import Settings
from dashboard import settings as console
from tests.support.compose import (
    FILE,
    MISSING,
    SCHEMA_MISSING,
    SECRETS,
    ComposeError,
    config,
    find_program,
    find_schema,
)

ROOT: Final = Path(__file__).parents[2]
COMPOSE: Final[dict[str, Any]] = yaml.safe_load(FILE.read_text())
SERVICES: Final[dict[str, Any]] = COMPOSE["services"]
OURS: Final = sorted(name for name, one in SERVICES.items() if "build" in one)
VARIABLE: Final = re.compile(r"\$\{(\w+)(?::([-?])([^}]*))?\}")


def filled(text: str, given: dict[str, str]) -> str:
    """A value of the file as Compose hands it over."""

    def fill(found: re.Match[str]) -> str:
        name, kind, rest = found.groups()
        if name in given:
            return given[name]
        assert kind == "-", f"{name} is neither given nor has a default"
        return str(rest)

    return VARIABLE.sub(fill, text).replace("$$", "$")


def environment(name: str) -> dict[str, str]:
    given = dict.fromkeys(SECRETS, "pw")
    return {key: filled(value, given) for key, value in SERVICES[name]["environment"].items()}


class TestCompose:
    @pytest.mark.parametrize("name", [name for name in OURS if name != "console"])
    def test_settings_are_the_programs_own(
        self, name: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for key, value in environment(name).items():
            monkeypatch.setenv(key, value)
        found = Settings()
        assert found.database.url is not None
        assert "pw@postgresql/" in found.database.url.get_secret_value()
        # Every variable is read: one that no section knows is refused by it.
        read = {f"EMAIL_SENDER__{section.upper()}" for section in Settings.model_fields}
        assert {key.rpartition("__")[0] for key in environment(name)} <= read

    def test_settings_of_the_console_are_its_own(self, tmp_path: Path) -> None:
        said = environment("console")
        kept = tmp_path / "console.json"
        kept.write_text('{"client_id": "console", "client_secret": "x"}')
        name = f"{console.PREFIX}CLIENT_FILE"
        assert said[name] == "/console/console.json"
        assert f"--console-file={said[name]}" in SERVICES["bootstrap"]["command"]
        found = console.from_environment({**said, name: str(kept)})
        assert found.issuer_url == environment("api-1")["EMAIL_SENDER__IDENTITY__ISSUER"]

    def test_no_secret_has_a_default(self) -> None:
        text = FILE.read_text()
        asked = {name: kind for name, kind, _ in VARIABLE.findall(text)}
        assert {name: asked[name] for name in asked if "PASSWORD" in name} == dict.fromkeys(
            SECRETS, "?"
        )

    def test_every_process_of_ours_opens_the_same_secrets(self) -> None:
        """One root key, in one volume, and one database: what one seals another opens."""
        ours = [name for name in OURS if name not in {"console", "migrate"}]
        assert {"api-1", "api-2", "worker", "sink", "bootstrap"} == set(ours)
        for name in ours:
            assert environment(name) == environment("api-1")
            assert "data:/data" in SERVICES[name]["volumes"]

    def test_only_who_migrates_knows_the_owner_of_the_tables(self) -> None:
        knows = [name for name in SERVICES if "OWNER_PASSWORD" in json.dumps(SERVICES[name])]
        assert sorted(knows) == ["migrate", "postgresql"]

    def test_the_console_has_its_own_secret_and_no_other(self) -> None:
        assert SERVICES["console"]["volumes"] == ["console:/console:ro"]
        assert "PASSWORD" not in json.dumps(SERVICES["console"])

    def test_whose_forwarded_address_is_believed_is_the_proxys(self) -> None:
        address = SERVICES["haproxy"]["networks"]["default"]["ipv4_address"]
        trusted = environment("api-1")["EMAIL_SENDER__HTTP__TRUSTED_PROXIES"]
        assert trusted == f'["{address}"]'
        # Who asks for no address, and starts before it, is given one from elsewhere.
        (pool,) = COMPOSE["networks"]["default"]["ipam"]["config"]
        assert IPv4Address(address) in IPv4Network(pool["subnet"])
        assert IPv4Network(pool["ip_range"]).subnet_of(IPv4Network(pool["subnet"]))
        assert IPv4Address(address) not in IPv4Network(pool["ip_range"])

    @pytest.mark.parametrize("name", list(SERVICES))
    def test_nobody_gains_rights_or_takes_all_there_is(self, name: str) -> None:
        said = SERVICES[name]
        assert said["security_opt"] == ["no-new-privileges:true"]
        assert said["cap_drop"] == ["ALL"]
        assert "cap_add" not in said
        assert not said.get("privileged")
        assert said["pids_limit"] > 0
        assert re.fullmatch(r"\d+[mg]", said["mem_limit"])
        assert said["logging"]["options"].keys() == {"max-size", "max-file"}

    def test_whoever_stays_says_whether_it_is_well(self) -> None:
        stay = {name: one for name, one in SERVICES.items() if one["restart"] != "no"}
        assert set(SERVICES) - set(stay) == {"bootstrap", "migrate"}
        # The image of an API has one; a collector's has no program that could ask.
        without = {name for name, one in stay.items() if "healthcheck" not in one}
        assert without == {"api-1", "api-2", "collector"}

    def test_workflows_reach_the_proxy_and_nothing_behind_it(self) -> None:
        there = {name for name, one in SERVICES.items() if "workflows" in one.get("networks", ())}
        assert there == {"haproxy", "n8n"}
        assert SERVICES["n8n"]["networks"] == ["workflows"]

    def test_the_sink_is_spoken_to_as_it_listens(self) -> None:
        """It has no certificate, and by a name that is not loopback STARTTLS would be asked for."""
        relay = SmtpRelay.from_url(environment("worker")["EMAIL_SENDER__EMAIL__SMTP_URL"])
        assert relay.host in SERVICES
        assert relay.tls == "none"

    def test_what_is_mounted_of_the_project_is_there(self) -> None:
        mounted = [
            one.split(":")[0]
            for service in SERVICES.values()
            for one in service.get("volumes", ())
            if one.startswith("./")
        ]
        assert mounted
        # Built, as the comment beside it says.
        missing = [one for one in mounted if not (ROOT / one).exists()]
        assert set(missing) <= {"./n8n-nodes/dist"}

    def test_every_image_of_others_has_a_version(self) -> None:
        images = {name: one["image"] for name, one in SERVICES.items() if name not in OURS}
        assert [one for one in images.values() if not re.search(r":v?\d", one)] == []

    def test_whatever_listens_is_reached_from_this_machine_alone(self) -> None:
        ports = [port for one in SERVICES.values() for port in one.get("ports", ())]
        assert ports
        assert [port for port in ports if not port.startswith("127.0.0.1:")] == []


class TestComposeItself:
    """Where ``scripts/drill compose`` has built it, which breaks the file in more ways."""

    @pytest.fixture
    def program(self) -> Path:
        found = find_program()
        if found is None:
            pytest.skip(MISSING)
        return found

    def test_takes_the_file_with_every_profile(self, program: Path) -> None:
        given = dict.fromkeys(SECRETS, "secret")
        assert set(config(program, given, profiles=["*"])["services"]) == set(SERVICES)
        assert set(config(program, given)["services"]) == set(SERVICES) - {"n8n"}

    @pytest.mark.parametrize("name", SECRETS)
    def test_refuses_it_without_a_password(self, program: Path, name: str) -> None:
        with pytest.raises(ComposeError, match=f"{name}.*set it in .env"):
            config(program, {key: "secret" for key in SECRETS if key != name})


class TestSchema:
    """Of Compose files."""

    @pytest.fixture
    def schema(self) -> Draft7Validator:
        file = find_schema()
        if file is None:
            pytest.skip(SCHEMA_MISSING)
        # Draft 7, as it says itself, by an address that is not the usual one.
        return Draft7Validator(json.loads(file.read_text()))

    def test_knows_what_the_file_says(self, schema: Draft7Validator) -> None:
        assert [error.message for error in schema.iter_errors(COMPOSE)] == []

    @pytest.mark.parametrize(
        "wrong", [{"healtcheck": {}}, {"mem_limit": ["1g"]}, {"healthcheck": {"tset": ["CMD"]}}]
    )
    def test_refuses_what_it_should(self, schema: Draft7Validator, wrong: dict[str, Any]) -> None:
        worker = {**SERVICES["worker"], **wrong}
        assert not schema.is_valid({**COMPOSE, "services": {**SERVICES, "worker": worker}})


class TestProxy:
    def test_asks_every_api(self) -> None:
        said = (ROOT / "deploy/haproxy/haproxy.cfg").read_text()
        servers = re.findall(r"^\s+server (\S+) (\S+):8400$", said, re.MULTILINE)
        apis = sorted(name for name in SERVICES if name.startswith("api-"))
        assert servers == [(name, name) for name in apis]

    def test_is_configured_as_it_understands(self) -> None:
        if shutil.which("haproxy") is None:
            pytest.skip("haproxy is not installed (Debian: apt-get install haproxy)")
        command = ["haproxy", "-c", "-f", str(ROOT / "deploy/haproxy/haproxy.cfg")]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


class TestPrometheus:
    def test_scrapes_every_process(self) -> None:
        said = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text())
        (job,) = said["scrape_configs"]
        assert job["job_name"] == "email-sender"
        expected = {"api-1:8400", "api-2:8400", "worker:8405"}
        assert set(job["static_configs"][0]["targets"]) == expected
        assert {one.split(":")[0] for one in expected} <= set(SERVICES)


class TestImage:
    SAID: Final = (ROOT / "deploy/Dockerfile").read_text()

    def test_is_made_of_what_its_context_lets_in(self) -> None:
        ignored = (ROOT / ".dockerignore").read_text().splitlines()
        let_in = {line[1:] for line in ignored if line.startswith("!")}
        copied = re.findall(r"^COPY (?!--from)(.+) \S+$", self.SAID, re.MULTILINE)
        assert {name for line in copied for name in line.split()} == let_in

    def test_runs_as_nobody_in_particular(self) -> None:
        assert re.findall(r"^USER (\S+)$", self.SAID, re.MULTILINE) == ["10001:10001"]
