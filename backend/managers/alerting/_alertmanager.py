"""What fires, and whom it reaches, as Alertmanager's API tells it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from backend.core.database import ReadTx
from backend.managers.alerting._alerts import Alert, Alerts
from backend.managers.alerting._matching import Matcher, match_all
from backend.managers.alerting._policies import Policies
from backend.managers.alerting._routing import Keepers, silenced_by, ways
from backend.managers.alerting._silences import (
    MAX_SILENCES,
    KeptSilence,
    Silences,
    SilenceState,
)
from backend.managers.alerting._tree import Routings, group_key

NOBODY: Final = "nobody"
"""The receiver of what no route leads to anybody."""
MOST: Final = 10_000
_IN_ORDER: Final[Sequence[tuple[SilenceState, int]]] = (
    ("active", MAX_SILENCES),
    ("scheduled", MAX_SILENCES),
    ("expired", 500),
)


@dataclass(frozen=True, slots=True)
class Group:
    """Alerts of one message."""

    receiver: str
    labels: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Firing:
    """An alert that fires, who hears of it, and what keeps them from hearing of it."""

    alert: Alert
    groups: Mapping[str, Group]
    silenced_by: Sequence[str] = ()
    inhibited_by: Sequence[str] = ()
    muted_by: Sequence[str] = ()

    @property
    def state(self) -> Literal["active", "suppressed"]:
        """Whether anything keeps it quiet."""
        quiet = self.silenced_by or self.inhibited_by or self.muted_by
        return "suppressed" if quiet else "active"

    @property
    def receivers(self) -> Sequence[str]:
        """Who hears of it."""
        return sorted({group.receiver for group in self.groups.values()})


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which alerts somebody asks for.

    Attributes:
        matchers: All of them meet its labels.
        active: Also those that nothing keeps quiet.
        silenced: Also those that are silenced.
        inhibited: Also those that others keep quiet.
        muted: Also those that are snoozed.
        receiver: A regular expression of all of a receiver's name.
    """

    matchers: Sequence[Matcher] = ()
    active: bool = True
    silenced: bool = True
    inhibited: bool = True
    muted: bool = True
    receiver: str = ""

    def takes(self, one: Firing) -> bool:
        """Whether it is asked for."""
        return not (
            (one.state == "active" and not self.active)
            or (one.silenced_by and not self.silenced)
            or (one.inhibited_by and not self.inhibited)
            or (one.muted_by and not self.muted)
        )


class AlertmanagerView:
    """Reads what the API tells of alerts and silences."""

    def __init__(
        self, alerts: Alerts, silences: Silences, policies: Policies, routings: Routings
    ) -> None:
        self._alerts = alerts
        self._silences = silences
        self._policies = policies
        self._routings = routings

    async def firing(self, tx: ReadTx, wanted: Wanted) -> Callable[[], Sequence[Firing]]:
        """Read what is needed; what is given reckons, outside the transaction and in a thread.

        Raises:
            MatcherInvalidError: The receiver is no regular expression.
        """
        asked = Matcher("receiver", "=~", wanted.receiver) if wanted.receiver else None
        now = tx.now()
        alerts = await self._alerts.list(tx, state="firing", limit=MOST)
        silences = await self._silences.active(tx)
        routing = await self._routings.get(tx)
        names = {one.id: one.name for one in (await self._policies.all(tx)).values()}

        def reckon() -> Sequence[Firing]:
            tree = routing.route()
            keeping = Keepers(routing.keepers(), [(one.fingerprint, one.labels) for one in alerts])
            found: list[Firing] = []
            for alert in alerts:
                if not match_all(wanted.matchers, alert.labels):
                    continue
                groups: dict[str, Group] = {}
                for way in ways(tree, alert.labels):
                    key, labels = group_key(way, alert.labels)
                    groups[key] = Group(names.get(way.policy or "", NOBODY), labels)
                groups = groups or {"": Group(NOBODY, {})}
                keeper = keeping.keeper_of(alert.labels, itself=alert.fingerprint)
                snoozed = alert.snoozed_until is not None and alert.snoozed_until > now
                one = Firing(
                    alert=alert,
                    groups={
                        key: group
                        for key, group in groups.items()
                        if asked is None or asked.matches({"receiver": group.receiver})
                    },
                    silenced_by=silenced_by(silences, alert.labels, now),
                    inhibited_by=[keeper] if keeper else [],
                    muted_by=["snoozed"] if snoozed else [],
                )
                if one.groups and wanted.takes(one):
                    found.append(one)
            return sorted(found, key=lambda one: one.alert.fingerprint)

        return reckon

    async def receivers(self, tx: ReadTx) -> Sequence[str]:
        """Whom alerts may reach."""
        return sorted({one.name for one in (await self._policies.all(tx)).values()} | {NOBODY})

    async def silences(self, tx: ReadTx, matchers: Sequence[Matcher]) -> Sequence[KeptSilence]:
        """All that are not over, what is over next first, and the last that were."""
        found = [
            await self._silences.list(tx, state=state, matchers=matchers, limit=most)
            for state, most in _IN_ORDER
        ]
        active, scheduled, over = found
        return [
            *sorted(active, key=lambda one: one.ends_at),
            *sorted(scheduled, key=lambda one: one.starts_at),
            *sorted(over, key=lambda one: one.ends_at, reverse=True),
        ]


def by_group(firing: Sequence[Firing]) -> Sequence[tuple[Group, Sequence[Firing]]]:
    """Alerts by the messages that they go in."""
    found: dict[str, tuple[Group, list[Firing]]] = {}
    for one in firing:
        for key, group in one.groups.items():
            found.setdefault(key, (group, []))[1].append(one)
    return [found[key] for key in sorted(found)]
