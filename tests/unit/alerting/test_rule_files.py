"""Rule files of Prometheus are read whole: each rule is one of ours, or says why it is none."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from backend.managers.alerting._rule_files import (
    MAX_BYTES,
    MAX_RULES,
    ReadRule,
    _seconds,
    read_rule_file,
)
from backend.managers.alerting.errors import RuleFileInvalidError

SHIPPED = Path(__file__).parents[3] / "deploy" / "prometheus" / "email-sender.rules.yml"


def read(rule: dict[str, Any], **group: Any) -> ReadRule:
    body = {
        "groups": [{"name": "g", **group, "rules": [{"alert": "A", "expr": "up == 0", **rule}]}]
    }
    (found,) = read_rule_file(json.dumps(body).encode())
    return found


def drafted(rule: dict[str, Any], **group: Any) -> Any:
    found = read(rule, **group)
    assert found.draft is not None, found.refused
    return found.draft


class TestReadRuleFile:
    def test_a_rule_is_one_of_ours(self) -> None:
        found = read_rule_file(b"""
groups:
  - name: orders
    interval: 30s
    rules:
      - alert: OrdersStopped
        expr: |
          sum by (shop) (rate(orders_total[5m])) == 0
        for: 1h30m
        keep_firing_for: 5m
        labels:
          severity: critical
          team: shop
        annotations:
          summary: "No orders in {{ $labels.shop }} ({{$value}} a second)"
          description: "It was {{ .Labels.shop }} before: {{- .Value -}}."
          runbook_url: https://wiki.example.test/orders
