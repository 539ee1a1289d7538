"""An alert goes where Alertmanager's tree would send it, and nowhere while it is kept quiet."""

from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.kit.wall_clock import Stretch, WeeklyWindow
from backend.managers.alerting._matching import match_all, read_matchers
from backend.managers.alerting._routing import Inhibition, Keepers, Route, Silence, inhibitor, ways

HOUR = timedelta(hours=1)


def route(name: str, asked: str = "", *children: Route, **more) -> Route:
    return Route(id=name, matchers=read_matchers(asked), children=children, **more)


TREE = route(
    "top",
    "",
    route(
        "db",
        "team=db",
        route("night", "severity=info", policy="nobody"),
        policy="dba",
        group_by=["cluster"],
    ),
    route("copy", "severity=critical", policy="log", goes_on=True),
    route("critical", "severity=critical", policy="page", repeat_interval=HOUR),
    route("rest", "team=~.+"),
    policy="mail",
    group_by=["rule"],
)


@pytest.mark.parametrize(
    ("labels", "wanted"),
    [
        ({}, [("top", "mail")]),
        ({"team": "db"}, [("top db", "dba")]),
        ({"team": "db", "severity": "info"}, [("top db night", "nobody")]),
        # The first that takes it, though later ones would.
        ({"team": "db", "severity": "critical"}, [("top db", "dba")]),
        ({"severity": "critical"}, [("top copy", "log"), ("top critical", "page")]),
        ({"team": "web"}, [("top rest", "mail")]),
    ],
)
def test_an_alert_goes_down_the_tree(labels, wanted) -> None:
    assert [(" ".join(way.routes), way.policy) for way in ways(TREE, labels)] == wanted


def test_what_a_route_does_not_say_the_one_above_says() -> None:
    (way,) = ways(TREE, {"team": "db", "severity": "info"})
    assert (way.group_by, way.group_wait) == (["cluster"], timedelta(seconds=30))
    assert ways(TREE, {"severity": "critical"})[1].repeat_interval == HOUR
    assert way.repeat_interval == 4 * HOUR


def test_only_the_last_that_takes_it_may_go_on_to_nowhere() -> None:
    tree = route("top", "", route("a", "x=1", goes_on=True), route("b", "x=2"), policy="p")
    assert [way.routes for way in ways(tree, {"x": "1"})] == [("top", "a")]
    assert ways(route("top", "x=1"), {"x": "2"}) == ()


def test_alerts_of_a_group_agree_in_its_labels() -> None:
    (way,) = ways(route("top", group_by=["rule", "zone", "rule"]), {})
    assert way.group_of({"rule": "r", "host": "a"}) == (("rule", "r"),)
    (alone,) = ways(route("top", group_by=["..."]), {})
    assert alone.group_of({"b": "2", "a": "1"}) == (("a", "1"), ("b", "2"))
    (together,) = ways(route("top", group_by=[]), {})
    assert together.group_of({"a": "1"}) == ()


CRITICAL_OVER_WARNING = Inhibition(
    read_matchers("severity=critical"), read_matchers("severity=~warning|info"), ("cluster",)
)
SAME = Inhibition(read_matchers("rule=down"), read_matchers("rule=~.+"), ("host",))


@pytest.mark.parametrize(
    ("labels", "firing", "keeper"),
    [
        ({"severity": "warning", "cluster": "a"}, {"severity": "critical", "cluster": "a"}, "one"),
        ({"severity": "warning", "cluster": "a"}, {"severity": "critical", "cluster": "b"}, None),
        # Neither has the label: they agree in it.
        ({"severity": "info"}, {"severity": "critical"}, "one"),
        ({"severity": "critical"}, {"severity": "critical"}, None),
        ({"rule": "slow", "host": "h"}, {"rule": "down", "host": "h"}, "one"),
        # It would keep itself, and whoever is like it, quiet.
        ({"rule": "down", "host": "h"}, {"rule": "down", "host": "h"}, None),
    ],
)
def test_one_alert_keeps_others_quiet(labels, firing, keeper) -> None:
    assert inhibitor([CRITICAL_OVER_WARNING, SAME], labels, [("one", firing)]) == keeper


def test_a_silence_counts_in_its_time_and_for_its_alerts() -> None:
    begin = datetime(2026, 12, 1, tzinfo=UTC)
    nights = WeeklyWindow(frozenset({0, 1, 2, 3, 4}), time(22), time(6), ZoneInfo("Europe/Paris"))
    always = Silence(
        id="a", matchers=read_matchers("team=db"), stretch=Stretch(begin, begin + 168 * HOUR)
    )
    at_night = replace(always, id="n", windows=[nights])
    for hours, wanted in (
        (-1, (False, False)),
        (0, (True, True)),
        (5, (True, False)),
        (12, (True, False)),
        (21, (True, True)),
        (168, (False, False)),
    ):
        at = begin + hours * HOUR
        assert (
            always.silences({"team": "db"}, at),
            at_night.silences({"team": "db"}, at),
        ) == wanted
        assert not always.silences({"team": "web"}, at)


LABELS = st.fixed_dictionaries(
    {}, optional={name: st.sampled_from(("x", "y", "")) for name in ("a", "b", "c")}
)
RULES = st.builds(
    lambda source, target, equal: Inhibition(read_matchers(source), read_matchers(target), equal),
    st.sampled_from(("a=x", "b=x", "a=~x|y,b=y")),
    st.sampled_from(("a=x", "b=y", "c!=x", "a=y")),
    st.lists(st.sampled_from(("a", "b", "c")), unique=True, max_size=2),
)


@given(st.lists(RULES, max_size=3), st.lists(LABELS, max_size=8))
def test_each_is_kept_quiet_as_if_it_were_compared_with_all(
    rules: list[Inhibition], alerts: list[dict[str, str]]
) -> None:
    def keeps(rule: Inhibition, other: dict[str, str], labels: dict[str, str]) -> bool:
        both = match_all(rule.source, labels) and match_all(rule.target, other)
        alike = all(labels.get(name, "") == other.get(name, "") for name in rule.equal)
        return (
            match_all(rule.source, other) and match_all(rule.target, labels) and not both and alike
        )

    firing = [(str(number), labels) for number, labels in enumerate(alerts)]
    keepers = Keepers(rules, firing)
    for alert_id, labels in firing:
        expected = [
            other_id
            for rule in rules
            for other_id, other in firing
            if other_id != alert_id and keeps(rule, other, labels)
        ]
        found = keepers.keeper_of(labels, itself=alert_id)
        assert found == (expected[0] if expected else None)


def test_a_silence_that_asks_nothing_silences_nothing() -> None:
    at = datetime(2026, 12, 1, tzinfo=UTC)
    assert not Silence(id="s", matchers=(), stretch=Stretch(at, at + HOUR)).silences({}, at)
