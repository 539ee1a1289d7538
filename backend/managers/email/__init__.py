"""E-mail: composing, sending and accounting for every recipient.

Owns ``email_messages``, ``email_contents``, ``email_recipients``, ``email_events``,
``email_templates``, ``email_settings``, ``email_named_relays``, ``email_relays`` and
``email_suppressions``. Its job kinds reach the orchestrator through ``app``: ``email.send`` hands a
message over, and ``email`` makes one of what a tenant's job says.
"""

from backend.core.room import (
    ADMIN,
    OPERATOR,
    VIEWER,
    WORKFLOW,
    Ending,
    ReadyCheck,
    Room,
    RouteClass,
    Sweep,
)
from backend.managers.email._erasure import (
    erase_mail,
    open_mail,
)
from backend.managers.email._retention import RETENTION
from backend.managers.email._sealed import SEALED
from backend.managers.email._suppressions import (
    MAX_IMPORT_BYTES,
    SUPPRESSIONS,
    Imported,
    SuppressionList,
)
from backend.managers.email._tasks import task_kind
from backend.managers.email._values import Draft, Email
from backend.managers.email.errors import EmailNotFoundError, TemplateNotFoundError
from backend.managers.email.jobs import EmailDelivery, delivery_kind
from backend.managers.email.manager import (
    JOB_KIND,
    READ,
    READ_CONTENT,
    SEND,
    EmailManager,
    scope_of,
)
from backend.managers.email.models import (
    ContentRow,
    EmailRow,
    EmailSettingsRow,
    EventRow,
    NamedRelayRow,
    RecipientRow,
    RelayRow,
    SuppressionRow,
    TemplateRow,
)
from backend.managers.email.settings import EmailSettings

ROOM = Room(
    name="email",
    manager=EmailManager,
    models=(
        EmailRow,
        ContentRow,
        RecipientRow,
        EventRow,
        TemplateRow,
        EmailSettingsRow,
        NamedRelayRow,
        RelayRow,
        SuppressionRow,
    ),
    permissions={
        READ: VIEWER | WORKFLOW,
        READ_CONTENT: OPERATOR,
        SEND: OPERATOR | WORKFLOW,
        "email_template:read": VIEWER | WORKFLOW,
        "email_template:write": OPERATOR,
        "email_settings:read": VIEWER,
        "email_settings:write": ADMIN,
        "email_relay:read": VIEWER | WORKFLOW,
        "email_relay:write": ADMIN,
        "suppression:read": VIEWER | WORKFLOW,
        "suppression:write": OPERATOR,
    },
    errands=(RETENTION, SUPPRESSIONS),
    routers=("backend.managers.email.routes:router", "backend.managers.email.routes:suppressions"),
    route_classes=(
        RouteClass(
            "emails",
            "/api/v1/emails",
            body_bytes=lambda settings: settings.max_batch_bytes,
            rate=lambda settings: (settings.requests_per_second, settings.burst_requests),
        ),
        # Each opens a connection to where the tenant says, while somebody waits.
        RouteClass(
            "email_tests",
            "/api/v1/email-settings/test",
            rate=lambda settings: (
                settings.tests_requests_per_second,
                settings.tests_burst_requests,
            ),
        ),
        RouteClass(
            "suppressions", "/api/v1/suppressions/import", body_bytes=lambda _: MAX_IMPORT_BYTES
        ),
    ),
    sealed=SEALED,
    erasures={
        EmailRow.__tablename__: erase_mail,
        SuppressionRow.__tablename__: lambda emails, tx, who, _: emails.suppressions.erase(tx, who),
    },
    bars=(open_mail,),
    sweeps=(
        Sweep(RETENTION, lambda emails, tx: emails.retention.sweep(tx)),
        Sweep(SUPPRESSIONS, lambda emails, tx: emails.suppressions.sweep(tx)),
    ),
    job_kinds=(delivery_kind, task_kind),
    stocks={"storage_bytes": EmailManager.count_bytes},
    # The job of a message ends with it, and announces nothing for itself.
    figures={
        "email.accepted": ("emails_accepted", "jobs_ended"),
        "email.partial": ("emails_accepted", "jobs_ended"),
        "email.bounced": ("emails_bounced", "jobs_ended"),
    },
    endings={
        "email.accepted": Ending("emails", well=True),
        "email.partial": Ending("emails", well=False),
        "email.bounced": Ending("emails", well=False),
    },
    events=dict.fromkeys(
        (
            "email.queued",
            "email.accepted",
            "email.deferred",
            "email.delayed",
            "email.bounced",
            "email.partial",
            "email.cancelled",
            "email.suppressed",
        ),
        READ,
    )
    | dict.fromkeys(
        ("suppression.added", "suppression.removed", "suppression.imported"), "suppression:read"
    )
    | dict.fromkeys(("relay.paused", "relay.resumed"), "email_settings:read"),
    checks=(ReadyCheck("mail_server", EmailManager.check_default_relay, required=lambda _: False),),
)

__all__ = [
    "JOB_KIND",
    "READ",
    "READ_CONTENT",
    "ROOM",
    "Draft",
    "Email",
    "EmailDelivery",
    "EmailManager",
    "EmailNotFoundError",
    "EmailSettings",
    "Imported",
    "SuppressionList",
    "TemplateNotFoundError",
    "scope_of",
]
