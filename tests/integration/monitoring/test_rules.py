"""The rules of the platform's own Prometheus, by its own tool and against what is exposed."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import promql_parser as promql
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.support.platform import App
from tests.support.prometheus import MISSING

FOLDER = Path(__file__).parents[3] / "deploy" / "prometheus"
RULES = FOLDER / "email-sender.rules.yml"
# `up` is Prometheus' own; the other is there where limits are shared by Redis.
ELSEWHERE = {"up", "email_sender_gateway_shared_limits_up"}


def promtool(*arguments: str) -> str:
    program = shutil.which("promtool")
    if program is None:
        pytest.skip(MISSING)
    done = subprocess.run(
        [program, *arguments], cwd=FOLDER, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def rules() -> list[dict[str, Any]]:
    return [rule for one in yaml.safe_load(RULES.read_text())["groups"] for rule in one["rules"]]


class TestRules:
    def test_promtool_takes_them(self) -> None:
        assert f"{len(rules())} rules found" in promtool("check", "rules", RULES.name)

    def test_they_tell_made_situations_apart(self) -> None:
        assert "SUCCESS" in promtool("test", "rules", "email-sender.rules.test.yml")

    async def test_they_read_what_is_exposed(self, app: App) -> None:
        async with app.client() as http:
            text = (await http.get("/metrics")).text
        exposed = set(ELSEWHERE)
        for family in text_string_to_metric_families(text):
            suffixes = {"counter": ["_total"], "histogram": ["_bucket", "_count", "_sum"]}
            exposed |= {family.name + one for one in suffixes.get(family.type, [""])}
        exposed |= {rule["record"] for rule in rules() if "record" in rule}
        read: set[str] = set()

        def visit(node: promql.Expr) -> None:
            if isinstance(node, promql.VectorSelector):
                read.add(str(node.name))

        for rule in rules():
            promql.walk(promql.parse(rule["expr"]), visit)
        assert len(read) > 10
        assert read <= exposed