""")
        (one,) = found
        assert (one.group, one.name, one.refused, list(one.notes)) == (
            "orders",
            "OrdersStopped",
            "",
            [],
        )
        draft = one.draft
        assert draft is not None
        assert draft.condition.query == "sum by (shop) (rate(orders_total[5m])) == 0"  # type: ignore[union-attr]
        assert (draft.severity, draft.hold_seconds, draft.clear_seconds) == ("critical", 5400, 300)
        assert (draft.every_seconds, draft.labels) == (30, {"team": "shop"})
        assert (
            draft.summary
            == "No orders in {shop} ({value} a second)\nIt was {shop} before: {value}."
        )
        assert draft.runbook_url == "https://wiki.example.test/orders"

    def test_what_is_not_said_is_as_for_prometheus(self) -> None:
        draft = drafted({"labels": {"severity": "info"}})
        assert (draft.hold_seconds, draft.clear_seconds, draft.every_seconds) == (0, 0, 60)
        assert draft.summary == "{text}"

    def test_ours_that_ship_are_all_understood(self) -> None:
        content = SHIPPED.read_bytes()
        told = [one for group in yaml.safe_load(content)["groups"] for one in group["rules"]]
        found = read_rule_file(content)
        assert [one.name for one in found] == [one.get("alert") or one["record"] for one in told]
        refused = [one for one in found if one.draft is None]
        assert [one.name for one in refused] == [one["record"] for one in told if "record" in one]
        assert all(one.refused.startswith("A recording rule") for one in refused)

    @pytest.mark.parametrize(
        ("rule", "why"),
        [
            ({"expr": "up =="}, "expr: "),
            ({"expr": ["up"]}, "expr is no text"),
            ({"for": "soon"}, "for is no duration such as 5m"),
            ({"for": "8d"}, "for is at most 7 days"),
            ({"alert": ""}, "Its name is a line of at most 100 characters"),
            ({"alert": "x" * 101}, "Its name is a line of at most 100 characters"),
            ({"labels": ["a"]}, "labels are none"),
            ({"labels": {"a": ["b"]}}, "a is no text"),
            ({"labels": {"a-b": "c"}}, "The label a-b is none, or too long"),
            ({"labels": {"team": "{{ $labels.team }}"}}, "The label team is a template"),
            ({"labels": {f"l{n}": "v" for n in range(21)}}, "It has at most 20 labels"),
        ],
    )
    def test_one_that_cannot_be_is_refused(self, rule: dict[str, Any], why: str) -> None:
        found = read(rule)
        assert found.draft is None
        assert found.refused.startswith(why)

    def test_notes_say_what_is_not_kept(self) -> None:
        found = read(
            {
                "labels": {"severity": "page"},
                "annotations": {
                    "summary": "{{ $value | humanizePercentage }} of {{ query `x` | first }}",
                    "dashboard": "https://grafana.example.test",
                    "runbook_url": "https://wiki.example.test/{{ $labels.x }}",
                },
                "for": "1500ms",
                "newer": "field",
            },
            interval="5s",
            limit=3,
        )
        assert found.draft is not None
        assert found.draft.severity == "critical"
        assert found.draft.summary == "{value} of {{ query `x` | first }}"
        assert found.draft.hold_seconds == 2
        assert found.draft.every_seconds == 10
        assert list(found.notes) == [
            "Told as a plain number: $value | humanizePercentage",
            "Not filled in: {{ query `x` | first }}",
            "Severity page is critical",
            "for is 2 s, for 1500ms",
            "Looked at each 10 s, where its group says 5",
            "Not kept: runbook_url, which is a template or no address",
            "Not kept: dashboard, limit, newer",
        ]

    def test_two_of_one_name_have_two(self) -> None:
        rules = [{"alert": "A", "expr": f"up == {n}"} for n in range(3)]
        body = {"groups": [{"name": "g", "rules": rules}]}
        found = read_rule_file(json.dumps(body).encode())
        names = [one.draft.name for one in found if one.draft is not None]
        assert names == ["A", "A (2)", "A (3)"]
        assert found[1].notes[-1].startswith("It is called A (2)")

    @pytest.mark.parametrize(
        ("content", "why"),
        [
            (b"", "It has no list of groups"),
            (b"groups: 5", "It has no list of groups"),
            (b"groups: [5]", "Group 1 has no list of rules"),
            (b"groups: [{rules: [5]}]", "A rule of group 1 is none"),
            (b"groups: [", "It is no YAML"),
            (b"\xff", "It is not UTF-8"),
            (b"a: &a [x]\ngroups: [*a, *a]", "It refers to parts of itself"),
            (b"[" * 50_000, "It is nested too deep"),
            (b"a: " + b"x" * MAX_BYTES, "It has at most 512 KiB"),
            (b"groups: [{rules: [" + b"{}," * (MAX_RULES + 1) + b"]}]", "It has at most 500 rules"),
            (b"groups: []\n---\ngroups: []", "It is no YAML"),
            (b'groups: !!python/object/apply:os.system ["true"]', "Group 1 has no list of rules"),
        ],
    )
    def test_what_is_no_rule_file_is_refused(self, content: bytes, why: str) -> None:
        with pytest.raises(RuleFileInvalidError) as caught:
            read_rule_file(content)
        assert str(caught.value.detail).startswith(why)

    @given(st.recursive(st.text(max_size=20), lambda one: st.lists(one, max_size=3)
           | st.dictionaries(st.sampled_from(["groups", "rules", "alert", "expr", "labels", "for"]),
                             one, max_size=4), max_leaves=30))  # fmt: skip
    def test_whatever_is_read_is_read_or_refused(self, said: Any) -> None:
        body = {"groups": [{"name": "g", "rules": [said]}]}
        try:
            found = read_rule_file(json.dumps(body).encode())
        except RuleFileInvalidError:
            return
        assert all((one.draft is None) is bool(one.refused) for one in found)


@given(
    parts=st.tuples(*(st.integers(0, most) for most in (3, 23, 59, 59))).filter(any),
    terse=st.booleans(),
)
def test_durations_are_added_up(parts: tuple[int, ...], terse: bool) -> None:
    of_units = list(zip(parts, ("d", "h", "m", "s"), (86_400, 3600, 60, 1), strict=True))
    said = "".join(f"{number}{unit}" for number, unit, _ in of_units if number or not terse)
    expected = sum(number * seconds for number, _, seconds in of_units)
    assert _seconds({"for": said}, "for", 0, []) == expected
