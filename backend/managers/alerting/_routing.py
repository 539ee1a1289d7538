"""Where an alert goes: a tree of routes, alerts that keep others quiet, and silences.

The tree is read as Alertmanager reads its own: an alert goes down into the first child that it
matches, and into the next ones as well while a child says that it goes on; where no child takes it,
it stays. What a route does not say, the one above it says.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

from backend.kit.wall_clock import Stretch, WeeklyWindow
from backend.managers.alerting._matching import Matcher, match_all

_INHERITED: Final = ("policy", "group_by", "group_wait", "group_interval", "repeat_interval")


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """A place in the tree.

    Attributes:
        id: Of its own.
        matchers: What alerts that come down here are; of the topmost none.
        policy: Whom they go to; None: as the route above says. So are the next four.
        group_by: Labels that alerts of one message agree in; ``...`` alone: each by itself.
        group_wait: How long the first alert of a group waits for others.
        group_interval: How soon a group that somebody was told of is told of again, when others
            have joined it.
        repeat_interval: How soon it is, when nothing has changed.
        goes_on: Whether the routes beside it are tried as well.
        children: Below it.
    """

    id: str
    matchers: Sequence[Matcher] = ()
    policy: str | None = None
    group_by: Sequence[str] | None = None
    group_wait: timedelta | None = None
    group_interval: timedelta | None = None
    repeat_interval: timedelta | None = None
    goes_on: bool = False
    children: Sequence["Route"] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """Where an alert ends, and the routes that it came through, the topmost first."""

    routes: Sequence[str]
    policy: str | None
    group_by: Sequence[str] = ()
    group_wait: timedelta = timedelta(seconds=30)
    group_interval: timedelta = timedelta(minutes=5)
    repeat_interval: timedelta = timedelta(hours=4)

    def group_of(self, labels: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
        """What alerts of one message have in common."""
        names = sorted(labels) if list(self.group_by) == ["..."] else sorted(set(self.group_by))
        return tuple((name, labels[name]) for name in names if name in labels)


def ways(tree: Route, labels: Mapping[str, str]) -> Sequence[Way]:
    """Where an alert goes; nowhere, if it is not what the topmost route asks for."""
    if not match_all(tree.matchers, labels):
        return ()
    return list(_down(tree, labels, Way(routes=(), policy=None)))


def _down(route: Route, labels: Mapping[str, str], above: Way) -> Iterator[Way]:
    said = {name: getattr(route, name) for name in _INHERITED}
    own = {name: value for name, value in said.items() if value is not None}
    here = replace(above, routes=(*above.routes, route.id), **own)
    taken = False
    for child in route.children:
        if match_all(child.matchers, labels):
            taken = True
            yield from _down(child, labels, here)
            if not child.goes_on:
                return
    if not taken:
        yield here


@dataclass(frozen=True, slots=True)
class Inhibition:
    """While an alert fires that ``source`` is about, those that ``target`` is about are not told.

    An alert that both are about inhibits no other like it, itself included.
    """

    source: Sequence[Matcher]
    target: Sequence[Matcher]
    equal: Sequence[str] = ()


def inhibitor(
    rules: Sequence[Inhibition],
    labels: Mapping[str, str],
    firing: Sequence[tuple[str, Mapping[str, str]]],
) -> str | None:
    """Which of the alerts that fire, by their ids, keeps one quiet; None: none."""
    return Keepers(rules, firing).keeper_of(labels)


class Keepers:
    """Alerts that fire, by what they have to have in common with those that they keep quiet.

    Of ten thousand each one is asked about: who would compare each with each takes minutes.
    """

    def __init__(
        self, rules: Sequence[Inhibition], firing: Sequence[tuple[str, Mapping[str, str]]]
    ) -> None:
        self._rules: list[tuple[Inhibition, dict[tuple[str, ...], list[tuple[str, bool]]]]] = []
        for rule in rules:
            found: dict[tuple[str, ...], list[tuple[str, bool]]] = {}
            for alert_id, labels in firing:
                if match_all(rule.source, labels):
                    alike = found.setdefault(_common(rule, labels), [])
                    # Two of each kind are enough: one may be the alert itself.
                    is_target = match_all(rule.target, labels)
                    if sum(one[1] is is_target for one in alike) < 2:
                        alike.append((alert_id, is_target))
            self._rules.append((rule, found))

    def keeper_of(self, labels: Mapping[str, str], *, itself: str = "") -> str | None:
        """Which alert, by its id, keeps one quiet; None: none.

        Args:
            labels: Of the one that is kept quiet.
            itself: Its id: it keeps others quiet only.
        """
        for rule, found in self._rules:
            alike = found.get(_common(rule, labels))
            if not alike or not match_all(rule.target, labels):
                continue
            is_source = match_all(rule.source, labels)
            for alert_id, is_target in alike:
                if alert_id != itself and not (is_source and is_target):
                    return alert_id
        return None


def _common(rule: Inhibition, labels: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(labels.get(name, "") for name in rule.equal)


@dataclass(frozen=True, slots=True, kw_only=True)
class Silence:
    """Alerts that nobody is told of for a while.

    Attributes:
        id: Of its own.
        matchers: Which.
        stretch: When, at all.
        windows: When of the week, within that; none: always.
    """

    id: str
    matchers: Sequence[Matcher]
    stretch: Stretch
    windows: Sequence[WeeklyWindow] = field(default=())

    def is_on(self, instant: datetime) -> bool:
        """Whether it counts at an instant."""
        if not self.stretch.holds(instant):
            return False
        return not self.windows or any(window.holds(instant) for window in self.windows)

    def silences(self, labels: Mapping[str, str], instant: datetime) -> bool:
        """Whether nobody is told of an alert at an instant."""
        return bool(self.matchers) and self.is_on(instant) and match_all(self.matchers, labels)


def silenced_by(
    silences: Iterable[Silence], labels: Mapping[str, str], instant: datetime
) -> list[str]:
    """The ids of those for which nobody is told of an alert at an instant."""
    return [one.id for one in silences if one.silences(labels, instant)]
