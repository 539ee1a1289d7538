"""Rules that ship: what most want to be told of, each made in a tenant by one act.

Each reads what the platform or the tenant's own programs really tell. What has to be sent first,
or set up, its text says; the runbook has a section for each.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from backend.managers import secrets, tenant
from backend.managers.alerting._conditions import Condition, MetricCondition
from backend.managers.alerting._counting import AuditCondition, EventCondition
from backend.managers.alerting._digest import DigestCondition
from backend.managers.alerting._reporting import ReportCondition
from backend.managers.alerting._rules import RuleDraft, Severity
from backend.managers.alerting._seeing import HealthCondition, TraceCondition

RUNBOOK: Final = "docs/runbooks/alerts.md"
_SERVICE: Final = "email-sender"
_MIGHTY: Final = ("owner", "admin")


@dataclass(frozen=True, slots=True)
class Shipped:
    """A rule that ships: its name in the catalogue, what it asks in a sentence, and its draft."""

    name: str
    about: str
    draft: RuleDraft


def _shipped(
    name: str,
    title: str,
    severity: Severity,
    about: str,
    condition: Condition,
    **more: Any,
) -> Shipped:
    draft = RuleDraft(
        name=title,
        severity=severity,
        condition=condition,
        runbook_url=f"{RUNBOOK}#{name}",
        **{"summary": f"{title}: {{text}}", **more},
    )
    return Shipped(name, about, draft)


_SHIPPED: Final = (
    _shipped(
        "service-down",
        "Service down",
        "critical",
        "Something that the platform needs does not work, a worker fell silent, or nobody looks at "
        "it any more.",
        HealthCondition(needs=("workers",)),
        every_seconds=10,
        clear_seconds=60,
        no_data="fire",
    ),
    _shipped(
        "data-breach-attempt",
        "Data breach attempt",
        "critical",
        "A caller or an address was refused fifty times in five minutes: acts, keys, or "
        "credentials of programs.",
        AuditCondition(
            actions=(
                "access.denied",
                "client.authentication_failed",
                "key.refused",
                secrets.TOKEN_REFUSED,
                "authorization_code.reused",
            ),
            by="target",
            compare=">=",
            threshold=50,
        ),
        every_seconds=10,
        clear_seconds=300,
    ),
    _shipped(
        "performance-degradation",
        "Performance degradation",
        "critical",
        "Of your requests and jobs one in twenty took more than a second, for five minutes.",
        TraceCondition(service=_SERVICE, measure="latency", compare=">", threshold=1000),
        hold_seconds=300,
        clear_seconds=300,
    ),
    _shipped(
        "high-cpu",
        "High CPU",
        "warning",
        "The gauge system_cpu_utilization (0 to 1) of a host was above 0.9 for fifteen minutes. "
        "Your hosts have to record it, with the label host.",
        MetricCondition(
            metric="system_cpu_utilization",
            aggregate="avg",
            compare=">",
            threshold=0.9,
            by=("host",),
        ),
        hold_seconds=900,
        clear_seconds=300,
        summary="High CPU on {host}: {text}",
    ),
    _shipped(
        "error-rate",
        "Increased error rate",
        "warning",
        "More than one in twenty of your requests and jobs failed, for ten minutes.",
        TraceCondition(service=_SERVICE, measure="error_share", compare=">", threshold=0.05),
        hold_seconds=600,
        clear_seconds=300,
    ),
    _shipped(
        "storage",
        "Storage threshold",
        "warning",
        "Less than a tenth of the platform's disk was free for an hour.",
        HealthCondition(component="disk"),
        hold_seconds=3600,
        clear_seconds=600,
    ),
    _shipped(
        "deployment",
        "Deployment success",
        "info",
        "Your pipeline said that it deployed: it sends the heartbeat deployment when it has.",
        AuditCondition(
            actions=("heartbeat.received",),
            target="heartbeat:deployment",
            compare=">=",
            threshold=1,
        ),
        every_seconds=30,
    ),
    _shipped(
        "maintenance",
        "Scheduled maintenance",
        "info",
        "Maintenance begins soon: a silence of that kind was announced, a day before unless it "
        "says otherwise.",
        EventCondition(
            kinds=("maintenance.announced",),
            by="subject",
            compare=">=",
            threshold=1,
            window_seconds=600,
        ),
    ),
    _shipped(
        "performance-report",
        "Performance report",
        "info",
        "What the day before was like, told at eight UTC unless the rule says otherwise: how "
        "much was asked, failed and how long it took, mail, jobs, and objectives.",
        ReportCondition(),
    ),
    _shipped(
        "alert-digest",
        "Alerts of the month",
        "info",
        "What alerts of the month before were like, told on the first at eight UTC unless the rule "
        "says otherwise: how many, how soon people saw to them, and which rules to mend.",
        DigestCondition(),
    ),
    _shipped(
        "failed-sign-ins",
        "Burst of failed sign-ins",
        "warning",
        "The credentials of one of your programs were wrong ten times in ten minutes. People sign "
        "in at the platform, whose trail has their failures.",
        AuditCondition(
            actions=("client.authentication_failed",),
            by="target",
            compare=">=",
            threshold=10,
            window_seconds=600,
        ),
        clear_seconds=300,
    ),
    _shipped(
        "denied-acts",
        "Denied acts",
        "warning",
        "A caller was denied twenty acts in ten minutes.",
        AuditCondition(
            actions=("access.denied",),
            by="target",
            compare=">=",
            threshold=20,
            window_seconds=600,
        ),
        clear_seconds=300,
    ),
    _shipped(
        "key-budget",
        "Key budget spent",
        "warning",
        "A key had done as many operations as its policy allows, and was rotated for that.",
        AuditCondition(
            actions=("key.rotated",),
            where={"because": ("operations",)},
            by="target",
            compare=">=",
            threshold=1,
            window_seconds=3600,
        ),
    ),
    _shipped(
        "quota",
        "Quota nearly used up",
        "warning",
        "Four fifths of one of your quotas, or all of it, is used.",
        EventCondition(
            kinds=(tenant.QUOTA_NEARING, tenant.QUOTA_REACHED),
            by="subject",
            compare=">=",
            threshold=1,
            window_seconds=600,
        ),
    ),
    _shipped(
        "audit-chain",
        "Audit chain broken",
        "critical",
        "A look at your whole trail found a record that was changed, added or lost. Somebody has "
        "to have it looked at: it looks at nothing by itself.",
        AuditCondition(
            actions=("audit_verification.finished", "audit.verified"),
            where={"valid": ("false",)},
            compare=">=",
            threshold=1,
            window_seconds=3600,
        ),
    ),
    _shipped(
        "canary",
        "Canary touched",
        "critical",
        "Somebody read the secret at the path canary, which nothing of yours needs: keep one there "
        "as a decoy.",
        AuditCondition(
            actions=("secret.value_read", "secret.redeemed"),
            where={"path": ("canary",)},
            by="actor",
            compare=">=",
            threshold=1,
            window_seconds=3600,
        ),
        every_seconds=10,
    ),
    _shipped(
        "administrator-added",
        "New administrator",
        "warning",
        "Somebody came into the tenant as an owner or administrator.",
        AuditCondition(
            actions=(tenant.MEMBER_ADDED,),
            where={"role": _MIGHTY},
            by="target",
            compare=">=",
            threshold=1,
            window_seconds=3600,
        ),
    ),
    _shipped(
        "administrator-promoted",
        "Member made administrator",
        "warning",
        "A member was made an owner or administrator.",
        AuditCondition(
            actions=(tenant.ROLE_CHANGED,),
            where={"after": _MIGHTY},
            by="target",
            compare=">=",
            threshold=1,
            window_seconds=3600,
        ),
    ),
)
CATALOGUE: Final[Mapping[str, Shipped]] = {one.name: one for one in _SHIPPED}
