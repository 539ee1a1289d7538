# Written by scripts/generate-client from tests/contract/openapi-v1.json.
"""One method for each operation of version 1 of the API."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from dashboard.client import models
from dashboard.client.transport import (
    Connection,
    Download,
    Tagged,
    fresh_key,
    segment,
    uuid_segment,
)

VALUES: Final[Mapping[str, tuple[str, ...]]] = {
    "list_alerts.state": ("waiting", "firing", "over"),
    "list_alerts.severity": ("critical", "warning", "info"),
    "list_emails.state": (
        "queued",
        "sending",
        "accepted",
        "deferred",
        "bounced",
        "partial",
        "cancelled",
        "suppressed",
    ),
    "list_incidents.state": ("open", "over"),
    "list_job_graphs.state": ("running", "succeeded", "failed", "cancelled"),
    "list_job_graph_tasks.state": (
        "blocked",
        "ready",
        "running",
        "awaiting",
        "succeeded",
        "dead",
        "cancelled",
        "skipped",
    ),
    "list_jobs.state": (
        "blocked",
        "ready",
        "running",
        "awaiting",
        "succeeded",
        "dead",
        "cancelled",
        "skipped",
    ),
    "list_logs.level": ("trace", "debug", "info", "warn", "error", "fatal"),
    "find_log_patterns.level": ("trace", "debug", "info", "warn", "error", "fatal"),
    "sum_up_logs.level": ("trace", "debug", "info", "warn", "error", "fatal"),
    "tail_logs.level": ("trace", "debug", "info", "warn", "error", "fatal"),
    "score_metric.aggregate": ("rate", "sum", "count", "avg", "min", "max", "last", "quantile"),
    "forecast_metric.aggregate": ("rate", "sum", "count", "avg", "min", "max", "last", "quantile"),
    "query_metric.aggregate": ("rate", "sum", "count", "avg", "min", "max", "last", "quantile"),
    "get_metric_trend.aggregate": ("rate", "sum", "count", "avg", "min", "max", "last", "quantile"),
    "list_evidence.kind": ("throughput", "failover", "recovery", "security_incidents"),
    "read_secret.references": ("resolve", "keep"),
    "list_silences.state": ("scheduled", "active", "expired"),
    "list_suppressions.reason": ("manual", "import", "hard_bounce"),
}
"""What query parameters take that are one of a few, in the document's order."""


class Api:
    """The API as one session may use it. Every method may raise ``ApiProblem``."""

    def __init__(self, connection: Connection) -> None:
        """Ask over ``connection``."""
        self.connection = connection

    def list_access_reviews(
        self, *, limit: int | None = None, cursor: str | None = None
    ) -> models.ReviewPage:
        """List the tenant's access reviews, newest first."""
        return self.connection.ask(
            "GET",
            "/api/v1/access-reviews",
            models.ReviewPage,
            query={"limit": limit, "cursor": cursor},
        )

    def open_access_review(
        self, body: models.ReviewCreate, *, idempotency_key: str | None = None
    ) -> models.ReviewOut:
        """Write down who holds what now, to be kept or taken away line by line."""
        return self.connection.ask(
            "POST",
            "/api/v1/access-reviews",
            models.ReviewOut,
            body=body,
            headers={"Idempotency-Key": idempotency_key or fresh_key()},
        )

    def get_access_review(self, review_id: str) -> models.ReviewDetailOut:
        """Get one access review with its lines."""
        return self.connection.ask(
            "GET", f"/api/v1/access-reviews/{uuid_segment(review_id)}", models.ReviewDetailOut
        )

    def close_access_review(
        self, review_id: str, *, idempotency_key: str | None = None
    ) -> models.ReviewOut:
        """End an access review of which every line is decided."""
        return self.connection.ask(
            "POST",
            f"/api/v1/access-reviews/{uuid_segment(review_id)}/close",
            models.ReviewOut,
            headers={"Idempotency-Key": idempotency_key or fresh_key()},
        )

    def decide_access_review(
        self, review_id: str, body: models.ReviewDecisions, *, idempotency_key: str | None = None
    ) -> models.ReviewOut:
        """Keep lines, or take away what they name, at once."""
        return self.connection.ask(
            "POST",
            f"/api/v1/access-reviews/{uuid_segment(review_id)}/decisions",
            models.ReviewOut,
            body=body,
            headers={"Idempotency-Key": idempotency_key or fresh_key()},
        )

    def get_access_review_evidence(self, review_id: str) -> models.EvidenceOut:
        """Export a review: what was decided, when, by whom, and where the audit trail proves it."""
        return self.connection.ask(
            "GET", f"/api/v1/access-reviews/{uuid_segment(review_id)}/evidence", models.EvidenceOut
        )

    def check_access(self, body: models.AccessCheck) -> models.AccessAnswer:
        """Say whether somebody may do something now: whoever asks, unless another is named."""
        return self.connection.ask("POST", "/api/v1/access/check", models.AccessAnswer, body=body)

    def preview_access(self, body: models.AccessPreview) -> models.AccessPreviewOut:
        """Say what would change, and for whom, if a role permitted this; nothing is changed."""
        return self.connection.ask(
            "POST", "/api/v1/access/preview", models.AccessPreviewOut, body=body
        )

    def get_what_can(self, *, subject: str | None = None) -> models.HolderOut:
        """Say what a member, client or key may do now: whoever asks, unless another is named."""
        return self.connection.ask(
            "GET", "/api/v1/access/what-can", models.HolderOut, query={"subject": subject}
        )

    def list_who_can(self, *, permission: str) -> models.HoldersOut:
        """List all who may do something now: people, clients and keys."""
        return self.connection.ask(
            "GET", "/api/v1/access/who-can", models.HoldersOut, query={"permission": permission}
        )

    def list_alert_catalogue(self) -> models.AlertCatalogueOut:
        """List the rules that ship, whether the tenant has them, and what they lack."""
        return self.connection.ask("GET", "/api/v1/alert-catalogue", models.AlertCatalogueOut)

    def adopt_alert_rule(
        self, name: str, *, idempotency_key: str | None = None
    ) -> models.AlertRuleOut:
        """Have what a rule of the catalogue asks looked at from now on.

        It is the tenant's own then.
        """
        return self.connection.ask(
            "POST",
            f"/api/v1/alert-catalogue/{segment(name)}",
            models.AlertRuleOut,
            headers={"Idempotency-Key": idempotency_key or fresh_key()},
        )

    def list_alert_channels(
        self, *, limit: int | None = None, cursor: str | None = None
    ) -> models.AlertChannelPage:
        """List ways to people and programs, the newest first."""
        return self.connection.ask(
            "GET",
            "/api/v1/alert-channels",
            models.AlertChannelPage,
            query={"limit": limit, "cursor": cursor},
        )

    def create_alert_channel(
        self, body: models.AlertChannelPut, *, idempotency_key: str | None = None
    ) -> models.AlertChannelMadeOut:
        """Make a way to somebody.

        A webhook's secret is shown this once.
        """
        return self.connection.ask(
            "POST",
            "/api/v1/alert-channels",
            models.AlertChannelMadeOut,
            body=body,
            headers={"Idempotency-Key": idempotency_key or fresh_key()},
        )

    def delete_alert_channel(self, channel_id: str, *, if_match: str | None = None) -> None:
        """Have nobody told by a channel any more."""
        self.connection.tell(
            "DELETE",
            f"/api/v1/alert-channels/{uuid_segment(channel_id)}",
            headers={"If-Match": if_match},
        )

    def get_alert_channel(self, channel_id: str) -> Tagged[models.AlertChannelOut]:
        """Get one channel.

        The ETag goes into If-Match.
        """
        return self.connection.ask_tagged(
            "GET", f"/api/v1/alert-channels/{uuid_segment(channel_id)}", models.AlertChannelOut
        )

    def put_alert_channel(
        self, channel_id: str, body: models.AlertChannelPut, *, if_match: str | None = None
    ) -> Tagged[models.AlertChannelOut]:
        """Have a channel lead elsewhere, or otherwise.

        The secret of its signatures stays.
        """
        return self.connection.ask_tagged(
            "PUT",
            f"/api/v1/alert-channels/{uuid_segment(channel_id)}",
            models.AlertChannelOut,
            body=body,
            headers={"If-Match": if_match},
        )

    def test_alert_channel(self, channel_id: str, *, idempotency_key: str | None = None) -> None:
        """Send a message by a channel that says it is a test; of mail: queue it."""
        self.connection.tell(
            "POST",
            f"/api/v1/alert-channels/{uuid_segment(channel_id)}/test",
            headers={"Idempotency-Key": idempotency_key or fresh_key()},
        )

    def get_alert_history(self, *, days: int | None = None) -> models.AlertHistoryOut:
        """Look back: how soon people saw to alerts, how long they lasted, and which are noise."""
        return self.connection.ask(
            "GET", "/api/v1/alert-history", models.AlertHistoryOut, query={"days": days}
        )

    def list_alert_policies(
        self, *, limit: int | None = None, cursor: str | None = None
    ) -> models.AlertPolicyPage:
        """List escalation policies, the newest first."""
        return self.connection.ask(
            "GET",
            "/api/v1/alert-policies",
            models.AlertPolicyPage,
            query={"limit": limit, "cursor": cursor},
        )

    def create_alert_policy(
        self, body: models.AlertPolicyPut, *, idempotency_key: str | None = None
    ) -> models.AlertPolicyOut:
        """Say who is told first, and who next."""
        return self.connection.ask(
            "POST",
            "/api/v1/alert-policies",
            models.AlertPolicyOut,
            body=body,
            headers={"Idempotency-Key": idempotency_key or fresh_key()},
        )

    def delete_alert_policy(self, policy_id: str, *, if_match: str | None = None) -> None:
        """Have nobody told by a policy any more."""
        self.connection.tell(
            "DELETE",
            f"/api/v1/alert-policies/{uuid_segment(policy_id)}",
            headers={"If-Match": if_match},
        )

    def get_alert_policy(self, policy_id: str) -> Tagged[models.AlertPolicyOut]:
        """Get one policy.

        The ETag goes into If-Match.
        """
        return self.connection.ask_tagged(
            "GET", f"/api/v1/alert-policies/{uuid_segment(policy_id)}", models.AlertPolicyOut
        )

    def put_alert_policy(
        self, policy_id: str, body: models.AlertPolicyPut, *, if_match: str | None = None
    ) -> Tagged[models.AlertPolicyOut]:
        """Have others told, or at other times.

        Who waits already is told as it was.
        """
        return self.connection.ask_tagged(
            "PUT",
            f"/api/v1/alert-policies/{uuid_segment(policy_id)}",
            models.AlertPolicyOut,
            body=body,
            headers={"If-Match": if_match},
        )

    def get_alert_routing(self) -> Tagged[models.AlertRoutingOut]:
        """Get where alerts go.

        The ETag goes into If-Match.
        """
        return self.connection.ask_tagged("GET", "/api/v1/alert-routing", models.AlertRoutingOut)

    def put_alert_routing(
        self, body: models.AlertRoutingPut, *, if_match: str | None = None
    ) -> Tagged[models.AlertRoutingOut]:
        """Have alerts go elsewhere from now on.

        Who waits already is told as it was.
        """
        return self.connection.ask_tagged(
            "PUT",
            "/api/v1/alert-routing",
            models.AlertRoutingOut,
            body=body,
            headers={"If-Match": if_match},
        )

    def test_alert_routing(self, body: models.AlertRoutingTry) -> models.AlertWaysOut:
        """Say where an alert with these labels would go."""
        return self.connection.ask(
            "POST", "/api/v1/alert-routing/test", models.AlertWaysOut, body=body
        )

    def list_alert_rules(
        self, *, limit: int | None = None, cursor: str | None = None
    ) -> models.AlertRulePage:
        """List what is looked at, the newest first."""
        return self.connection.ask(
            "GET",
            "/api/v1/alert-rules",
            models.AlertRulePage,
            query={"limit": limit, "cursor": cursor},
        )

    def create_alert_rule(
        self, body: models.AlertRulePut, *, idempotency_key: str | None = None
    ) -> models.AlertRuleOut:
        """Have something looked at from now on."""
        return self.connection.ask(
            "POST",
            "/api/v1/alert-rules",
            models.AlertRuleOut,
            body=body,
            headers={"Idempotency-Key": idempotency_key or fresh_key()},
        )

    def import_alert_rules(
        self, body: bytes, *, dry_run: bool | None = None, idempotency_key: str | None = None
    ) -> models.AlertRulesImportedOut:
        """Make alert rules of a rule file of Prometheus, YAML or JSON."""
        return self.connection.ask(
            "POST",
            "/api/v1/alert-rules/import",
            models.AlertRulesImportedOut,
            content=body,
            media_type="application/yaml",
            query={"dry_run": dry_run},
            headers={"Idempotency-Key": idempotency_key or fresh_key()},
        )

    def try_alert_rule(self, body: models.AlertRuleTry) -> models.AlertRuleTriedOut:
        """Say when a rule would have fired in the last days: of metrics and log lines."""
        return self.connection.ask(
            "POST", "/api/v1/alert-rules/test", models.AlertRuleTriedOut, body=body
        )

    def delete_alert_rule(self, rule_id: str, *, if_match: str | None = None) -> None:
        """Have it looked at no more; its alerts end."""
        self.connection.tell(
            "DELETE", f"/api/v1/alert-rules/{uuid_segment(rule_id)}", headers={"If-Match": if_match}
        )

    def get_alert_rule(self, rule_id: str) -> Tagged[models.AlertRuleOut]:
        """Get one rule.

        The ETag goes into If-Match.
        """
        return self.connection.ask_tagged(
            "GET", f"/api/v1/alert-rules/{uuid_segment(rule_id)}", models.AlertRuleOut
        )

    def put_alert_rule(
        self, rule_id: str, body: models.AlertRulePut, *, if_match: str | None = None
    ) -> Tagged[models.AlertRuleOut]:
        """Have something else looked at, or otherwise.

        Alerts that there are stand on.
        """
        return self.connection.ask_tagged(
            "PUT",
            f"/api/v1/alert-rules/{uuid_segment(rule_id)}",
            models.AlertRuleOut,
            body=body,
            headers={"If-Match": if_match},
        )

    def list_alerts(
        self,
        *,
        state: str | None = None,
        severity: str | None = None,
        rule_id: str | None = None,
        matchers: str | None = None,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> models.AlertPage:
        """List alerts, the newest first."""
        return self.connection.ask(
            "GET",
            "/api/v1/alerts",
            models.AlertPage,
            query={
                "state": state,
                "severity": severity,
                "rule_id": rule_id,
                "matchers": matchers,
                "limit": limit,
                "cursor": cursor,
            },
        )

    def raise_alert(
        self, body: models.AlertRaise, *, idempotency_key: str | None = None
    ) -> models.AlertOut:
        """Have an alert fire that no rule looks for, or say again that it does."""
        return self.connection.ask(
            "POST",
            "/api/v1/alerts",
            models.AlertOut,
            body=body,
            headers={"Idempotency-Key": idempotency_key or fresh_key()},
        )

    def get_alerts_firing(self) -> models.AlertsFiringOut:
        """Count the alerts that fire now, by severity."""
        return self.connection.ask("GET", "/api/v1/alerts-firing", models.AlertsFiringOut)

    def acknowledge_alerts(
        self, body: models.AlertsAcknowledge, *, idempotency_key: str | None = None
    ) -> models.AlertsAcknowledgedOut:
        """Say of a part of what fires, a hundred alerts at most, that somebody sees to it."""
        return self.connection.ask(
            "POST",
            "/api/v1/alerts/acknowledge",
            models.AlertsAcknowledgedOut,
            body=body,
            headers={"Idempotency-Key": idempotency_key or fresh_key()},
        )

    def take_grafana_alerts(
        self, body: models.GrafanaAlertsIn, *, idempotency_key: str | None = None
    ) -> models.ForeignTakenOut:
        """Have alerts fire and end, as a webhook of Grafana tells it."""
        return self.connection.ask(
            "POST",
            "/api/v1/alerts/grafana",
            models.ForeignTakenOut,
            body=body,
            headers={"Idempotency-Key": idempotency_key or fresh_key()},
        )

    def get_alert(self, alert_id: str) -> models.AlertDetailOut:
        """Get one alert and what happened to it."""
        return self.connection.ask(
            "GET", f"/api/v1/alerts/{uuid_segment(alert_id)}", models.AlertDetailOut
        )

    def acknowledge_alert(
        self, alert_id: str, body: models.AlertAct, *, idempotency_key: str | None = None
    ) -> models.AlertOut:
        """Say that somebody sees to an alert.

        Once more changes nothing.
        """
        return self.connection.ask(
            "POST",
            f"/api/v1/alerts/{uuid_segment(alert_id)}/acknowledge",
            models.AlertOut,
            body=body,
            headers={"Idempotency-Key": idempotency_key or fresh_key()},
        )

    def assign_alert(
        self, alert_id: str, body: models.AlertAssign, *, idempotency_key: str | None = None
    ) -> models.AlertOut:
        """Say who sees to an alert."""
        return self.connection.ask(
            "POST",
            f"/api/v1/alerts/{uuid_segment(alert_id)}/assign",
            models.AlertOut,
            body=body,
            headers={"Idempotency-Key": idempotency_key or fresh_key()},
        )

    def comment_alert(
        self, alert_id: str, body: models.AlertCommentCreate, *, idempotency_key: str | None = None
    ) -> None:
        """Write something down with an alert."""
        self.connection.tell(
            "POST",
            f"/api/v1/alerts/{uuid_segment(alert_id)}/comments",
            body=body,
            headers={"Idempotency-Key": idempotency_key or fresh_key()},
        )

    def list_alert_notifications(self, alert_id: str) -> models.AlertNotificationsOut:
        """List who is told of an alert and who was, the first step first; two thousand at most."""
        return self.connection.ask(
            "GET",
            f"/api/v1/alerts/{uuid_segment(alert_id)}/notifications",
            models.AlertNotificationsOut,
        )

    def resolve_alert(
        self, alert_id: str, body: models.AlertAct, *, idempotency_key: str | None = None
    ) -> models.AlertOut:
        """End an alert.

        A look that finds it again begins another.
        """
        return self.connection.ask(
            "POST",
            f"/api/v1/alerts/{uuid_segment(alert_id)}/resolve",
            models.AlertOut,
            body=body,
            headers={"Idempotency-Key": idempotency_key or fresh_key()},
        )

    def snooze_alert(
        self, alert_id: str, body: models.AlertSnooze, *, idempotency_key: str | None = None
    ) -> models.AlertOut:
        """Have nobody told of an alert for a while."""
        return self.connection.ask(
            "POST",
            f"/api/v1/alerts/{uuid_segment(alert_id)}/snooze",
            models.AlertOut,
            body=body,
            headers={"Idempotency-Key": idempotency_key or fresh_key()},
        )

    def list_api_keys(
        self, *, limit: int | None = None, cursor: str | None = None
    ) -> models.ApiKeyPage:
        """List the tenant's API keys, newest first."""
        return self.connection.ask(
            "GET", "/api/v1/api-keys", models.ApiKeyPage, query={"limit": limit, "cursor": cursor}
        )

    def create_api_key(
        self, body: models.ApiKeyCreate, *, idempotency_key: str | None = None
    ) -> models.ApiKeySecretOut:
        """Create an API key; the key is shown this once."""
        return self.connection.ask(
            "POST",
            "/api/v1/api-keys",
            models.ApiKeySecretOut,
            body=body,
            headers={"Idempotency-Key": idempotency_key or fresh_key()},
        )

    def revoke_api_key(self, key_id: str) -> None:
        """Revoke an API key; it stops working at once."""
        self.connection.tell("DELETE", f"/api/v1/api-keys/{uuid_segment(key_id)}")

    def change_api_key(self, key_id: str, body: models.ApiKeyPut) -> models.ApiKeyOut:
        """Give an API key another name, role and bounds, at once."""
        return self.connection.ask(
            "PUT", f"/api/v1/api-keys/{uuid_segment(key_id)}", models.ApiKeyOut, body=body
        )

    def list_audit(
        self,
        *,
        limit: int | None = None,
        cursor: str | None = None,
        q: str | None = None,
        action: str | None = None,
        actor: str | None = None,
        target: str | None = None,
        request_id: str | None = None,
        workflow: str | None = None,
        execution: str | None = None,
        created_after: datetime | None = None,
        created_before: datetime | None = None,
    ) -> models.AuditPage:
        """Search the tenant's acts, newest first."""
        return self.connection.ask(
            "GET",
            "/api/v1/audit",
            models.AuditPage,
            query={
                "limit": limit,
                "cursor": cursor,
                "q": q,
                "action": action,
                "actor": actor,
                "target": target,
                "request_id": request_id,
                "workflow": workflow,
                "execution": execution,
                "created_after": created_after,
                "created_before": created_before,
            },
        )

    def list_audit_exports(
        self, *, limit: int | None = None, cursor: str | None = None
    ) -> models.ExportPage:
        """List the files of the tenant's trail that there are or will be, newest first."""
        return self.connection.ask(
            "GET",
            "/api/v1/audit-exports",
            models.ExportPage,
            query={"limit": limit, "cursor": cursor},
        )

    def start_audit_export(
        self, body: models.ExportCreate, *, idempotency_key: str | None = None
    ) -> models.ExportOut:
        """Have a file made of the tenant's records, oldest first; a job makes it."""
        return self.connection.ask(
            "POST",
            "/api/v1/audit-exports",
            models.ExportOut,
            body=body,
            headers={"Idempotency-Key": idempotency_key or fresh_key()},
        )

    def delete_audit_export(self, export_id: str) -> None:
        """Forget a file of the tenant's trail, whether it is ready or being made."""
        self.connection.tell("DELETE", f"/api/v1/audit-exports/{uuid_segment(export_id)}")

    def get_audit_export(self, export_id: str) -> models.ExportOut:
        """Get one export of the tenant's trail: how far it is."""
        return self.connection.ask(
            "GET", f"/api/v1/audit-exports/{uuid_segment(export_id)}", models.ExportOut
        )

    def download_audit_export(self, export_id: str) -> Download:
        """Download a file of the tenant's trail; that it was is on record."""
        return self.connection.download(
            "GET", f"/api/v1/audit-exports/{uuid_segment(export_id)}/file"
        )

    def get_audit_retention(self) -> models.AuditRetentionOut:
        """Get how long the tenant's trail is kept, and up to which number it was let go."""
        return self.connection.ask("GET", "/api/v1/audit-retention", models.AuditRetentionOut)

    def put_audit_retention(self, body: models.AuditRetentionPut) -> models.AuditRetentionOut:
        """Keep the tenant's trail for so many days; null keeps it for ever."""
        return self.connection.ask(
            "PUT", "/api/v1/audit-retention", models.AuditRetentionOut, body=body
        )

    def delete_audit_stream(self) -> None:
        """Push the tenant's trail nowhere any more; where it was is forgotten."""
        self.connection.tell("DELETE", "/api/v1/audit-stream")

    def get_audit_stream(self) -> models.StreamOut:
        """Get where the tenant's trail is pushed to, and how far behind it is."""
        return self.connection.ask("GET", "/api/v1/audit-stream", models.StreamOut)

    def put_audit_stream(self, body: models.StreamPut) -> models.StreamSavedOut:
        """Push the tenant's trail to a webhook or a syslog receiver."""
        return self.connection.ask("PUT", "/api/v1/audit-stream", models.StreamSavedOut, body=body)

    def list_audit_checkpoints(
        self, *, limit: int | None = None, cursor: str | None = None
    ) -> models.AuditCheckpointPage:
        """List the signed states of the tree over the tenant's trail, newest first."""
        return self.connection.ask(
            "GET",
            "/api/v1/audit/checkpoints",
            models.AuditCheckpointPage,
            query={"limit": limit, "cursor": cursor},
        )

    def sign_audit_checkpoint(
        self, *, idempotency_key: str | None = None
    ) -> models.AuditCheckpointSignedOut:
        """Sign the trail as it is now, without waiting for the next time: to keep it elsewhere."""
        return self.connection.ask(
            "POST",
            "/api/v1/audit/checkpoints",
            models.AuditCheckpointSignedOut,
            headers={"Idempotency-Key": idempotency_key or fresh_key()},
        )

    def get_audit_consistency(
        self, *, old_size: int, size: int | None = None
    ) -> models.ConsistencyProofOut:
        """Prove that the tree only grew since it had a size; to that which was last signed."""
        return self.connection.ask(
            "GET",
            "/api/v1/audit/consistency",
            models.ConsistencyProofOut,
            query={"old_size": old_size, "size": size},
        )

    def count_audit(
        self,
        *,
        action: str | None = None,
        actor: str | None = None,
        target: str | None = None,
        request_id: str | None = None,
        workflow: str | None = None,
        execution: str | None = None,
        created_after: datetime | None = None,
        created_before: datetime | None = None,
    ) -> models.FacetsOut:
        """Count the tenant's acts by act, actor and time, as the filters leave them."""
        return self.connection.ask(
            "GET",
            "/api/v1/audit/facets",
            models.FacetsOut,
            query={
                "action": action,
                "actor": actor,
                "target": target,
                "request_id": request_id,
                "workflow": workflow,
                "execution": execution,
                "created_after": created_after,
                "created_before": created_before,
            },
        )

    def get_audit_key(self) -> models.AuditKeyOut:
        """Show the public key that the tenant's checkpoints are verified with."""
        return self.connection.ask("GET", "/api/v1/audit/key", models.AuditKeyOut)

    def get_audit_proof(
        self, record_id: str, *, size: int | None = None
    ) -> models.InclusionProofOut:
        """Prove that a record is in the tree: of this size, or as it was last signed."""
        return self.connection.ask(
            "GET",
            f"/api/v1/audit/records/{uuid_segment(record_id)}/proof",
            models.InclusionProofOut,
            query={"size": size},
        )

    def list_audit_verifications(
        self, *, limit: int | None = None, cursor: str | None = None
    ) -> models.AuditVerificationPage:
        """List the looks at the tenant's trail, newest first."""
        return self.connection.ask(
            "GET",
            "/api/v1/audit/verifications",
            models.AuditVerificationPage,
            query={"limit": limit, "cursor": cursor},
        )

    def start_audit_verification(
        self, body: models.AuditVerificationCreate, *, idempotency_key: str | None = None
    ) -> models.AuditVerificationOut:
        """Have a worker look at the whole trail, whatever its length, and see how far it is."""
        return self.connection.ask(
            "POST",
            "/api/v1/audit/verifications",
            models.AuditVerificationOut,
            body=body,
            headers={"Idempotency-Key": idempotency_key or fresh_key()},
        )

    def get_audit_verification(self, verification_id: str) -> models.AuditVerificationOut:
        """Show a look at the trail: how far it is, and what was found."""
        return self.connection.ask(
            "GET",
            f"/api/v1/audit/verifications/{uuid_segment(verification_id)}",
            models.AuditVerificationOut,
        )

    def verify_audit(self, *, idempotency_key: str | None = None) -> models.ChainReportOut:
        """Recompute the tenant's chain and say where it first fails, if it does."""
        return self.connection.ask(
            "POST",
            "/api/v1/audit/verify",
            models.ChainReportOut,
            headers={"Idempotency-Key": idempotency_key or fresh_key()},
        )

    def list_clients(
        self, *, limit: int | None = None, cursor: str | None = None
    ) -> models.ClientPage:
        """List the tenant's OAuth clients, newest first."""
        return self.connection.ask(
            "GET", "/api/v1/clients", models.ClientPage, query={"limit": limit, "cursor": cursor}
        )

    def create_client(
        self, body: models.ClientCreate, *, idempotency_key: str | None = None
    ) -> models.ClientSecretOut:
        """Create an OAuth client; its secret is shown this once."""
        return self.connection.ask(
            "POST",
            "/api/v1/clients",
            models.ClientSecretOut,
            body=body,
            headers={"Idempotency-Key": idempotency_key or fresh_key()},
        )

    def delete_client(self, client_row_id: str) -> None:
        """Delete a client; its tokens stop working at once."""
        self.connection.tell("DELETE", f"/api/v1/clients/{uuid_segment(client_row_id)}")

    def change_client(self, client_row_id: str, body: models.ClientPut) -> models.ClientOut:
        """Give a client another name, role and bounds; running tokens are held to them at once."""
        return self.connection.ask(
            "PUT", f"/api/v1/clients/{uuid_segment(client_row_id)}", models.ClientOut, body=body
        )

    def rotate_client(
        self, client_row_id: str, *, idempotency_key: str | None = None
    ) -> models.ClientSecretOut:
        """Give a client a new secret; the old one is void at once."""
        return self.connection.ask(
            "POST",
            f"/api/v1/clients/{uuid_segment(client_row_id)}/rotate",
            models.ClientSecretOut,
            headers={"Idempotency-Key": idempotency_key or fresh_key()},
        )

    def list_dashboard_templates(self) -> models.DashboardTemplatesOut:
        """List the dashboards that ship; to change one, make a dashboard of what is on it."""
        return self.connection.ask(
            "GET", "/api/v1/dashboard-templates", models.DashboardTemplatesOut
        )

    def get_dashboard_template(self, key: str) -> models.DashboardTemplateOut:
        """Get one of the dashboards that ship."""
        return self.connection.ask(
            "GET", f"/api/v1/dashboard-templates/{segment(key)}", models.DashboardTemplateOut
        )

    def list_dashboards(
        self, *, limit: int | None = None, cursor: str | None = None
    ) -> models.DashboardPage:
        """List the tenant's and one's own dashboards, newest first."""
        return self.connection.ask(
            "GET",
            "/api/v1/dashboards",
            models.DashboardPage,
            query={"limit": limit, "cursor": cursor},
        )

    def create_dashboard(
        self, body: models.DashboardCreate, *, idempotency_key: str | None = None
    ) -> models.DashboardDetailOut:
        """Make one of the tenant's and one's own dashboards."""
        return self.connection.ask(
            "POST",
            "/api/v1/dashboards",
            models.DashboardDetailOut,
            body=body,
            headers={"Idempotency-Key": idempotency_key or fresh_key()},
        )

    def import_dashboard(
        self, body: models.DashboardImport, *, idempotency_key: str | None = None
    ) -> models.DashboardDetailOut:
        """Make one of the tenant's and one's own dashboards from an exported file."""
        return self.connection.ask(
            "POST",
            "/api/v1/dashboards/import",
            models.DashboardDetailOut,
            body=body,
            headers={"Idempotency-Key": idempotency_key or fresh_key()},
        )

    def delete_dashboard(self, dashboard_id: str, *, if_match: str | None = None) -> None:
        """Delete one of the tenant's and one's own dashboards with its versions."""
        self.connection.tell(
            "DELETE",
            f"/api/v1/dashboards/{uuid_segment(dashboard_id)}",
            headers={"If-Match": if_match},
        )

    def get_dashboard(self, dashboard_id: str) -> Tagged[models.DashboardDetailOut]:
        """Get one of the tenant's and one's own dashboards.

        The ETag goes into If-Match.
        """
        return self.connection.ask_tagged(
            "GET", f"/api/v1/dashboards/{uuid_segment(dashboard_id)}", models.DashboardDetailOut
        )

    def put_dashboard(
        self, dashboard_id: str, body: models.DashboardPut, *, if_match: str | None = None
    ) -> Tagged[models.DashboardDetailOut]:
        """Save another version of one of the tenant's and one's own dashboards."""
        return self.connection.ask_tagged(
            "PUT",
            f"/api/v1/dashboards/{uuid_segment(dashboard_id)}",
            models.DashboardDetailOut,
            body=body,
            headers={"If-Match": if_match},
        )

    def export_dashboard(self, dashboard_id: str) -> models.DashboardDocument:
        """Get one of the tenant's and one's own dashboards as a file."""
        return self.connection.ask(
            "GET",
            f"/api/v1/dashboards/{uuid_segment(dashboard_id)}/export",
            models.DashboardDocument,
        )

    def list_dashboard_versions(self, dashboard_id: str) -> models.DashboardVersionsOut:
        """List versions of one of the tenant's and one's own dashboards."""
        return self.connection.ask(
            "GET",
            f"/api/v1/dashboards/{uuid_segment(dashboard_id)}/versions",
            models.DashboardVersionsOut,
        )

    def get_dashboard_version(
        self, dashboard_id: str, version: str
    ) -> models.DashboardVersionDetailOut:
        """Get what one of the tenant's and one's own dashboards was at a version."""
        return self.connection.ask(
            "GET",
            f"/api/v1/dashboards/{uuid_segment(dashboard_id)}/versions/{segment(version)}",
            models.DashboardVersionDetailOut,
        )

    def restore_dashboard_version(
        self,
        dashboard_id: str,
        version: str,
        *,
        if_match: str | None = None,
        idempotency_key: str | None = None,
    ) -> Tagged[models.DashboardDetailOut]:
        """Save what one of the tenant's and one's own dashboards was as its newest version."""
        return self.connection.ask_tagged(
            "POST",
            f"/api/v1/dashboards/{uuid_segment(dashboard_id)}/versions/{segment(version)}/restore",
            models.DashboardDetailOut,
            headers={"If-Match": if_match, "Idempotency-Key": idempotency_key or fresh_key()},
        )

    def list_data_keys(self) -> models.DataKeyListOut:
        """List the versions of the tenant's data key, oldest first."""
        return self.connection.ask("GET", "/api/v1/data-keys", models.DataKeyListOut)

    def get_retirement_key(self) -> models.RetirementKeyOut:
        """Get the public key that checks the signatures of retirement records."""
        return self.connection.ask(
            "GET", "/api/v1/data-keys/retirement-key", models.RetirementKeyOut
        )

    def list_data_key_retirements(
        self, *, limit: int | None = None, cursor: str | None = None
    ) -> models.RetirementPage:
        """List the signed records of data keys that were destroyed, newest first."""
        return self.connection.ask(
            "GET",
            "/api/v1/data-keys/retirements",
            models.RetirementPage,
            query={"limit": limit, "cursor": cursor},
        )

    def rotate_data_key(self, *, idempotency_key: str | None = None) -> models.DataKeyVersionOut:
        """Replace the data key, and seal everything anew with the next version."""
        return self.connection.ask(
            "POST",
            "/api/v1/data-keys/rotate",
            models.DataKeyVersionOut,
            headers={"Idempotency-Key": idempotency_key or fresh_key()},
        )

    def list_relays(
        self, *, limit: int | None = None, cursor: str | None = None
    ) -> models.EmailRelayPage:
        """List the named relays by name."""
        return self.connection.ask(
            "GET",
            "/api/v1/email-relays",
            models.EmailRelayPage,
            query={"limit": limit, "cursor": cursor},
        )

    def delete_relay(self, name: str) -> None:
        """Delete a named relay by which no message is on its way."""
        self.connection.tell("DELETE", f"/api/v1/email-relays/{segment(name)}")

    def get_relay(self, name: str) -> Tagged[models.EmailRelayOut]:
        """Get one named relay.

        The ETag goes into If-Match when changing it.
        """
        return self.connection.ask_tagged(
            "GET", f"/api/v1/email-relays/{segment(name)}", models.EmailRelayOut
        )

    def put_relay(
        self, name: str, body: models.EmailRelayPut, *, if_match: str | None = None
    ) -> Tagged[models.EmailRelayOut]:
        """Make or replace a mail server that messages may name."""
        return self.connection.ask_tagged(
            "PUT",
            f"/api/v1/email-relays/{segment(name)}",
            models.EmailRelayOut,
            body=body,
            headers={"If-Match": if_match},
        )

    def resume_named_relay(
        self, name: str, *, idempotency_key: str | None = None
    ) -> models.EmailRelayOut:
        """End the pauses of a named relay, and try what waits for it."""
        return self.connection.ask(
            "POST",
            f"/api/v1/email-relays/{segment(name)}/resume",
            models.EmailRelayOut,
            headers={"Idempotency-Key": idempotency_key or fresh_key()},
        )

    def test_relay(self, name: str, *, idempotency_key: str | None = None) -> models.RelayTestOut:
        """Connect to a named relay, greet it and log in, without sending anything."""
        return self.connection.ask(
            "POST",
            f"/api/v1/email-relays/{segment(name)}/test",
            models.RelayTestOut,
            headers={"Idempotency-Key": idempotency_key or fresh_key()},
        )

    def get_settings(self) -> Tagged[models.EmailSettingsOut]:
        """Get how the tenant sends.

        The ETag goes into If-Match when changing it.
        """
        return self.connection.ask_tagged("GET", "/api/v1/email-settings", models.EmailSettingsOut)

    def put_settings(
        self, body: models.EmailSettingsPut, *, if_match: str | None = None
    ) -> Tagged[models.EmailSettingsOut]:
        """Replace how the tenant sends."""
        return self.connection.ask_tagged(
            "PUT",
            "/api/v1/email-settings",
            models.EmailSettingsOut,
            body=body,
            headers={"If-Match": if_match},
        )

    def resume_relay(self, *, idempotency_key: str | None = None) -> models.RelayOut:
        """End the pauses of the mail server that the tenant's mail goes to, and try what waits."""
        return self.connection.ask(
            "POST",
            "/api/v1/email-settings/relay/resume",
            models.RelayOut,
            headers={"Idempotency-Key": idempotency_key or fresh_key()},
        )

    def test_settings(
        self, body: models.EmailTestCreate, *, idempotency_key: str | None = None
    ) -> models.EmailTestOut:
        """Hand a test message to the mail server, now, and tell every step of it."""
        return self.connection.ask(
            "POST",
            "/api/v1/email-settings/test",
            models.EmailTestOut,
            body=body,
            headers={"Idempotency-Key": idempotency_key or fresh_key()},
            answer_seconds=65,
        )

    def list_templates(
        self, *, limit: int | None = None, cursor: str | None = None
    ) -> models.TemplatePage:
        """List the templates by name."""
        return self.connection.ask(
            "GET",
            "/api/v1/email-templates",
            models.TemplatePage,
            query={"limit": limit, "cursor": cursor},
        )

    def preview_template(self, body: models.TemplatePreviewCreate) -> models.TemplatePreviewOut:
        """Fill in a template that need not be saved, and name its variables.

        Nothing is kept of it.
        """
        return self.connection.ask(
            "POST", "/api/v1/email-templates/preview", models.TemplatePreviewOut, body=body
        )

    def delete_template(self, name: str) -> None:
        """Delete a template."""
        self.connection.tell("DELETE", f"/api/v1/email-templates/{segment(name)}")

    def get_template(self, name: str) -> Tagged[models.TemplateOut]:
        """Get one template.

        The ETag goes into If-Match when changing it.
        """
        return self.connection.ask_tagged(
            "GET", f"/api/v1/email-templates/{segment(name)}", models.TemplateOut
        )

    def put_template(
        self, name: str, body: models.TemplatePut, *, if_match: str | None = None
    ) -> Tagged[models.TemplateOut]:
        """Create or replace a template; it must compile in the sandbox."""
        return self.connection.ask_tagged(
            "PUT",
            f"/api/v1/email-templates/{segment(name)}",
            models.TemplateOut,
            body=body,
            headers={"If-Match": if_match},
        )

    def list_emails(
        self,
        *,
        state: str | None = None,
        recipient: str | None = None,
        business_key: str | None = None,
        created_after: datetime | None = None,
        created_before: datetime | None = None,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> models.EmailPage:
        """List messages, newest first."""
        return self.connection.ask(
            "GET",
            "/api/v1/emails",
            models.EmailPage,
            query={
                "state": state,
                "recipient": recipient,
                "business_key": business_key,
                "created_after": created_after,
                "created_before": created_before,
                "limit": limit,
                "cursor": cursor,
            },
        )

    def send_email(
        self, body: models.EmailCreate, *, idempotency_key: str | None = None
    ) -> models.SubmittedOut:
        """Accept a message for delivery.

        It is durable when this answers.
        """
        return self.connection.ask(
            "POST",
            "/api/v1/emails",
            models.SubmittedOut,
            body=body,
            headers={"Idempotency-Key": idempotency_key or fresh_key()},
        )

    def send_batch(
        self, body: models.BatchCreate, *, idempotency_key: str | None = None
    ) -> models.BatchOut:
        """Accept up to 500 messages, all or none."""
        return self.connection.ask(
            "POST",
            "/api/v1/emails/batch",
            models.BatchOut,
            body=body,
            headers={"Idempotency-Key": idempotency_key or fresh_key()},
        )

    def get_email(self, email_id: str) -> models.EmailDetail:
        """Get one message with its recipients and its way."""
        return self.connection.ask(
            "GET", f"/api/v1/emails/{uuid_segment(email_id)}", models.EmailDetail
        )

    def read_content(self, email_id: str) -> models.ContentOut:
        """Read what the author wrote.

        Reading is audited.
        """
        return self.connection.ask(
            "GET", f"/api/v1/emails/{uuid_segment(email_id)}/content", models.ContentOut
        )

    def beat(self, body: models.HeartbeatCreate, *, idempotency_key: str | None = None) -> None:
        """Let a signal come that an alert rule waits for."""
        self.connection.tell(
            "POST",
            "/api/v1/heartbeats",
            body=body,
            headers={"Idempotency-Key": idempotency_key or fresh_key()},
        )

    def list_identity_providers(
        self, *, limit: int | None = None, cursor: str | None = None
    ) -> models.IdentityProviderPage:
        """List the tenant's identity providers, newest first."""
        return self.connection.ask(
            "GET",
            "/api/v1/identity-providers",
            models.IdentityProviderPage,
            query={"limit": limit, "cursor": cursor},
        )

    def create_identity_provider(
        self, body: models.IdentityProviderCreate, *, idempotency_key: str | None = None
    ) -> models.IdentityProviderOut:
        """Let people sign in with the tenant's own OpenID provider."""
        return self.connection.ask(
            "POST",
            "/api/v1/identity-providers",
            models.IdentityProviderOut,
            body=body,
            headers={"Idempotency-Key": idempotency_key or fresh_key()},
        )

    def delete_identity_provider(self, provider_id: str) -> None:
        """Forget an identity provider; log-ins through it end, memberships stay."""
        self.connection.tell("DELETE", f"/api/v1/identity-providers/{uuid_segment(provider_id)}")

    def get_identity_provider(self, provider_id: str) -> models.IdentityProviderOut:
        """Get one identity provider, and how to prove its domain."""
        return self.connection.ask(
            "GET",
            f"/api/v1/identity-providers/{uuid_segment(provider_id)}",
            models.IdentityProviderOut,
        )

    def put_identity_provider(
        self, provider_id: str, body: models.IdentityProviderPut
    ) -> models.IdentityProviderOut:
        """Replace what is said of an identity provider; another domain has to be proven anew."""
        return self.connection.ask(
            "PUT",
            f"/api/v1/identity-providers/{uuid_segment(provider_id)}",
            models.IdentityProviderOut,
            body=body,
        )

    def check_identity_provider(
        self, provider_id: str, *, idempotency_key: str | None = None
    ) -> models.IdentityProviderCheck:
        """Ask the provider what it can, and say what is missing."""
        return self.connection.ask(
            "POST",
            f"/api/v1/identity-providers/{uuid_segment(provider_id)}/check",
            models.IdentityProviderCheck,
            headers={"Idempotency-Key": idempotency_key or fresh_key()},
        )

    def prove_domain(
        self, provider_id: str, *, idempotency_key: str | None = None
    ) -> models.IdentityProviderCheck:
        """Look into the DNS for the record that says the mail domain is the tenant's."""
        return self.connection.ask(
            "POST",
            f"/api/v1/identity-providers/{uuid_segment(provider_id)}/prove-domain",
            models.IdentityProviderCheck,
            headers={"Idempotency-Key": idempotency_key or fresh_key()},
        )

    def list_incidents(
        self, *, state: str | None = None, limit: int | None = None, cursor: str | None = None
    ) -> models.AlertIncidentPage:
        """List incidents, the newest first."""
        return self.connection.ask(
            "GET",
            "/api/v1/incidents",
            models.AlertIncidentPage,
            query={"state": state, "limit": limit, "cursor": cursor},
        )

    def create_incident(
        self, body: models.IncidentPost, *, idempotency_key: str | None = None
    ) -> models.AlertIncidentOut:
        """Open an incident by hand; it is over when somebody says so."""
        return self.connection.ask(
            "POST",
            "/api/v1/incidents",
            models.AlertIncidentOut,
            body=body,
            headers={"Idempotency-Key": idempotency_key or fresh_key()},
        )

    def get_incident(self, incident_id: str) -> Tagged[models.IncidentDetailOut]:
        """Get an incident with its alerts and its timeline.

        The ETag goes into If-Match.
        """
        return self.connection.ask_tagged(
            "GET", f"/api/v1/incidents/{uuid_segment(incident_id)}", models.IncidentDetailOut
        )

    def put_incident(
        self, incident_id: str, body: models.IncidentPut, *, if_match: str | None = None
    ) -> Tagged[models.AlertIncidentOut]:
        """Say something else of an incident; what was learned is written when it is over."""
        return self.connection.ask_tagged(
            "PUT",
            f"/api/v1/incidents/{uuid_segment(incident_id)}",
            models.AlertIncidentOut,
            body=body,
            headers={"If-Match": if_match},
        )

    def acknowledge_incident(
        self, incident_id: str, *, idempotency_key: str | None = None
    ) -> models.AlertIncidentOut:
        """Say of all alerts of an incident that somebody sees to them; of five hundred at most."""
        return self.connection.ask(
            "POST",
            f"/api/v1/incidents/{uuid_segment(incident_id)}/acknowledge",
            models.AlertIncidentOut,
            headers={"Idempotency-Key": idempotency_key or fresh_key()},
        )

    def add_incident_alerts(
        self, incident_id: str, body: models.IncidentAlerts, *, idempotency_key: str | None = None
    ) -> models.AlertIncidentOut:
        """Make alerts part of an incident that are part of none, or of another one."""
        return self.connection.ask(
            "POST",
            f"/api/v1/incidents/{uuid_segment(incident_id)}/alerts",
            models.AlertIncidentOut,
            body=body,
            headers={"Idempotency-Key": idempotency_key or fresh_key()},
        )

    def comment_incident(
        self,
        incident_id: str,
        body: models.AlertCommentCreate,
        *,
        idempotency_key: str | None = None,
    ) -> None:
        """Write something down with an incident."""
        self.connection.tell(
            "POST",
            f"/api/v1/incidents/{uuid_segment(incident_id)}/comments",
            body=body,
            headers={"Idempotency-Key": idempotency_key or fresh_key()},
        )

    def resolve_incident(
        self, incident_id: str, body: models.AlertAct, *, idempotency_key: str | None = None
    ) -> models.AlertIncidentOut:
        """End an incident; its alerts go on."""
        return self.connection.ask(
            "POST",
            f"/api/v1/incidents/{uuid_segment(incident_id)}/resolve",
            models.AlertIncidentOut,
            body=body,
            headers={"Idempotency-Key": idempotency_key or fresh_key()},
        )

    def list_invitations(
        self, *, limit: int | None = None, cursor: str | None = None
    ) -> models.InvitationPage:
        """List the tenant's invitations, newest first, for 90 days after they ended."""
        return self.connection.ask(
            "GET",
            "/api/v1/invitations",
            models.InvitationPage,
            query={"limit": limit, "cursor": cursor},
        )

    def create_invitation(
        self, body: models.InvitationCreate, *, idempotency_key: str | None = None
    ) -> models.InvitationLinkOut:
        """Invite a person by e-mail; they become a member when they accept."""
        return self.connection.ask(
            "POST",
            "/api/v1/invitations",
            models.InvitationLinkOut,
            body=body,
            headers={"Idempotency-Key": idempotency_key or fresh_key()},
        )

    def revoke_invitation(self, invitation_id: str) -> None:
        """Take an invitation back; its link is void at once."""
        self.connection.tell("DELETE", f"/api/v1/invitations/{uuid_segment(invitation_id)}")

    def resend_invitation(
        self, invitation_id: str, *, idempotency_key: str | None = None
    ) -> models.InvitationLinkOut:
        """Give an invitation a new link and its time again; the old link is void."""
        return self.connection.ask(
            "POST",
            f"/api/v1/invitations/{uuid_segment(invitation_id)}/resend",
            models.InvitationLinkOut,
            headers={"Idempotency-Key": idempotency_key or fresh_key()},
        )

    def list_job_graphs(
        self, *, state: str | None = None, limit: int | None = None, cursor: str | None = None
    ) -> models.GraphPage:
        """List graphs of jobs, newest first."""
        return self.connection.ask(
            "GET",
            "/api/v1/job-graphs",
            models.GraphPage,
            query={"state": state, "limit": limit, "cursor": cursor},
        )

    def create_job_graph(
        self, body: models.GraphCreate, *, idempotency_key: str | None = None
    ) -> models.GraphOut:
        """Submit jobs that wait for each other; all of them, or none."""
        return self.connection.ask(
            "POST",
            "/api/v1/job-graphs",
            models.GraphOut,
            body=body,
            headers={"Idempotency-Key": idempotency_key or fresh_key()},
        )

    def get_job_graph(self, graph_id: str) -> models.GraphOut:
        """Get one graph and how far it is."""
        return self.connection.ask(
            "GET", f"/api/v1/job-graphs/{uuid_segment(graph_id)}", models.GraphOut
        )

    def cancel_job_graph(
        self, graph_id: str, *, idempotency_key: str | None = None
    ) -> models.GraphOut:
        """Cancel what waits at once, and ask what runs to stop."""
        return self.connection.ask(
            "POST",
            f"/api/v1/job-graphs/{uuid_segment(graph_id)}/cancel",
            models.GraphOut,
            headers={"Idempotency-Key": idempotency_key or fresh_key()},
        )

    def get_job_graph_outline(self, graph_id: str) -> models.GraphOutlineOut:
        """Get who waits for whom in a graph, with what is alike in one box if there are many."""
        return self.connection.ask(
            "GET", f"/api/v1/job-graphs/{uuid_segment(graph_id)}/outline", models.GraphOutlineOut
        )

    def pause_job_graph(
        self, graph_id: str, *, idempotency_key: str | None = None
    ) -> models.GraphOut:
        """Start no more of a graph's jobs; those that run go on."""
        return self.connection.ask(
            "POST",
            f"/api/v1/job-graphs/{uuid_segment(graph_id)}/pause",
            models.GraphOut,
            headers={"Idempotency-Key": idempotency_key or fresh_key()},
        )

    def resume_job_graph(
        self, graph_id: str, *, idempotency_key: str | None = None
    ) -> models.GraphOut:
        """Go on with a graph that was paused."""
        return self.connection.ask(
            "POST",
            f"/api/v1/job-graphs/{uuid_segment(graph_id)}/resume",
            models.GraphOut,
            headers={"Idempotency-Key": idempotency_key or fresh_key()},
        )

    def retry_job_graph(
        self, graph_id: str, body: models.GraphRetry, *, idempotency_key: str | None = None
    ) -> models.GraphOut:
        """Start again what did not succeed, or one job and what waits for it."""
        return self.connection.ask(
            "POST",
            f"/api/v1/job-graphs/{uuid_segment(graph_id)}/retry",
            models.GraphOut,
            body=body,
            headers={"Idempotency-Key": idempotency_key or fresh_key()},
        )

    def list_job_graph_tasks(
        self,
        graph_id: str,
        *,
        state: str | None = None,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> models.GraphTaskPage:
        """List a graph's jobs, in the order in which they were handed in."""
        return self.connection.ask(
            "GET",
            f"/api/v1/job-graphs/{uuid_segment(graph_id)}/tasks",
            models.GraphTaskPage,
            query={"state": state, "limit": limit, "cursor": cursor},
        )

    def list_job_kinds(self) -> models.JobKindsOut:
        """List the kinds of jobs that may be submitted, each with what it takes."""
        return self.connection.ask("GET", "/api/v1/job-kinds", models.JobKindsOut)

    def list_job_schedules(
        self, *, limit: int | None = None, cursor: str | None = None
    ) -> models.JobSchedulePage:
        """List schedules, newest first."""
        return self.connection.ask(
            "GET",
            "/api/v1/job-schedules",
            models.JobSchedulePage,
            query={"limit": limit, "cursor": cursor},
        )

    def create_job_schedule(
        self, body: models.JobSchedulePut, *, idempotency_key: str | None = None
    ) -> models.JobScheduleOut:
        """Have jobs submitted again and again, or once at a time to come."""
        return self.connection.ask(
            "POST",
            "/api/v1/job-schedules",
            models.JobScheduleOut,
            body=body,
            headers={"Idempotency-Key": idempotency_key or fresh_key()},
        )

    def preview_job_schedule(self, body: models.JobSchedulePreview) -> models.JobSchedulePreviewOut:
        """Say when a timing would be due, and when clocks change next; nothing is kept."""
        return self.connection.ask(
            "POST", "/api/v1/job-schedules/preview", models.JobSchedulePreviewOut, body=body
        )

    def delete_job_schedule(self, schedule_id: str, *, if_match: str | None = None) -> None:
        """Remove a schedule; what it has submitted goes on."""
        self.connection.tell(
            "DELETE",
            f"/api/v1/job-schedules/{uuid_segment(schedule_id)}",
            headers={"If-Match": if_match},
        )

    def get_job_schedule(self, schedule_id: str) -> Tagged[models.JobScheduleOut]:
        """Get one schedule.

        The ETag goes into If-Match.
        """
        return self.connection.ask_tagged(
            "GET", f"/api/v1/job-schedules/{uuid_segment(schedule_id)}", models.JobScheduleOut
        )

    def put_job_schedule(
        self, schedule_id: str, body: models.JobSchedulePut, *, if_match: str | None = None
    ) -> Tagged[models.JobScheduleOut]:
        """Change a schedule; it is due by what it says now, from now on."""
        return self.connection.ask_tagged(
            "PUT",
            f"/api/v1/job-schedules/{uuid_segment(schedule_id)}",
            models.JobScheduleOut,
            body=body,
            headers={"If-Match": if_match},
        )

    def backfill_job_schedule(
        self,
        schedule_id: str,
        body: models.JobScheduleBackfill,
        *,
        idempotency_key: str | None = None,
    ) -> models.JobScheduleBackfillOut:
        """Run every time of a past stretch that did not, a hundred at most, all at once."""
        return self.connection.ask(
            "POST",
            f"/api/v1/job-schedules/{uuid_segment(schedule_id)}/backfill",
            models.JobScheduleBackfillOut,
            body=body,
            headers={"Idempotency-Key": idempotency_key or fresh_key()},
        )

    def list_job_schedule_firings(
        self, schedule_id: str, *, since: datetime | None = None, until: datetime | None = None
    ) -> models.JobFiringsOut:
        """Say what became of the times of a stretch, the newest first; a thousand at most."""
        return self.connection.ask(
            "GET",
            f"/api/v1/job-schedules/{uuid_segment(schedule_id)}/firings",
            models.JobFiringsOut,
            query={"since": since, "until": until},
        )

    def pause_job_schedule(
        self, schedule_id: str, *, idempotency_key: str | None = None
    ) -> models.JobScheduleOut:
        """Submit nothing more until it is resumed; what it has submitted goes on."""
        return self.connection.ask(
            "POST",
            f"/api/v1/job-schedules/{uuid_segment(schedule_id)}/pause",
            models.JobScheduleOut,
            headers={"Idempotency-Key": idempotency_key or fresh_key()},
        )

    def resume_job_schedule(
        self, schedule_id: str, *, idempotency_key: str | None = None
    ) -> models.JobScheduleOut:
        """Go on from now; the times that passed while it was paused are nobody's."""
        return self.connection.ask(
            "POST",
            f"/api/v1/job-schedules/{uuid_segment(schedule_id)}/resume",
            models.JobScheduleOut,
            headers={"Idempotency-Key": idempotency_key or fresh_key()},
        )

    def run_job_schedule(
        self, schedule_id: str, *, idempotency_key: str | None = None
    ) -> models.JobScheduleRunOut:
        """Submit what it submits once more, whatever its timing says."""
        return self.connection.ask(
            "POST",
            f"/api/v1/job-schedules/{uuid_segment(schedule_id)}/run",
            models.JobScheduleRunOut,
            headers={"Idempotency-Key": idempotency_key or fresh_key()},
        )

    def list_jobs(
        self,
        *,
        state: str | None = None,
        kind: str | None = None,
        subject: str | None = None,
        graph_id: str | None = None,
        created_after: datetime | None = None,
        created_before: datetime | None = None,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> models.JobPage:
        """List jobs, newest first."""
        return self.connection.ask(
            "GET",
            "/api/v1/jobs",
            models.JobPage,
            query={
                "state": state,
                "kind": kind,
                "subject": subject,
                "graph_id": graph_id,
                "created_after": created_after,
                "created_before": created_before,
                "limit": limit,
                "cursor": cursor,
            },
        )

    def create_job(
        self, body: models.JobCreate, *, idempotency_key: str | None = None
    ) -> models.JobOut:
        """Submit one job of a kind that `GET /api/v1/job-kinds` lists."""
        return self.connection.ask(
            "POST",
            "/api/v1/jobs",
            models.JobOut,
            body=body,
            headers={"Idempotency-Key": idempotency_key or fresh_key()},
        )

    def cancel_jobs(
        self, body: models.JobsCancel, *, idempotency_key: str | None = None
    ) -> models.JobsCancelledOut:
        """Cancel a part of the jobs that wait or run."""
        return self.connection.ask(
            "POST",
            "/api/v1/jobs/cancel",
            models.JobsCancelledOut,
            body=body,
            headers={"Idempotency-Key": idempotency_key or fresh_key()},
        )

    def retry_jobs(
        self, body: models.JobsRetry, *, idempotency_key: str | None = None
    ) -> models.JobsRetriedOut:
        """Start a part of the dead or the cancelled jobs again, each with all its attempts."""
        return self.connection.ask(
            "POST",
            "/api/v1/jobs/retry",
            models.JobsRetriedOut,
            body=body,
            headers={"Idempotency-Key": idempotency_key or fresh_key()},
        )

    def count_jobs(self) -> models.JobTotalsOut:
        """Count jobs by kind and state, and say why the newest dead ones died."""
        return self.connection.ask("GET", "/api/v1/jobs/totals", models.JobTotalsOut)

    def get_job(self, job_id: str) -> models.JobOut:
        """Get one job."""
        return self.connection.ask("GET", f"/api/v1/jobs/{uuid_segment(job_id)}", models.JobOut)

    def read_job_args(self, job_id: str) -> models.JobArgsOut:
        """Read what a job is given, to start it again with something else."""
        return self.connection.ask(
            "GET", f"/api/v1/jobs/{uuid_segment(job_id)}/args", models.JobArgsOut
        )

    def list_job_attempts(self, job_id: str) -> models.JobAttemptsOut:
        """List what became of the latest attempts at a job, the newest first."""
        return self.connection.ask(
            "GET", f"/api/v1/jobs/{uuid_segment(job_id)}/attempts", models.JobAttemptsOut
        )

    def cancel_job(self, job_id: str, *, idempotency_key: str | None = None) -> models.JobOut:
        """Cancel a waiting job at once, or ask a running one to stop."""
        return self.connection.ask(
            "POST",
            f"/api/v1/jobs/{uuid_segment(job_id)}/cancel",
            models.JobOut,
            headers={"Idempotency-Key": idempotency_key or fresh_key()},
        )

    def get_job_payload(self, job_id: str) -> models.JobPayloadOut:
        """Show what a job is given, without what the tenant has hidden in its log lines."""
        return self.connection.ask(
            "GET", f"/api/v1/jobs/{uuid_segment(job_id)}/payload", models.JobPayloadOut
        )

    def retry_job(
        self,
        job_id: str,
        body: models.JobRetry | None = None,
        *,
        idempotency_key: str | None = None,
    ) -> models.JobOut:
        """Start a dead or cancelled job again with all its attempts."""
        return self.connection.ask(
            "POST",
            f"/api/v1/jobs/{uuid_segment(job_id)}/retry",
            models.JobOut,
            body=body,
            headers={"Idempotency-Key": idempotency_key or fresh_key()},
        )

    def list_keys(self, *, limit: int | None = None, cursor: str | None = None) -> models.KeyPage:
        """List the named keys, newest first."""
        return self.connection.ask(
            "GET", "/api/v1/keys", models.KeyPage, query={"limit": limit, "cursor": cursor}
        )

    def create_key(
        self, body: models.KeyCreate, *, idempotency_key: str | None = None
    ) -> models.KeyOut:
        """Make a named key with its first version."""
        return self.connection.ask(
            "POST",
            "/api/v1/keys",
            models.KeyOut,
            body=body,
            headers={"Idempotency-Key": idempotency_key or fresh_key()},
        )

    def delete_key(self, name: str, *, wait_days: int | None = None) -> Tagged[models.KeyOut]:
        """Refuse every use of a key from now on, and destroy it once the days are over."""
        return self.connection.ask_tagged(
            "DELETE", f"/api/v1/keys/{segment(name)}", models.KeyOut, query={"wait_days": wait_days}
        )

    def get_key(self, name: str) -> Tagged[models.KeyOut]:
        """Get one key.

        The ETag goes into If-Match when changing it.
        """
        return self.connection.ask_tagged("GET", f"/api/v1/keys/{segment(name)}", models.KeyOut)

    def put_key(
        self, name: str, body: models.KeyPut, *, if_match: str | None = None
    ) -> Tagged[models.KeyOut]:
        """Give a key another policy; it holds at once, everywhere."""
        return self.connection.ask_tagged(
            "PUT",
            f"/api/v1/keys/{segment(name)}",
            models.KeyOut,
            body=body,
            headers={"If-Match": if_match},
        )

    def make_data_key(self, name: str, body: models.DataKeyBody) -> models.DataKeyOut:
        """Make a data key."""
        return self.connection.ask(
            "POST", f"/api/v1/keys/{segment(name)}/data-key", models.DataKeyOut, body=body
        )

    def make_data_keys(self, name: str, body: models.DataKeyBatchIn) -> models.DataKeyBatchOut:
        """Make up to a thousand data keys."""
        return self.connection.ask(
            "POST",
            f"/api/v1/keys/{segment(name)}/data-key/batch",
            models.DataKeyBatchOut,
            body=body,
        )

    def decrypt(self, name: str, body: models.DecryptBody) -> models.DecryptOut:
        """Open a ciphertext."""
        return self.connection.ask(
            "POST", f"/api/v1/keys/{segment(name)}/decrypt", models.DecryptOut, body=body
        )

    def decrypt_batch(self, name: str, body: models.DecryptBatchIn) -> models.DecryptBatchOut:
        """Open up to a thousand ciphertexts."""
        return self.connection.ask(
            "POST", f"/api/v1/keys/{segment(name)}/decrypt/batch", models.DecryptBatchOut, body=body
        )

    def encrypt(self, name: str, body: models.EncryptBody) -> models.EncryptOut:
        """Encrypt a value."""
        return self.connection.ask(
            "POST", f"/api/v1/keys/{segment(name)}/encrypt", models.EncryptOut, body=body
        )

    def encrypt_batch(self, name: str, body: models.EncryptBatchIn) -> models.EncryptBatchOut:
        """Encrypt up to a thousand values."""
        return self.connection.ask(
            "POST", f"/api/v1/keys/{segment(name)}/encrypt/batch", models.EncryptBatchOut, body=body
        )

    def export_key(
        self, name: str, body: models.KeyExport, *, idempotency_key: str | None = None
    ) -> models.KeyExportOut:
        """Hand out the material of a version of an exportable key."""
        return self.connection.ask(
            "POST",
            f"/api/v1/keys/{segment(name)}/export",
            models.KeyExportOut,
            body=body,
            headers={"Idempotency-Key": idempotency_key or fresh_key()},
        )

    def compute_hmac(self, name: str, body: models.MessageBody) -> models.HmacOut:
        """Compute a MAC."""
        return self.connection.ask(
            "POST", f"/api/v1/keys/{segment(name)}/hmac", models.HmacOut, body=body
        )

    def compute_hmac_batch(self, name: str, body: models.HmacBatchIn) -> models.HmacBatchOut:
        """Compute up to a thousand MACs."""
        return self.connection.ask(
            "POST", f"/api/v1/keys/{segment(name)}/hmac/batch", models.HmacBatchOut, body=body
        )

    def list_key_openings(
        self, name: str, *, limit: int | None = None, cursor: str | None = None
    ) -> models.KeyOpeningPage:
        """List who opens what the key's versions made: who keeps ciphertexts under earlier ones."""
        return self.connection.ask(
            "GET",
            f"/api/v1/keys/{segment(name)}/openings",
            models.KeyOpeningPage,
            query={"limit": limit, "cursor": cursor},
        )

    def restore_key(self, name: str, *, idempotency_key: str | None = None) -> models.KeyOut:
        """Call back a key that waits for its deletion."""
        return self.connection.ask(
            "POST",
            f"/api/v1/keys/{segment(name)}/restore",
            models.KeyOut,
            headers={"Idempotency-Key": idempotency_key or fresh_key()},
        )

    def rewrap(self, name: str, body: models.RewrapBody) -> models.RewrapOut:
        """Encrypt anew with the newest version."""
        return self.connection.ask(
            "POST", f"/api/v1/keys/{segment(name)}/rewrap", models.RewrapOut, body=body
        )

    def rewrap_batch(self, name: str, body: models.RewrapBatchIn) -> models.RewrapBatchOut:
        """Rewrap up to a thousand ciphertexts."""
        return self.connection.ask(
            "POST", f"/api/v1/keys/{segment(name)}/rewrap/batch", models.RewrapBatchOut, body=body
        )

    def rotate_key(self, name: str, *, idempotency_key: str | None = None) -> models.KeyOut:
        """Make a new version of a key, which does all that is done from then on."""
        return self.connection.ask(
            "POST",
            f"/api/v1/keys/{segment(name)}/rotate",
            models.KeyOut,
            headers={"Idempotency-Key": idempotency_key or fresh_key()},
        )

    def sign(self, name: str, body: models.MessageBody) -> models.SignOut:
        """Sign a message."""
        return self.connection.ask(
            "POST", f"/api/v1/keys/{segment(name)}/sign", models.SignOut, body=body
        )

    def sign_batch(self, name: str, body: models.SignBatchIn) -> models.SignBatchOut:
        """Sign up to a thousand messages."""
        return self.connection.ask(
            "POST", f"/api/v1/keys/{segment(name)}/sign/batch", models.SignBatchOut, body=body
        )

    def verify(self, name: str, body: models.VerifyBody) -> models.VerifyOut:
        """Check a signature or a MAC."""
        return self.connection.ask(
            "POST", f"/api/v1/keys/{segment(name)}/verify", models.VerifyOut, body=body
        )

    def verify_batch(self, name: str, body: models.VerifyBatchIn) -> models.VerifyBatchOut:
        """Check up to a thousand signatures or MACs."""
        return self.connection.ask(
            "POST", f"/api/v1/keys/{segment(name)}/verify/batch", models.VerifyBatchOut, body=body
        )

    def list_key_versions(
        self, name: str, *, below: int | None = None, limit: int | None = None
    ) -> models.KeyVersionsOut:
        """List a key's versions, newest first, with the public half of those that have one."""
        return self.connection.ask(
            "GET",
            f"/api/v1/keys/{segment(name)}/versions",
            models.KeyVersionsOut,
            query={"below": below, "limit": limit},
        )

    def get_limit_usage(self) -> models.LimitUsageOut:
        """Get what holds for this tenant, and how much of it is used just now."""
        return self.connection.ask("GET", "/api/v1/limit-usage", models.LimitUsageOut)

    def list_limits(
        self, *, limit: int | None = None, cursor: str | None = None
    ) -> models.LimitPage:
        """List the limits set for this tenant, by the platform or by itself, newest first."""
        return self.connection.ask(
            "GET", "/api/v1/limits", models.LimitPage, query={"limit": limit, "cursor": cursor}
        )

    def create_limit(
        self, body: models.LimitCreate, *, idempotency_key: str | None = None
    ) -> models.LimitOut:
        """Narrow what the tenant's callers may have; it holds everywhere within a second."""
        return self.connection.ask(
            "POST",
            "/api/v1/limits",
            models.LimitOut,
            body=body,
            headers={"Idempotency-Key": idempotency_key or fresh_key()},
        )

    def delete_limit(self, limit_id: str, *, if_match: str | None = None) -> None:
        """Take a limit of the tenant's own away: the platform's holds."""
        self.connection.tell(
            "DELETE", f"/api/v1/limits/{uuid_segment(limit_id)}", headers={"If-Match": if_match}
        )

    def get_limit(self, limit_id: str) -> Tagged[models.LimitOut]:
        """Get one limit.

        The ETag goes into If-Match when changing it.
        """
        return self.connection.ask_tagged(
            "GET", f"/api/v1/limits/{uuid_segment(limit_id)}", models.LimitOut
        )

    def change_limit(
        self, limit_id: str, body: models.LimitPut, *, if_match: str | None = None
    ) -> Tagged[models.LimitOut]:
        """Replace what a limit of the tenant's own allows."""
        return self.connection.ask_tagged(
            "PUT",
            f"/api/v1/limits/{uuid_segment(limit_id)}",
            models.LimitOut,
            body=body,
            headers={"If-Match": if_match},
        )

    def get_log_export(self) -> models.LogExportOut:
        """Get how far the tenant's log lines have come on their way to Elasticsearch."""
        return self.connection.ask("GET", "/api/v1/log-export", models.LogExportOut)

    def list_log_dead_letters(
        self, *, limit: int | None = None, cursor: str | None = None
    ) -> models.DeadLetterPage:
        """List the log lines that Elasticsearch does not take, newest first, with the reasons."""
        return self.connection.ask(
            "GET",
            "/api/v1/log-export/dead-letters",
            models.DeadLetterPage,
            query={"limit": limit, "cursor": cursor},
        )

    def forget_log_dead_letters(
        self, body: models.DeadLettersSelect, *, idempotency_key: str | None = None
    ) -> models.DeadLettersOut:
        """Give up dead letters: those that are named, or the oldest thousand."""
        return self.connection.ask(
            "POST",
            "/api/v1/log-export/dead-letters/forget",
            models.DeadLettersOut,
            body=body,
            headers={"Idempotency-Key": idempotency_key or fresh_key()},
        )

    def retry_log_dead_letters(
        self, body: models.DeadLettersSelect, *, idempotency_key: str | None = None
    ) -> models.DeadLettersOut:
        """Have dead letters tried once more, when the mapping that was in the way is another."""
        return self.connection.ask(
            "POST",
            "/api/v1/log-export/dead-letters/retry",
            models.DeadLettersOut,
            body=body,
            headers={"Idempotency-Key": idempotency_key or fresh_key()},
        )

    def get_log_settings(self) -> Tagged[models.LogSettingsOut]:
        """Get how long log lines are kept and what is taken out.

        The ETag goes into If-Match.
        """
        return self.connection.ask_tagged("GET", "/api/v1/log-settings", models.LogSettingsOut)

    def put_log_settings(
        self, body: models.LogSettingsPut, *, if_match: str | None = None
    ) -> Tagged[models.LogSettingsOut]:
        """Say how long log lines are kept and what is taken out of those that come from now on."""
        return self.connection.ask_tagged(
            "PUT",
            "/api/v1/log-settings",
            models.LogSettingsOut,
            body=body,
            headers={"If-Match": if_match},
        )

    def get_login_policy(self) -> models.LoginPolicyOut:
        """Say what the tenant asks of its people's log-ins."""
        return self.connection.ask("GET", "/api/v1/login-policy", models.LoginPolicyOut)

    def put_login_policy(self, body: models.LoginPolicyPut) -> models.LoginPolicyOut:
        """Set what the tenant asks of its people's log-ins, from their next token on."""
        return self.connection.ask("PUT", "/api/v1/login-policy", models.LoginPolicyOut, body=body)

    def list_logs(
        self,
        *,
        limit: int | None = None,
        cursor: str | None = None,
        level: str | None = None,
        source: str | None = None,
        after: datetime | None = None,
        before: datetime | None = None,
        trace_id: str | None = None,
        request_id: str | None = None,
        execution_id: str | None = None,
        words: str | None = None,
    ) -> models.LogRecordPage:
        """List log lines, the latest first, by their own time."""
        return self.connection.ask(
            "GET",
            "/api/v1/logs",
            models.LogRecordPage,
            query={
                "limit": limit,
                "cursor": cursor,
                "level": level,
                "source": source,
                "after": after,
                "before": before,
                "trace_id": trace_id,
                "request_id": request_id,
                "execution_id": execution_id,
                "words": words,
            },
        )

    def write_logs(self, body: bytes, *, idempotency_key: str | None = None) -> models.LogsAccepted:
        """Keep log lines."""
        return self.connection.ask(
            "POST",
            "/api/v1/logs",
            models.LogsAccepted,
            content=body,
            media_type="application/x-ndjson",
            headers={"Idempotency-Key": idempotency_key or fresh_key()},
        )

    def find_log_patterns(
        self,
        *,
        limit: int | None = None,
        new: bool | None = None,
        level: str | None = None,
        source: str | None = None,
        after: datetime | None = None,
        before: datetime | None = None,
        trace_id: str | None = None,
        request_id: str | None = None,
        execution_id: str | None = None,
        words: str | None = None,
    ) -> models.LogPatternsOut:
        """Find what log lines have in common, and what is new of it."""
        return self.connection.ask(
            "GET",
            "/api/v1/logs/patterns",
            models.LogPatternsOut,
            query={
                "limit": limit,
                "new": new,
                "level": level,
                "source": source,
                "after": after,
                "before": before,
                "trace_id": trace_id,
                "request_id": request_id,
                "execution_id": execution_id,
                "words": words,
            },
        )

    def sum_up_logs(
        self,
        *,
        level: str | None = None,
        source: str | None = None,
        after: datetime | None = None,
        before: datetime | None = None,
        trace_id: str | None = None,
        request_id: str | None = None,
        execution_id: str | None = None,
        words: str | None = None,
    ) -> models.LogSummaryOut:
        """Count log lines by time and level, and by source, of the last hour or since `after`."""
        return self.connection.ask(
            "GET",
            "/api/v1/logs/summary",
            models.LogSummaryOut,
            query={
                "level": level,
                "source": source,
                "after": after,
                "before": before,
                "trace_id": trace_id,
                "request_id": request_id,
                "execution_id": execution_id,
                "words": words,
            },
        )

    def tail_logs(
        self,
        *,
        after_seq: int | None = None,
        limit: int | None = None,
        level: str | None = None,
        source: str | None = None,
        after: datetime | None = None,
        before: datetime | None = None,
        trace_id: str | None = None,
        request_id: str | None = None,
        execution_id: str | None = None,
        words: str | None = None,
    ) -> models.LogTailOut:
        """Follow log lines in the order of their coming: those after a `seq`, or the newest."""
        return self.connection.ask(
            "GET",
            "/api/v1/logs/tail",
            models.LogTailOut,
            query={
                "after_seq": after_seq,
                "limit": limit,
                "level": level,
                "source": source,
                "after": after,
                "before": before,
                "trace_id": trace_id,
                "request_id": request_id,
                "execution_id": execution_id,
                "words": words,
            },
        )

    def get_log(self, record_id: str) -> models.LogRecordOut:
        """Get one log line."""
        return self.connection.ask(
            "GET", f"/api/v1/logs/{uuid_segment(record_id)}", models.LogRecordOut
        )

    def get_log_context(self, record_id: str, *, lines: int | None = None) -> models.LogLinesOut:
        """Get what the line's source said before it and after it, in order, the line among them."""
        return self.connection.ask(
            "GET",
            f"/api/v1/logs/{uuid_segment(record_id)}/context",
            models.LogLinesOut,
            query={"lines": lines},
        )

    def get_me(self) -> models.MeOut:
        """Say who the caller is, in which tenant, and what they may do."""
        return self.connection.ask("GET", "/api/v1/me", models.MeOut)

    def change_password(self, body: models.PasswordPut) -> None:
        """Change the caller's own password; all their other log-ins end."""
        self.connection.tell("PUT", "/api/v1/me/password", body=body)

    def get_profile(self) -> models.ProfileOut:
        """Show the caller's own account."""
        return self.connection.ask("GET", "/api/v1/me/profile", models.ProfileOut)

    def put_profile(self, body: models.ProfilePut) -> models.ProfileOut:
        """Change the caller's own name."""
        return self.connection.ask("PUT", "/api/v1/me/profile", models.ProfileOut, body=body)

    def end_other_sessions(self) -> None:
        """End all log-ins of the caller but this one; their tokens stop working at once."""
        self.connection.tell("DELETE", "/api/v1/me/sessions")

    def list_sessions(self) -> models.SessionPage:
        """List where the caller is logged in, newest first."""
        return self.connection.ask("GET", "/api/v1/me/sessions", models.SessionPage)

    def end_session(self, session_id: str) -> None:
        """End one log-in of the caller; its tokens stop working at once."""
        self.connection.tell("DELETE", f"/api/v1/me/sessions/{uuid_segment(session_id)}")

    def list_sign_ins(
        self, *, limit: int | None = None, cursor: str | None = None
    ) -> models.SignInPage:
        """List log-ins to the caller's account, and what failed, newest first."""
        return self.connection.ask(
            "GET",
            "/api/v1/me/sign-ins",
            models.SignInPage,
            query={"limit": limit, "cursor": cursor},
        )

    def remove_totp(self) -> None:
        """Do without a second factor; where one is required, the next log-in sets up another."""
        self.connection.tell("DELETE", "/api/v1/me/totp")

    def get_totp(self) -> models.SecondFactorOut:
        """Say whether the caller has a second factor, and whether one is required."""
        return self.connection.ask("GET", "/api/v1/me/totp", models.SecondFactorOut)

    def begin_totp(self, *, idempotency_key: str | None = None) -> models.TotpEnrolmentOut:
        """Make a secret for an authenticator app; it counts once a code of it was given."""
        return self.connection.ask(
            "POST",
            "/api/v1/me/totp",
            models.TotpEnrolmentOut,
            headers={"Idempotency-Key": idempotency_key or fresh_key()},
        )

    def confirm_totp(
        self, body: models.TotpCode, *, idempotency_key: str | None = None
    ) -> models.RecoveryCodesOut:
        """Have the secret count from now on, by a code of it; the caller's other log-ins end."""
        return self.connection.ask(
            "POST",
            "/api/v1/me/totp/confirm",
            models.RecoveryCodesOut,
            body=body,
            headers={"Idempotency-Key": idempotency_key or fresh_key()},
        )

    def renew_recovery_codes(
        self, *, idempotency_key: str | None = None
    ) -> models.RecoveryCodesOut:
        """Make ten new recovery codes; the old ones are void at once."""
        return self.connection.ask(
            "POST",
            "/api/v1/me/totp/recovery-codes",
            models.RecoveryCodesOut,
            headers={"Idempotency-Key": idempotency_key or fresh_key()},
        )

    def list_members(
        self, *, limit: int | None = None, cursor: str | None = None
    ) -> models.MemberPage:
        """List the tenant's people, newest first."""
        return self.connection.ask(
            "GET", "/api/v1/members", models.MemberPage, query={"limit": limit, "cursor": cursor}
        )

    def remove_member(self, user_id: str) -> None:
        """End a membership; tokens bound to it stop working at once."""
        self.connection.tell("DELETE", f"/api/v1/members/{uuid_segment(user_id)}")

    def set_member_role(self, user_id: str, body: models.MemberPatch) -> models.MemberOut:
        """Change a member's role."""
        return self.connection.ask(
            "PUT", f"/api/v1/members/{uuid_segment(user_id)}", models.MemberOut, body=body
        )

    def disable_member(
        self, user_id: str, *, idempotency_key: str | None = None
    ) -> models.MemberOut:
        """Keep a member out of this tenant; tokens bound to it stop working at once."""
        return self.connection.ask(
            "POST",
            f"/api/v1/members/{uuid_segment(user_id)}/disable",
            models.MemberOut,
            headers={"Idempotency-Key": idempotency_key or fresh_key()},
        )

    def enable_member(
        self, user_id: str, *, idempotency_key: str | None = None
    ) -> models.MemberOut:
        """Let a member act again, in the role they have."""
        return self.connection.ask(
            "POST",
            f"/api/v1/members/{uuid_segment(user_id)}/enable",
            models.MemberOut,
            headers={"Idempotency-Key": idempotency_key or fresh_key()},
        )

    def list_metric_series(self, *, name: str, limit: int | None = None) -> models.MetricSeriesPage:
        """List the series of a metric with their labels, the one heard of last first."""
        return self.connection.ask(
            "GET",
            "/api/v1/metric-series",
            models.MetricSeriesPage,
            query={"name": name, "limit": limit},
        )

    def get_metric_settings(self) -> models.MetricSettingsOut:
        """Get how long the tenant's windows stay, and how many series it has."""
        return self.connection.ask("GET", "/api/v1/metric-settings", models.MetricSettingsOut)

    def put_metric_settings(self, body: models.MetricSettingsPut) -> models.MetricSettingsOut:
        """Keep the tenant's windows for so many days, by their length."""
        return self.connection.ask(
            "PUT", "/api/v1/metric-settings", models.MetricSettingsOut, body=body
        )

    def list_tenant_metrics(
        self, *, prefix: str | None = None, limit: int | None = None, cursor: str | None = None
    ) -> models.MetricPage:
        """List the tenant's metrics by name."""
        return self.connection.ask(
            "GET",
            "/api/v1/metrics",
            models.MetricPage,
            query={"prefix": prefix, "limit": limit, "cursor": cursor},
        )

    def record_metrics(
        self, body: models.MetricsIn, *, idempotency_key: str | None = None
    ) -> models.MetricsOut:
        """Record up to a thousand observations."""
        return self.connection.ask(
            "POST",
            "/api/v1/metrics",
            models.MetricsOut,
            body=body,
            headers={"Idempotency-Key": idempotency_key or fresh_key()},
        )

    def score_metric(
        self,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        top: int | None = None,
        weeks: int | None = None,
        time_zone: str | None = None,
        name: str,
        aggregate: str,
        quantile: float | None = None,
        label: list[str] | None = None,
        by: list[str] | None = None,
    ) -> models.MetricScoresOut:
        """Score the hours of a metric: how unusual each is, and why."""
        return self.connection.ask(
            "GET",
            "/api/v1/metrics/anomalies",
            models.MetricScoresOut,
            query={
                "since": since,
                "until": until,
                "top": top,
                "weeks": weeks,
                "time_zone": time_zone,
                "name": name,
                "aggregate": aggregate,
                "quantile": quantile,
                "label": label,
                "by": by,
            },
        )

    def expose_metrics(self) -> Download:
        """Expose the tenant's series for a Prometheus of its own."""
        return self.connection.download("GET", "/api/v1/metrics/exposition")

    def forecast_metric(
        self,
        *,
        until: datetime | None = None,
        top: int | None = None,
        weeks: int | None = None,
        hours: int | None = None,
        time_zone: str | None = None,
        name: str,
        aggregate: str,
        quantile: float | None = None,
        label: list[str] | None = None,
        by: list[str] | None = None,
    ) -> models.MetricForecastsOut:
        """Forecast the hours to come of a metric."""
        return self.connection.ask(
            "GET",
            "/api/v1/metrics/forecast",
            models.MetricForecastsOut,
            query={
                "until": until,
                "top": top,
                "weeks": weeks,
                "hours": hours,
                "time_zone": time_zone,
                "name": name,
                "aggregate": aggregate,
                "quantile": quantile,
                "label": label,
                "by": by,
            },
        )

    def query_metric(
        self,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        top: int | None = None,
        points: int | None = None,
        with_week_before: bool | None = None,
        name: str,
        aggregate: str,
        quantile: float | None = None,
        label: list[str] | None = None,
        by: list[str] | None = None,
    ) -> models.MetricLinesOut:
        """Ask for a metric over a window of time."""
        return self.connection.ask(
            "GET",
            "/api/v1/metrics/query",
            models.MetricLinesOut,
            query={
                "since": since,
                "until": until,
                "top": top,
                "points": points,
                "with_week_before": with_week_before,
                "name": name,
                "aggregate": aggregate,
                "quantile": quantile,
                "label": label,
                "by": by,
            },
        )

    def get_metric_trend(
        self,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        top: int | None = None,
        time_zone: str | None = None,
        name: str,
        aggregate: str,
        quantile: float | None = None,
        label: list[str] | None = None,
        by: list[str] | None = None,
    ) -> models.MetricTrendsOut:
        """Get where a metric goes: by the median slope between alike hours (Theil and Sen)."""
        return self.connection.ask(
            "GET",
            "/api/v1/metrics/trend",
            models.MetricTrendsOut,
            query={
                "since": since,
                "until": until,
                "top": top,
                "time_zone": time_zone,
                "name": name,
                "aggregate": aggregate,
                "quantile": quantile,
                "label": label,
                "by": by,
            },
        )

    def get_on_call(self) -> models.OnCallNowListOut:
        """Tell who is on call now by each schedule, until when, and who is next."""
        return self.connection.ask("GET", "/api/v1/on-call", models.OnCallNowListOut)

    def list_on_call_schedules(
        self, *, limit: int | None = None, cursor: str | None = None
    ) -> models.OnCallSchedulePage:
        """List on-call schedules, the newest first."""
        return self.connection.ask(
            "GET",
            "/api/v1/on-call-schedules",
            models.OnCallSchedulePage,
            query={"limit": limit, "cursor": cursor},
        )

    def create_on_call_schedule(
        self, body: models.OnCallSchedulePut, *, idempotency_key: str | None = None
    ) -> models.OnCallScheduleOut:
        """Have people take turns at being on call."""
        return self.connection.ask(
            "POST",
            "/api/v1/on-call-schedules",
            models.OnCallScheduleOut,
            body=body,
            headers={"Idempotency-Key": idempotency_key or fresh_key()},
        )

    def delete_on_call_schedule(self, schedule_id: str, *, if_match: str | None = None) -> None:
        """Delete an on-call schedule and its overrides."""
        self.connection.tell(
            "DELETE",
            f"/api/v1/on-call-schedules/{uuid_segment(schedule_id)}",
            headers={"If-Match": if_match},
        )

    def get_on_call_schedule(self, schedule_id: str) -> Tagged[models.OnCallScheduleOut]:
        """Get one on-call schedule.

        The ETag goes into If-Match.
        """
        return self.connection.ask_tagged(
            "GET",
            f"/api/v1/on-call-schedules/{uuid_segment(schedule_id)}",
            models.OnCallScheduleOut,
        )

    def put_on_call_schedule(
        self, schedule_id: str, body: models.OnCallSchedulePut, *, if_match: str | None = None
    ) -> Tagged[models.OnCallScheduleOut]:
        """Have other people take turns, or otherwise.

        Overrides stay.
        """
        return self.connection.ask_tagged(
            "PUT",
            f"/api/v1/on-call-schedules/{uuid_segment(schedule_id)}",
            models.OnCallScheduleOut,
            body=body,
            headers={"If-Match": if_match},
        )

    def get_on_call_calendar(self, schedule_id: str) -> Download:
        """Get who is on call as a calendar: 92 days from the beginning of the month before."""
        return self.connection.download(
            "GET", f"/api/v1/on-call-schedules/{uuid_segment(schedule_id)}/calendar.ics"
        )

    def list_on_call_overrides(
        self, schedule_id: str, *, limit: int | None = None, cursor: str | None = None
    ) -> models.OnCallOverridePage:
        """List who stands in, the newest first."""
        return self.connection.ask(
            "GET",
            f"/api/v1/on-call-schedules/{uuid_segment(schedule_id)}/overrides",
            models.OnCallOverridePage,
            query={"limit": limit, "cursor": cursor},
        )

    def create_on_call_override(
        self,
        schedule_id: str,
        body: models.OnCallOverrideCreate,
        *,
        idempotency_key: str | None = None,
    ) -> models.OnCallOverrideOut:
        """Have somebody stand in for whoever it would be."""
        return self.connection.ask(
            "POST",
            f"/api/v1/on-call-schedules/{uuid_segment(schedule_id)}/overrides",
            models.OnCallOverrideOut,
            body=body,
            headers={"Idempotency-Key": idempotency_key or fresh_key()},
        )

    def delete_on_call_override(self, schedule_id: str, override_id: str) -> None:
        """Have nobody stand in any more."""
        self.connection.tell(
            "DELETE",
            f"/api/v1/on-call-schedules/{uuid_segment(schedule_id)}/overrides/{uuid_segment(override_id)}",
        )

    def list_on_call_shifts(
        self, schedule_id: str, *, from_: datetime, until: datetime
    ) -> models.OnCallShiftsOut:
        """List who is on call in a stretch of time.

        Where nobody is, that is told as well.
        """
        return self.connection.ask(
            "GET",
            f"/api/v1/on-call-schedules/{uuid_segment(schedule_id)}/shifts",
            models.OnCallShiftsOut,
            query={"from": from_, "until": until},
        )

    def export_logs(self, body: models.OtlpExport) -> models.OtlpAnswer:
        """Send log records by OTLP/HTTP."""
        return self.connection.ask("POST", "/api/v1/otlp/v1/logs", models.OtlpAnswer, body=body)

    def export_traces(self, body: models.OtlpExport) -> models.OtlpAnswer:
        """Send spans by OTLP/HTTP."""
        return self.connection.ask("POST", "/api/v1/otlp/v1/traces", models.OtlpAnswer, body=body)

    def read_overview(self, *, minutes: int | None = None) -> models.OverviewOut:
        """Read the tenant's overview."""
        return self.connection.ask(
            "GET", "/api/v1/overview", models.OverviewOut, query={"minutes": minutes}
        )

    def read_workers(self) -> models.WorkersOut:
        """Read whether anybody works; the rest of the overview costs more."""
        return self.connection.ask("GET", "/api/v1/overview/workers", models.WorkersOut)

    def list_platform_api_keys(
        self, *, limit: int | None = None, cursor: str | None = None
    ) -> models.ApiKeyPage:
        """List the API keys that act on the platform itself, newest first."""
        return self.connection.ask(
            "GET",
            "/api/v1/platform/api-keys",
            models.ApiKeyPage,
            query={"limit": limit, "cursor": cursor},
        )

    def create_platform_api_key(
        self, body: models.PlatformApiKeyCreate, *, idempotency_key: str | None = None
    ) -> models.ApiKeySecretOut:
        """Create an API key that acts on the platform itself; the key is shown this once."""
        return self.connection.ask(
            "POST",
            "/api/v1/platform/api-keys",
            models.ApiKeySecretOut,
            body=body,
            headers={"Idempotency-Key": idempotency_key or fresh_key()},
        )

    def revoke_platform_api_key(self, key_id: str) -> None:
        """Revoke an API key of the platform; it stops working at once."""
        self.connection.tell("DELETE", f"/api/v1/platform/api-keys/{uuid_segment(key_id)}")

    def list_platform_audit(
        self,
        *,
        limit: int | None = None,
        cursor: str | None = None,
        q: str | None = None,
        action: str | None = None,
        actor: str | None = None,
        target: str | None = None,
        request_id: str | None = None,
        workflow: str | None = None,
        execution: str | None = None,
        created_after: datetime | None = None,
        created_before: datetime | None = None,
    ) -> models.AuditPage:
        """Search the platform's own acts: tenants, log-ins, signing keys."""
        return self.connection.ask(
            "GET",
            "/api/v1/platform/audit",
            models.AuditPage,
            query={
                "limit": limit,
                "cursor": cursor,
                "q": q,
                "action": action,
                "actor": actor,
                "target": target,
                "request_id": request_id,
                "workflow": workflow,
                "execution": execution,
                "created_after": created_after,
                "created_before": created_before,
            },
        )

    def list_platform_audit_exports(
        self, *, limit: int | None = None, cursor: str | None = None
    ) -> models.ExportPage:
        """List the files of the platform's own trail that there are or will be, newest first."""
        return self.connection.ask(
            "GET",
            "/api/v1/platform/audit-exports",
            models.ExportPage,
            query={"limit": limit, "cursor": cursor},
        )

    def start_platform_audit_export(
        self, body: models.ExportCreate, *, idempotency_key: str | None = None
    ) -> models.ExportOut:
        """Have a file made of the platform's own records, oldest first; a job makes it."""
        return self.connection.ask(
            "POST",
            "/api/v1/platform/audit-exports",
            models.ExportOut,
            body=body,
            headers={"Idempotency-Key": idempotency_key or fresh_key()},
        )

    def delete_platform_audit_export(self, export_id: str) -> None:
        """Forget a file of the platform's own trail, whether it is ready or being made."""
        self.connection.tell("DELETE", f"/api/v1/platform/audit-exports/{uuid_segment(export_id)}")

    def get_platform_audit_export(self, export_id: str) -> models.ExportOut:
        """Get one export of the platform's own trail: how far it is."""
        return self.connection.ask(
            "GET", f"/api/v1/platform/audit-exports/{uuid_segment(export_id)}", models.ExportOut
        )

    def download_platform_audit_export(self, export_id: str) -> Download:
        """Download a file of the platform's own trail; that it was is on record."""
        return self.connection.download(
            "GET", f"/api/v1/platform/audit-exports/{uuid_segment(export_id)}/file"
        )

    def get_platform_audit_retention(self) -> models.AuditRetentionOut:
        """Get how long the platform's own trail is kept, and up to which number it was let go."""
        return self.connection.ask(
            "GET", "/api/v1/platform/audit-retention", models.AuditRetentionOut
        )

    def put_platform_audit_retention(
        self, body: models.AuditRetentionPut
    ) -> models.AuditRetentionOut:
        """Keep the platform's own trail for so many days; null keeps it for ever."""
        return self.connection.ask(
            "PUT", "/api/v1/platform/audit-retention", models.AuditRetentionOut, body=body
        )

    def delete_platform_audit_stream(self) -> None:
        """Push the platform's own trail nowhere any more; where it was is forgotten."""
        self.connection.tell("DELETE", "/api/v1/platform/audit-stream")

    def get_platform_audit_stream(self) -> models.StreamOut:
        """Get where the platform's own trail is pushed to, and how far behind it is."""
        return self.connection.ask("GET", "/api/v1/platform/audit-stream", models.StreamOut)

    def put_platform_audit_stream(self, body: models.StreamPut) -> models.StreamSavedOut:
        """Push the platform's own trail to a webhook or a syslog receiver."""
        return self.connection.ask(
            "PUT", "/api/v1/platform/audit-stream", models.StreamSavedOut, body=body
        )

    def count_platform_audit(
        self,
        *,
        action: str | None = None,
        actor: str | None = None,
        target: str | None = None,
        request_id: str | None = None,
        workflow: str | None = None,
        execution: str | None = None,
        created_after: datetime | None = None,
        created_before: datetime | None = None,
    ) -> models.FacetsOut:
        """Count the platform's own acts by act, actor and time, as the filters leave them."""
        return self.connection.ask(
            "GET",
            "/api/v1/platform/audit/facets",
            models.FacetsOut,
            query={
                "action": action,
                "actor": actor,
                "target": target,
                "request_id": request_id,
                "workflow": workflow,
                "execution": execution,
                "created_after": created_after,
                "created_before": created_before,
            },
        )

    def verify_platform_audit(self, *, idempotency_key: str | None = None) -> models.ChainReportOut:
        """Recompute the hash chain of the platform's own acts and say where it first fails."""
        return self.connection.ask(
            "POST",
            "/api/v1/platform/audit/verify",
            models.ChainReportOut,
            headers={"Idempotency-Key": idempotency_key or fresh_key()},
        )

    def list_platform_clients(
        self, *, limit: int | None = None, cursor: str | None = None
    ) -> models.ClientPage:
        """List the clients that act on the platform itself, newest first."""
        return self.connection.ask(
            "GET",
            "/api/v1/platform/clients",
            models.ClientPage,
            query={"limit": limit, "cursor": cursor},
        )

    def create_platform_client(
        self, body: models.PlatformClientCreate, *, idempotency_key: str | None = None
    ) -> models.ClientSecretOut:
        """Create a client that acts on the platform itself; its secret is shown this once."""
        return self.connection.ask(
            "POST",
            "/api/v1/platform/clients",
            models.ClientSecretOut,
            body=body,
            headers={"Idempotency-Key": idempotency_key or fresh_key()},
        )

    def delete_platform_client(self, client_row_id: str) -> None:
        """Delete a client of the platform; its tokens stop working at once."""
        self.connection.tell("DELETE", f"/api/v1/platform/clients/{uuid_segment(client_row_id)}")

    def rotate_platform_client(
        self, client_row_id: str, *, idempotency_key: str | None = None
    ) -> models.ClientSecretOut:
        """Give a client of the platform a new secret; the old one is void at once."""
        return self.connection.ask(
            "POST",
            f"/api/v1/platform/clients/{uuid_segment(client_row_id)}/rotate",
            models.ClientSecretOut,
            headers={"Idempotency-Key": idempotency_key or fresh_key()},
        )

    def list_platform_dashboards(
        self, *, limit: int | None = None, cursor: str | None = None
    ) -> models.DashboardPage:
        """List the platform's dashboards, newest first."""
        return self.connection.ask(
            "GET",
            "/api/v1/platform/dashboards",
            models.DashboardPage,
            query={"limit": limit, "cursor": cursor},
        )

    def create_platform_dashboard(
        self, body: models.DashboardPut, *, idempotency_key: str | None = None
    ) -> models.DashboardDetailOut:
        """Make one of the platform's dashboards."""
        return self.connection.ask(
            "POST",
            "/api/v1/platform/dashboards",
            models.DashboardDetailOut,
            body=body,
            headers={"Idempotency-Key": idempotency_key or fresh_key()},
        )

    def import_platform_dashboard(
        self, body: models.PlatformDashboardImport, *, idempotency_key: str | None = None
    ) -> models.DashboardDetailOut:
        """Make one of the platform's dashboards from an exported file."""
        return self.connection.ask(
            "POST",
            "/api/v1/platform/dashboards/import",
            models.DashboardDetailOut,
            body=body,
            headers={"Idempotency-Key": idempotency_key or fresh_key()},
        )

    def delete_platform_dashboard(self, dashboard_id: str, *, if_match: str | None = None) -> None:
        """Delete one of the platform's dashboards with its versions."""
        self.connection.tell(
            "DELETE",
            f"/api/v1/platform/dashboards/{uuid_segment(dashboard_id)}",
            headers={"If-Match": if_match},
        )

    def get_platform_dashboard(self, dashboard_id: str) -> Tagged[models.DashboardDetailOut]:
        """Get one of the platform's dashboards.

        The ETag goes into If-Match.
        """
        return self.connection.ask_tagged(
            "GET",
            f"/api/v1/platform/dashboards/{uuid_segment(dashboard_id)}",
            models.DashboardDetailOut,
        )

    def put_platform_dashboard(
        self, dashboard_id: str, body: models.DashboardPut, *, if_match: str | None = None
    ) -> Tagged[models.DashboardDetailOut]:
        """Save another version of one of the platform's dashboards."""
        return self.connection.ask_tagged(
            "PUT",
            f"/api/v1/platform/dashboards/{uuid_segment(dashboard_id)}",
            models.DashboardDetailOut,
            body=body,
            headers={"If-Match": if_match},
        )

    def export_platform_dashboard(self, dashboard_id: str) -> models.DashboardDocument:
        """Get one of the platform's dashboards as a file."""
        return self.connection.ask(
            "GET",
            f"/api/v1/platform/dashboards/{uuid_segment(dashboard_id)}/export",
            models.DashboardDocument,
        )

    def list_platform_dashboard_versions(self, dashboard_id: str) -> models.DashboardVersionsOut:
        """List versions of one of the platform's dashboards."""
        return self.connection.ask(
            "GET",
            f"/api/v1/platform/dashboards/{uuid_segment(dashboard_id)}/versions",
            models.DashboardVersionsOut,
        )

    def get_platform_dashboard_version(
        self, dashboard_id: str, version: str
    ) -> models.DashboardVersionDetailOut:
        """Get what one of the platform's dashboards was at a version."""
        return self.connection.ask(
            "GET",
            f"/api/v1/platform/dashboards/{uuid_segment(dashboard_id)}/versions/{segment(version)}",
            models.DashboardVersionDetailOut,
        )

    def restore_platform_dashboard_version(
        self,
        dashboard_id: str,
        version: str,
        *,
        if_match: str | None = None,
        idempotency_key: str | None = None,
    ) -> Tagged[models.DashboardDetailOut]:
        """Save what one of the platform's dashboards was as its newest version."""
        return self.connection.ask_tagged(
            "POST",
            f"/api/v1/platform/dashboards/{uuid_segment(dashboard_id)}/versions/{segment(version)}/restore",
            models.DashboardDetailOut,
            headers={"If-Match": if_match, "Idempotency-Key": idempotency_key or fresh_key()},
        )

    def list_evidence(
        self, *, kind: str | None = None, limit: int | None = None, cursor: str | None = None
    ) -> models.SloEvidencePage:
        """List what drills, benchmarks and reviews found, newest first."""
        return self.connection.ask(
            "GET",
            "/api/v1/platform/evidence",
            models.SloEvidencePage,
            query={"kind": kind, "limit": limit, "cursor": cursor},
        )

    def record_evidence(
        self, body: models.EvidenceCreate, *, idempotency_key: str | None = None
    ) -> models.SloEvidenceOut:
        """Record what a drill, a benchmark or a review found; it decides for ninety days."""
        return self.connection.ask(
            "POST",
            "/api/v1/platform/evidence",
            models.SloEvidenceOut,
            body=body,
            headers={"Idempotency-Key": idempotency_key or fresh_key()},
        )

    def confirm_domain(
        self, provider_id: str, *, idempotency_key: str | None = None
    ) -> models.IdentityProviderOut:
        """Say for the platform that the mail domain is the tenant's, where DNS cannot."""
        return self.connection.ask(
            "POST",
            f"/api/v1/platform/identity-providers/{uuid_segment(provider_id)}/confirm-domain",
            models.IdentityProviderOut,
            headers={"Idempotency-Key": idempotency_key or fresh_key()},
        )

    def get_platform_limit_usage(self, *, tenant_id: str | None = None) -> models.LimitUsageOut:
        """Get what holds for a tenant, or where no limit names one, and what is used."""
        return self.connection.ask(
            "GET",
            "/api/v1/platform/limit-usage",
            models.LimitUsageOut,
            query={"tenant_id": tenant_id},
        )

    def list_platform_limits(
        self, *, tenant_id: str | None = None, limit: int | None = None, cursor: str | None = None
    ) -> models.LimitPage:
        """List all limits, of every tenant, newest first."""
        return self.connection.ask(
            "GET",
            "/api/v1/platform/limits",
            models.LimitPage,
            query={"tenant_id": tenant_id, "limit": limit, "cursor": cursor},
        )

    def create_platform_limit(
        self, body: models.PlatformLimitCreate, *, idempotency_key: str | None = None
    ) -> models.LimitOut:
        """Limit a tenant, or every tenant; it holds everywhere within a second."""
        return self.connection.ask(
            "POST",
            "/api/v1/platform/limits",
            models.LimitOut,
            body=body,
            headers={"Idempotency-Key": idempotency_key or fresh_key()},
        )

    def delete_platform_limit(self, limit_id: str, *, if_match: str | None = None) -> None:
        """Take a limit of the platform away: what every tenant has, or the settings say, holds."""
        self.connection.tell(
            "DELETE",
            f"/api/v1/platform/limits/{uuid_segment(limit_id)}",
            headers={"If-Match": if_match},
        )

    def get_platform_limit(self, limit_id: str) -> Tagged[models.LimitOut]:
        """Get one limit of any tenant.

        The ETag goes into If-Match when changing it.
        """
        return self.connection.ask_tagged(
            "GET", f"/api/v1/platform/limits/{uuid_segment(limit_id)}", models.LimitOut
        )

    def change_platform_limit(
        self, limit_id: str, body: models.PlatformLimitPut, *, if_match: str | None = None
    ) -> Tagged[models.LimitOut]:
        """Replace what a limit of the platform allows."""
        return self.connection.ask_tagged(
            "PUT",
            f"/api/v1/platform/limits/{uuid_segment(limit_id)}",
            models.LimitOut,
            body=body,
            headers={"If-Match": if_match},
        )

    def read_platform_overview(self, *, minutes: int | None = None) -> models.PlatformOverviewOut:
        """Read how the platform does across its tenants."""
        return self.connection.ask(
            "GET",
            "/api/v1/platform/overview",
            models.PlatformOverviewOut,
            query={"minutes": minutes},
        )

    def list_plans(self, *, limit: int | None = None, cursor: str | None = None) -> models.PlanPage:
        """List the plans by name."""
        return self.connection.ask(
            "GET",
            "/api/v1/platform/plans",
            models.PlanPage,
            query={"limit": limit, "cursor": cursor},
        )

    def delete_plan(self, name: str) -> None:
        """Remove a plan that no tenant has."""
        self.connection.tell("DELETE", f"/api/v1/platform/plans/{segment(name)}")

    def get_plan(self, name: str) -> models.PlanOut:
        """Get one plan."""
        return self.connection.ask("GET", f"/api/v1/platform/plans/{segment(name)}", models.PlanOut)

    def put_plan(self, name: str, body: models.PlanPut) -> models.PlanOut:
        """Make a plan, or give all its tenants other quotas from now on."""
        return self.connection.ask(
            "PUT", f"/api/v1/platform/plans/{segment(name)}", models.PlanOut, body=body
        )

    def list_platform_prometheus_label_values(
        self,
        *,
        name: str,
        match: list[str] | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> models.LabelNamesOut:
        """List the values of a label; of `__name__` they are the names of metrics."""
        return self.connection.ask(
            "GET",
            "/api/v1/platform/prometheus/label-values",
            models.LabelNamesOut,
            query={"name": name, "match": match, "since": since, "until": until},
        )

    def list_platform_prometheus_labels(
        self,
        *,
        match: list[str] | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> models.LabelNamesOut:
        """List the names of labels that series have."""
        return self.connection.ask(
            "GET",
            "/api/v1/platform/prometheus/labels",
            models.LabelNamesOut,
            query={"match": match, "since": since, "until": until},
        )

    def query_platform_prometheus(
        self, *, query: str, at: datetime | None = None
    ) -> models.SamplesOut:
        """Ask what a query comes to at one moment."""
        return self.connection.ask(
            "GET",
            "/api/v1/platform/prometheus/query",
            models.SamplesOut,
            query={"query": query, "at": at},
        )

    def query_platform_prometheus_range(
        self,
        *,
        query: str,
        since: datetime | None = None,
        until: datetime | None = None,
        step_seconds: float | None = None,
    ) -> models.SampleRangeOut:
        """Ask what a query comes to at each step of a window, from its whole first second."""
        return self.connection.ask(
            "GET",
            "/api/v1/platform/prometheus/query-range",
            models.SampleRangeOut,
            query={"query": query, "since": since, "until": until, "step_seconds": step_seconds},
        )

    def list_platform_prometheus_rules(self) -> models.PrometheusRulePage:
        """List rules with their alerts; of a tenant, what carries its label."""
        return self.connection.ask(
            "GET", "/api/v1/platform/prometheus/rules", models.PrometheusRulePage
        )

    def list_platform_prometheus_series(
        self,
        *,
        match: list[str] | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int | None = None,
    ) -> models.SeriesLabelsPage:
        """List the series that match a selector and had a sample in the window."""
        return self.connection.ask(
            "GET",
            "/api/v1/platform/prometheus/series",
            models.SeriesLabelsPage,
            query={"match": match, "since": since, "until": until, "limit": limit},
        )

    def list_platform_prometheus_targets(self) -> models.ScrapeTargetPage:
        """List what is scraped; of a tenant, what carries its label."""
        return self.connection.ask(
            "GET", "/api/v1/platform/prometheus/targets", models.ScrapeTargetPage
        )

    def list_platform_roles(self) -> models.RolePage:
        """List the platform's own roles and their permissions."""
        return self.connection.ask("GET", "/api/v1/platform/roles", models.RolePage)

    def list_signing_keys(self) -> models.SigningKeyPage:
        """List the keys that sign or still verify tokens, newest first: all there are."""
        return self.connection.ask("GET", "/api/v1/platform/signing-keys", models.SigningKeyPage)

    def rotate_signing_key(self, *, idempotency_key: str | None = None) -> models.SigningKeyRotated:
        """Sign tokens with a new key; the old ones verify until their last token has expired."""
        return self.connection.ask(
            "POST",
            "/api/v1/platform/signing-keys/rotate",
            models.SigningKeyRotated,
            headers={"Idempotency-Key": idempotency_key or fresh_key()},
        )

    def list_platform_slos(self) -> models.PlatformSlosOut:
        """List the platform's own objectives and how they stand."""
        return self.connection.ask("GET", "/api/v1/platform/slos", models.PlatformSlosOut)

    def get_platform_slo(self, name: str) -> models.PlatformSloDetailOut:
        """Get one of the platform's objectives with its burn rates and days."""
        return self.connection.ask(
            "GET", f"/api/v1/platform/slos/{segment(name)}", models.PlatformSloDetailOut
        )

    def read_platform_status(self, *, hours: int | None = None) -> models.StatusOut:
        """Read how the platform is and was, with what each check said."""
        return self.connection.ask(
            "GET", "/api/v1/platform/status", models.StatusOut, query={"hours": hours}
        )

    def erase_platform_subject(
        self, body: models.SubjectErase, *, idempotency_key: str | None = None
    ) -> models.ErasureOut:
        """Forget a person in what the platform itself keeps: its trail of log-ins, its mail."""
        return self.connection.ask(
            "POST",
            "/api/v1/platform/subjects/erase",
            models.ErasureOut,
            body=body,
            headers={"Idempotency-Key": idempotency_key or fresh_key()},
        )

    def list_platform_erasures(
        self, *, limit: int | None = None, cursor: str | None = None
    ) -> models.ErasurePage:
        """List the people whom the platform has erased, or is erasing, newest first."""
        return self.connection.ask(
            "GET",
            "/api/v1/platform/subjects/erasures",
            models.ErasurePage,
            query={"limit": limit, "cursor": cursor},
        )

    def get_platform_erasure(self, erasure_id: str) -> models.ErasureOut:
        """Show one erasure of the platform's: how far it is, and its certificate at the end."""
        return self.connection.ask(
            "GET",
            f"/api/v1/platform/subjects/erasures/{uuid_segment(erasure_id)}",
            models.ErasureOut,
        )

    def list_tenant_certificates(
        self, *, limit: int | None = None, cursor: str | None = None
    ) -> models.TenantCertificatePage:
        """List what went of tenants whose data is gone, newest deletion first."""
        return self.connection.ask(
            "GET",
            "/api/v1/platform/tenant-certificates",
            models.TenantCertificatePage,
            query={"limit": limit, "cursor": cursor},
        )

    def list_tenants(
        self, *, limit: int | None = None, cursor: str | None = None
    ) -> models.TenantPage:
        """List all tenants, newest first."""
        return self.connection.ask(
            "GET",
            "/api/v1/platform/tenants",
            models.TenantPage,
            query={"limit": limit, "cursor": cursor},
        )

    def create_tenant(
        self, body: models.TenantCreate, *, idempotency_key: str | None = None
    ) -> models.TenantCreatedOut:
        """Create a tenant: the caller owns it, or whoever is invited to."""
        return self.connection.ask(
            "POST",
            "/api/v1/platform/tenants",
            models.TenantCreatedOut,
            body=body,
            headers={"Idempotency-Key": idempotency_key or fresh_key()},
        )

    def delete_tenant(self, tenant_id: str, *, slug: str) -> models.TenantOut:
        """Refuse everybody of a tenant, and remove its data once the grace period is over."""
        return self.connection.ask(
            "DELETE",
            f"/api/v1/platform/tenants/{uuid_segment(tenant_id)}",
            models.TenantOut,
            query={"slug": slug},
        )

    def get_tenant(self, tenant_id: str) -> models.TenantOut:
        """Get one tenant."""
        return self.connection.ask(
            "GET", f"/api/v1/platform/tenants/{uuid_segment(tenant_id)}", models.TenantOut
        )

    def rename_tenant(self, tenant_id: str, body: models.TenantPatch) -> models.TenantOut:
        """Give a tenant another name or slug; addresses with the old slug lead nowhere then."""
        return self.connection.ask(
            "PUT",
            f"/api/v1/platform/tenants/{uuid_segment(tenant_id)}",
            models.TenantOut,
            body=body,
        )

    def invite_owner(
        self, tenant_id: str, body: models.OwnerInvite, *, idempotency_key: str | None = None
    ) -> models.OwnerInvitationOut:
        """Invite somebody to own a tenant, one that has no owner among them."""
        return self.connection.ask(
            "POST",
            f"/api/v1/platform/tenants/{uuid_segment(tenant_id)}/invite-owner",
            models.OwnerInvitationOut,
            body=body,
            headers={"Idempotency-Key": idempotency_key or fresh_key()},
        )

    def get_tenant_quotas(self, tenant_id: str) -> models.QuotasOut:
        """What a tenant may, by what, and what it has used of it."""
        return self.connection.ask(
            "GET", f"/api/v1/platform/tenants/{uuid_segment(tenant_id)}/quotas", models.QuotasOut
        )

    def set_tenant_quotas(self, tenant_id: str, body: models.QuotasPut) -> models.QuotasOut:
        """Give a tenant another plan, or other overrides of it; effective at once."""
        return self.connection.ask(
            "PUT",
            f"/api/v1/platform/tenants/{uuid_segment(tenant_id)}/quotas",
            models.QuotasOut,
            body=body,
        )

    def restore_tenant(
        self, tenant_id: str, *, idempotency_key: str | None = None
    ) -> models.TenantOut:
        """Call back a tenant that is being deleted: it is what it was before."""
        return self.connection.ask(
            "POST",
            f"/api/v1/platform/tenants/{uuid_segment(tenant_id)}/restore",
            models.TenantOut,
            headers={"Idempotency-Key": idempotency_key or fresh_key()},
        )

    def resume_tenant(
        self, tenant_id: str, *, idempotency_key: str | None = None
    ) -> models.TenantOut:
        """End a suspension: what waited goes on."""
        return self.connection.ask(
            "POST",
            f"/api/v1/platform/tenants/{uuid_segment(tenant_id)}/resume",
            models.TenantOut,
            headers={"Idempotency-Key": idempotency_key or fresh_key()},
        )

    def get_tenant_seal(self, tenant_id: str) -> models.TenantSealOut:
        """Say whether a tenant's keys are sealed, and why."""
        return self.connection.ask(
            "GET", f"/api/v1/platform/tenants/{uuid_segment(tenant_id)}/seal", models.TenantSealOut
        )

    def seal_tenant(
        self, tenant_id: str, body: models.TenantSealCreate, *, idempotency_key: str | None = None
    ) -> models.TenantSealOut:
        """Refuse every use of a tenant's keys, in every process within a second; its jobs wait."""
        return self.connection.ask(
            "POST",
            f"/api/v1/platform/tenants/{uuid_segment(tenant_id)}/seal",
            models.TenantSealOut,
            body=body,
            headers={"Idempotency-Key": idempotency_key or fresh_key()},
        )

    def suspend_tenant(
        self, tenant_id: str, body: models.TenantSuspend, *, idempotency_key: str | None = None
    ) -> models.TenantOut:
        """Refuse everybody of a tenant, with the reason; its jobs wait and running ones end."""
        return self.connection.ask(
            "POST",
            f"/api/v1/platform/tenants/{uuid_segment(tenant_id)}/suspend",
            models.TenantOut,
            body=body,
            headers={"Idempotency-Key": idempotency_key or fresh_key()},
        )

    def unseal_tenant(
        self, tenant_id: str, *, idempotency_key: str | None = None
    ) -> models.TenantSealOut:
        """Let a tenant's keys be used again: what waited goes on."""
        return self.connection.ask(
            "POST",
            f"/api/v1/platform/tenants/{uuid_segment(tenant_id)}/unseal",
            models.TenantSealOut,
            headers={"Idempotency-Key": idempotency_key or fresh_key()},
        )

    def get_tenant_usage(
        self, tenant_id: str, *, from_: str | None = None, to: str | None = None
    ) -> models.UsageOut:
        """What a tenant did by day, and how much it has now."""
        return self.connection.ask(
            "GET",
            f"/api/v1/platform/tenants/{uuid_segment(tenant_id)}/usage",
            models.UsageOut,
            query={"from": from_, "to": to},
        )

    def list_users(
        self, *, q: str | None = None, limit: int | None = None, cursor: str | None = None
    ) -> models.UserPage:
        """List everybody who logs in here, newest first."""
        return self.connection.ask(
            "GET",
            "/api/v1/platform/users",
            models.UserPage,
            query={"q": q, "limit": limit, "cursor": cursor},
        )

    def get_user(self, user_id: str) -> models.UserDetailOut:
        """Get one person, with the tenants they belong to."""
        return self.connection.ask(
            "GET", f"/api/v1/platform/users/{uuid_segment(user_id)}", models.UserDetailOut
        )

    def disable_user(
        self, user_id: str, *, idempotency_key: str | None = None
    ) -> models.UserDetailOut:
        """Keep a person out of everything; their log-ins and tokens end at once."""
        return self.connection.ask(
            "POST",
            f"/api/v1/platform/users/{uuid_segment(user_id)}/disable",
            models.UserDetailOut,
            headers={"Idempotency-Key": idempotency_key or fresh_key()},
        )

    def enable_user(
        self, user_id: str, *, idempotency_key: str | None = None
    ) -> models.UserDetailOut:
        """Let a person log in again."""
        return self.connection.ask(
            "POST",
            f"/api/v1/platform/users/{uuid_segment(user_id)}/enable",
            models.UserDetailOut,
            headers={"Idempotency-Key": idempotency_key or fresh_key()},
        )

    def set_platform_role(
        self, user_id: str, body: models.PlatformRolePut
    ) -> models.PlatformUserOut:
        """Make a person administrator, auditor or support of the platform, or none of them."""
        return self.connection.ask(
            "PUT",
            f"/api/v1/platform/users/{uuid_segment(user_id)}/role",
            models.PlatformUserOut,
            body=body,
        )

    def reset_totp(self, user_id: str) -> None:
        """Take somebody's second factor away who lost it; their log-ins end."""
        self.connection.tell("DELETE", f"/api/v1/platform/users/{uuid_segment(user_id)}/totp")

    def list_workers(
        self, *, limit: int | None = None, cursor: str | None = None
    ) -> models.WorkerPage:
        """List the platform's workers by host; one that fell silent is told of for an hour."""
        return self.connection.ask(
            "GET",
            "/api/v1/platform/workers",
            models.WorkerPage,
            query={"limit": limit, "cursor": cursor},
        )

    def drain_worker(
        self, worker_id: str, *, idempotency_key: str | None = None
    ) -> models.WorkerSwitchedOut:
        """Have a worker take nothing more; what it runs goes on to its end."""
        return self.connection.ask(
            "POST",
            f"/api/v1/platform/workers/{segment(worker_id)}/drain",
            models.WorkerSwitchedOut,
            headers={"Idempotency-Key": idempotency_key or fresh_key()},
        )

    def resume_worker(
        self, worker_id: str, *, idempotency_key: str | None = None
    ) -> models.WorkerSwitchedOut:
        """Have a worker that drains take work again."""
        return self.connection.ask(
            "POST",
            f"/api/v1/platform/workers/{segment(worker_id)}/resume",
            models.WorkerSwitchedOut,
            headers={"Idempotency-Key": idempotency_key or fresh_key()},
        )

    def list_prometheus_queries(
        self, *, limit: int | None = None, cursor: str | None = None
    ) -> models.PrometheusQueryPage:
        """List the queries that the tenant keeps, newest first."""
        return self.connection.ask(
            "GET",
            "/api/v1/prometheus-queries",
            models.PrometheusQueryPage,
            query={"limit": limit, "cursor": cursor},
        )

    def create_prometheus_query(
        self, body: models.PrometheusQueryPut, *, idempotency_key: str | None = None
    ) -> models.PrometheusQueryOut:
        """Keep a query under a name, for all who may see the tenant's."""
        return self.connection.ask(
            "POST",
            "/api/v1/prometheus-queries",
            models.PrometheusQueryOut,
            body=body,
            headers={"Idempotency-Key": idempotency_key or fresh_key()},
        )

    def delete_prometheus_query(self, query_id: str, *, if_match: str | None = None) -> None:
        """Keep it no more."""
        self.connection.tell(
            "DELETE",
            f"/api/v1/prometheus-queries/{uuid_segment(query_id)}",
            headers={"If-Match": if_match},
        )

    def get_prometheus_query(self, query_id: str) -> Tagged[models.PrometheusQueryOut]:
        """Get one kept query.

        The ETag goes into If-Match when changing it.
        """
        return self.connection.ask_tagged(
            "GET", f"/api/v1/prometheus-queries/{uuid_segment(query_id)}", models.PrometheusQueryOut
        )

    def put_prometheus_query(
        self, query_id: str, body: models.PrometheusQueryPut, *, if_match: str | None = None
    ) -> Tagged[models.PrometheusQueryOut]:
        """Keep another query in its place, or under another name."""
        return self.connection.ask_tagged(
            "PUT",
            f"/api/v1/prometheus-queries/{uuid_segment(query_id)}",
            models.PrometheusQueryOut,
            body=body,
            headers={"If-Match": if_match},
        )

    def list_prometheus_label_values(
        self,
        *,
        name: str,
        match: list[str] | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> models.LabelNamesOut:
        """List the values of a label; of `__name__` they are the names of metrics."""
        return self.connection.ask(
            "GET",
            "/api/v1/prometheus/label-values",
            models.LabelNamesOut,
            query={"name": name, "match": match, "since": since, "until": until},
        )

    def list_prometheus_labels(
        self,
        *,
        match: list[str] | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> models.LabelNamesOut:
        """List the names of labels that series have."""
        return self.connection.ask(
            "GET",
            "/api/v1/prometheus/labels",
            models.LabelNamesOut,
            query={"match": match, "since": since, "until": until},
        )

    def query_prometheus(self, *, query: str, at: datetime | None = None) -> models.SamplesOut:
        """Ask what a query comes to at one moment."""
        return self.connection.ask(
            "GET", "/api/v1/prometheus/query", models.SamplesOut, query={"query": query, "at": at}
        )

    def query_prometheus_range(
        self,
        *,
        query: str,
        since: datetime | None = None,
        until: datetime | None = None,
        step_seconds: float | None = None,
    ) -> models.SampleRangeOut:
        """Ask what a query comes to at each step of a window, from its whole first second."""
        return self.connection.ask(
            "GET",
            "/api/v1/prometheus/query-range",
            models.SampleRangeOut,
            query={"query": query, "since": since, "until": until, "step_seconds": step_seconds},
        )

    def list_prometheus_rules(self) -> models.PrometheusRulePage:
        """List rules with their alerts; of a tenant, what carries its label."""
        return self.connection.ask("GET", "/api/v1/prometheus/rules", models.PrometheusRulePage)

    def list_prometheus_series(
        self,
        *,
        match: list[str] | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int | None = None,
    ) -> models.SeriesLabelsPage:
        """List the series that match a selector and had a sample in the window."""
        return self.connection.ask(
            "GET",
            "/api/v1/prometheus/series",
            models.SeriesLabelsPage,
            query={"match": match, "since": since, "until": until, "limit": limit},
        )

    def list_prometheus_targets(self) -> models.ScrapeTargetPage:
        """List what is scraped; of a tenant, what carries its label."""
        return self.connection.ask("GET", "/api/v1/prometheus/targets", models.ScrapeTargetPage)

    def list_quotas(self) -> models.QuotaPage:
        """What this tenant may, and what it has used of it."""
        return self.connection.ask("GET", "/api/v1/quotas", models.QuotaPage)

    def draw_random(self, body: models.RandomBody) -> models.RandomOut:
        """Draw random bytes."""
        return self.connection.ask("POST", "/api/v1/random", models.RandomOut, body=body)

    def list_rewraps(self) -> models.RewrapJobListOut:
        """List the walk that seals anew, the one that goes on or the last; none at first."""
        return self.connection.ask("GET", "/api/v1/rewraps", models.RewrapJobListOut)

    def start_rewrap(self, *, idempotency_key: str | None = None) -> models.RewrapJobOut:
        """Seal everything anew that is not under the newest version, from the beginning."""
        return self.connection.ask(
            "POST",
            "/api/v1/rewraps",
            models.RewrapJobOut,
            headers={"Idempotency-Key": idempotency_key or fresh_key()},
        )

    def get_rewrap(self, rewrap_id: str) -> models.RewrapJobOut:
        """Get a walk that seals anew, with its progress."""
        return self.connection.ask(
            "GET", f"/api/v1/rewraps/{uuid_segment(rewrap_id)}", models.RewrapJobOut
        )

    def cancel_rewrap(
        self, rewrap_id: str, *, idempotency_key: str | None = None
    ) -> models.RewrapJobOut:
        """End a walk.

        What it sealed anew stays so; old versions stay for the rest.
        """
        return self.connection.ask(
            "POST",
            f"/api/v1/rewraps/{uuid_segment(rewrap_id)}/cancel",
            models.RewrapJobOut,
            headers={"Idempotency-Key": idempotency_key or fresh_key()},
        )

    def pause_rewrap(
        self, rewrap_id: str, *, idempotency_key: str | None = None
    ) -> models.RewrapJobOut:
        """Pause a walk after the rows that it is writing."""
        return self.connection.ask(
            "POST",
            f"/api/v1/rewraps/{uuid_segment(rewrap_id)}/pause",
            models.RewrapJobOut,
            headers={"Idempotency-Key": idempotency_key or fresh_key()},
        )

    def resume_rewrap(
        self, rewrap_id: str, *, idempotency_key: str | None = None
    ) -> models.RewrapJobOut:
        """Let a paused walk go on from where it was."""
        return self.connection.ask(
            "POST",
            f"/api/v1/rewraps/{uuid_segment(rewrap_id)}/resume",
            models.RewrapJobOut,
            headers={"Idempotency-Key": idempotency_key or fresh_key()},
        )

    def list_roles(self) -> models.RolePage:
        """List all roles and their permissions: the built-in ones, then the tenant's own."""
        return self.connection.ask("GET", "/api/v1/roles", models.RolePage)

    def delete_role(self, name: str) -> None:
        """Delete a role of the tenant's own that nobody holds."""
        self.connection.tell("DELETE", f"/api/v1/roles/{segment(name)}")

    def get_role(self, name: str) -> Tagged[models.RoleOut]:
        """Get one role.

        The ETag goes into If-Match when changing it.
        """
        return self.connection.ask_tagged("GET", f"/api/v1/roles/{segment(name)}", models.RoleOut)

    def put_role(
        self, name: str, body: models.RolePut, *, if_match: str | None = None
    ) -> Tagged[models.RoleOut]:
        """Make a role of the tenant's own, or change it for all who hold it, at once."""
        return self.connection.ask_tagged(
            "PUT",
            f"/api/v1/roles/{segment(name)}",
            models.RoleOut,
            body=body,
            headers={"If-Match": if_match},
        )

    def list_secrets(
        self,
        *,
        environment: str | None = None,
        folder: str | None = None,
        path: str | None = None,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> models.SecretPage:
        """List an environment's secrets by path, without values; not those in closed folders."""
        return self.connection.ask(
            "GET",
            "/api/v1/secrets",
            models.SecretPage,
            query={
                "environment": environment,
                "folder": folder,
                "path": path,
                "limit": limit,
                "cursor": cursor,
            },
        )

    def write_secret(
        self, body: models.SecretWrite, *, idempotency_key: str | None = None
    ) -> models.SecretVersionOut:
        """Make a secret, or its next version.

        The answer does not repeat the value.
        """
        return self.connection.ask(
            "POST",
            "/api/v1/secrets",
            models.SecretVersionOut,
            body=body,
            headers={"Idempotency-Key": idempotency_key or fresh_key()},
        )

    def read_secret(
        self,
        *,
        path: str,
        environment: str | None = None,
        version: int | None = None,
        references: str | None = None,
    ) -> models.SecretValueOut:
        """Read a secret's value; the audit trail keeps that it was read, and which version."""
        return self.connection.ask(
            "GET",
            "/api/v1/secrets/by-path/value",
            models.SecretValueOut,
            query={
                "path": path,
                "environment": environment,
                "version": version,
                "references": references,
            },
        )

    def list_secret_environments(self) -> models.SecretEnvironmentsOut:
        """List the environments that hold secrets, the first hundred by name."""
        return self.connection.ask(
            "GET", "/api/v1/secrets/environments", models.SecretEnvironmentsOut
        )

    def list_secret_grants(
        self, *, limit: int | None = None, cursor: str | None = None
    ) -> models.SecretGrantPage:
        """List which folders are open to which roles, newest first."""
        return self.connection.ask(
            "GET",
            "/api/v1/secrets/grants",
            models.SecretGrantPage,
            query={"limit": limit, "cursor": cursor},
        )

    def add_secret_grant(
        self, body: models.SecretGrantCreate, *, idempotency_key: str | None = None
    ) -> models.SecretGrantOut:
        """Open a folder to a role; it is closed to every role that has no grant there."""
        return self.connection.ask(
            "POST",
            "/api/v1/secrets/grants",
            models.SecretGrantOut,
            body=body,
            headers={"Idempotency-Key": idempotency_key or fresh_key()},
        )

    def remove_secret_grant(self, grant_id: str) -> None:
        """Take a grant away; with the last one of a folder what lies around it decides again."""
        self.connection.tell("DELETE", f"/api/v1/secrets/grants/{uuid_segment(grant_id)}")

    def list_secret_tokens(
        self, *, secret_id: str | None = None, limit: int | None = None, cursor: str | None = None
    ) -> models.SecretTokenPage:
        """List the tokens to read once, newest first: for whom, until when, used or not."""
        return self.connection.ask(
            "GET",
            "/api/v1/secrets/tokens",
            models.SecretTokenPage,
            query={"secret_id": secret_id, "limit": limit, "cursor": cursor},
        )

    def issue_secret_token(
        self, body: models.SecretTokenCreate, *, idempotency_key: str | None = None
    ) -> models.SecretTokenSecretOut:
        """Let one execution of one workflow read a secret once; the token is shown this once."""
        return self.connection.ask(
            "POST",
            "/api/v1/secrets/tokens",
            models.SecretTokenSecretOut,
            body=body,
            headers={"Idempotency-Key": idempotency_key or fresh_key()},
        )

    def redeem_secret_token(
        self, body: models.SecretTokenRedeem, *, idempotency_key: str | None = None
    ) -> models.RedeemedSecretOut:
        """Give a token's secret to the execution that it is for, once."""
        return self.connection.ask(
            "POST",
            "/api/v1/secrets/tokens/redeem",
            models.RedeemedSecretOut,
            body=body,
            headers={"Idempotency-Key": idempotency_key or fresh_key()},
        )

    def revoke_secret_token(self, token_id: str) -> None:
        """Forget a token to read once: it is refused from now on."""
        self.connection.tell("DELETE", f"/api/v1/secrets/tokens/{uuid_segment(token_id)}")

    def delete_secret(self, secret_id: str) -> None:
        """Destroy a secret with all its versions; nothing brings it back."""
        self.connection.tell("DELETE", f"/api/v1/secrets/{uuid_segment(secret_id)}")

    def get_secret(self, secret_id: str) -> Tagged[models.SecretOut]:
        """Get a secret without its values.

        The ETag goes into If-Match when changing how it is kept.
        """
        return self.connection.ask_tagged(
            "GET", f"/api/v1/secrets/{uuid_segment(secret_id)}", models.SecretOut
        )

    def change_secret(
        self, secret_id: str, body: models.SecretPut, *, if_match: str | None = None
    ) -> Tagged[models.SecretOut]:
        """Say anew how a secret is kept; versions beyond the number to keep are destroyed."""
        return self.connection.ask_tagged(
            "PUT",
            f"/api/v1/secrets/{uuid_segment(secret_id)}",
            models.SecretOut,
            body=body,
            headers={"If-Match": if_match},
        )

    def compare_secret_versions(
        self, secret_id: str, *, from_version: int, to_version: int
    ) -> models.SecretDifferenceOut:
        """Compare two versions by their keys: which came, went, changed and stayed.

        No value.
        """
        return self.connection.ask(
            "GET",
            f"/api/v1/secrets/{uuid_segment(secret_id)}/difference",
            models.SecretDifferenceOut,
            query={"from_version": from_version, "to_version": to_version},
        )

    def patch_secret(
        self, secret_id: str, body: models.SecretPatch, *, idempotency_key: str | None = None
    ) -> models.SecretVersionOut:
        """Make the next version of the newest one by other keys; null takes a key away."""
        return self.connection.ask(
            "POST",
            f"/api/v1/secrets/{uuid_segment(secret_id)}/patch",
            models.SecretVersionOut,
            body=body,
            headers={"Idempotency-Key": idempotency_key or fresh_key()},
        )

    def list_secret_versions(
        self, secret_id: str, *, limit: int | None = None, cursor: str | None = None
    ) -> models.SecretVersionPage:
        """List a secret's versions without their values, newest first."""
        return self.connection.ask(
            "GET",
            f"/api/v1/secrets/{uuid_segment(secret_id)}/versions",
            models.SecretVersionPage,
            query={"limit": limit, "cursor": cursor},
        )

    def delete_secret_version(self, secret_id: str, version: str) -> models.SecretVersionOut:
        """Let a version be read no more, until it is undeleted."""
        return self.connection.ask(
            "DELETE",
            f"/api/v1/secrets/{uuid_segment(secret_id)}/versions/{segment(version)}",
            models.SecretVersionOut,
        )

    def destroy_secret_version(
        self, secret_id: str, version: str, *, idempotency_key: str | None = None
    ) -> models.SecretVersionOut:
        """Destroy a version's value for good; that there was one stays."""
        return self.connection.ask(
            "POST",
            f"/api/v1/secrets/{uuid_segment(secret_id)}/versions/{segment(version)}/destroy",
            models.SecretVersionOut,
            headers={"Idempotency-Key": idempotency_key or fresh_key()},
        )

    def undelete_secret_version(
        self, secret_id: str, version: str, *, idempotency_key: str | None = None
    ) -> models.SecretVersionOut:
        """Let a deleted version be read again."""
        return self.connection.ask(
            "POST",
            f"/api/v1/secrets/{uuid_segment(secret_id)}/versions/{segment(version)}/undelete",
            models.SecretVersionOut,
            headers={"Idempotency-Key": idempotency_key or fresh_key()},
        )

    def list_silence_times(self, *, from_: datetime, until: datetime) -> models.SilenceCalendarOut:
        """List when silences and maintenance count in a stretch of time, each window by itself."""
        return self.connection.ask(
            "GET",
            "/api/v1/silence-calendar",
            models.SilenceCalendarOut,
            query={"from": from_, "until": until},
        )

    def list_silences(
        self,
        *,
        state: str | None = None,
        matchers: str | None = None,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> models.SilencePage:
        """List silences and maintenance, the newest first."""
        return self.connection.ask(
            "GET",
            "/api/v1/silences",
            models.SilencePage,
            query={"state": state, "matchers": matchers, "limit": limit, "cursor": cursor},
        )

    def create_silence(
        self, body: models.SilencePut, *, idempotency_key: str | None = None
    ) -> models.SilenceOut:
        """Have nobody told of some alerts for a while."""
        return self.connection.ask(
            "POST",
            "/api/v1/silences",
            models.SilenceOut,
            body=body,
            headers={"Idempotency-Key": idempotency_key or fresh_key()},
        )

    def get_silence(self, silence_id: str) -> Tagged[models.SilenceOut]:
        """Get one silence.

        The ETag goes into If-Match.
        """
        return self.connection.ask_tagged(
            "GET", f"/api/v1/silences/{uuid_segment(silence_id)}", models.SilenceOut
        )

    def put_silence(
        self, silence_id: str, body: models.SilencePut, *, if_match: str | None = None
    ) -> Tagged[models.SilenceOut]:
        """Change a silence that is not over.

        Of one that has begun the beginning stays.
        """
        return self.connection.ask_tagged(
            "PUT",
            f"/api/v1/silences/{uuid_segment(silence_id)}",
            models.SilenceOut,
            body=body,
            headers={"If-Match": if_match},
        )

    def expire_silence(
        self, silence_id: str, *, idempotency_key: str | None = None
    ) -> models.SilenceOut:
        """End a silence now.

        It stays as history.
        """
        return self.connection.ask(
            "POST",
            f"/api/v1/silences/{uuid_segment(silence_id)}/expire",
            models.SilenceOut,
            headers={"Idempotency-Key": idempotency_key or fresh_key()},
        )

    def list_slos(self, *, limit: int | None = None, cursor: str | None = None) -> models.SloPage:
        """List the tenant's objectives and how they stand, newest first."""
        return self.connection.ask(
            "GET", "/api/v1/slos", models.SloPage, query={"limit": limit, "cursor": cursor}
        )

    def create_slo(
        self, body: models.SloPut, *, idempotency_key: str | None = None
    ) -> models.SloOut:
        """Promise something; it is measured from now on."""
        return self.connection.ask(
            "POST",
            "/api/v1/slos",
            models.SloOut,
            body=body,
            headers={"Idempotency-Key": idempotency_key or fresh_key()},
        )

    def delete_slo(self, slo_id: str) -> None:
        """Promise it no more; what was counted for it goes."""
        self.connection.tell("DELETE", f"/api/v1/slos/{uuid_segment(slo_id)}")

    def get_slo(self, slo_id: str) -> Tagged[models.SloDetailOut]:
        """Get one objective with its error budget, burn rates and days.

        The ETag goes into If-Match.
        """
        return self.connection.ask_tagged(
            "GET", f"/api/v1/slos/{uuid_segment(slo_id)}", models.SloDetailOut
        )

    def put_slo(
        self, slo_id: str, body: models.SloPut, *, if_match: str | None = None
    ) -> Tagged[models.SloOut]:
        """Promise something else; counts stay while they are of the same."""
        return self.connection.ask_tagged(
            "PUT",
            f"/api/v1/slos/{uuid_segment(slo_id)}",
            models.SloOut,
            body=body,
            headers={"If-Match": if_match},
        )

    def read_status(self, *, hours: int | None = None) -> models.StatusOut:
        """Read how the platform is and was; what it says of its insides is left out."""
        return self.connection.ask(
            "GET", "/api/v1/status", models.StatusOut, query={"hours": hours}
        )

    def erase_subject(
        self, body: models.SubjectErase, *, idempotency_key: str | None = None
    ) -> models.ErasureOut:
        """Forget a person, for good: what the audit trail tells of them, and their rows."""
        return self.connection.ask(
            "POST",
            "/api/v1/subjects/erase",
            models.ErasureOut,
            body=body,
            headers={"Idempotency-Key": idempotency_key or fresh_key()},
        )

    def list_erasures(
        self, *, limit: int | None = None, cursor: str | None = None
    ) -> models.ErasurePage:
        """List the people who were erased, or are being, newest first."""
        return self.connection.ask(
            "GET",
            "/api/v1/subjects/erasures",
            models.ErasurePage,
            query={"limit": limit, "cursor": cursor},
        )

    def get_erasure(self, erasure_id: str) -> models.ErasureOut:
        """Show one erasure: how far it is, and its certificate when it is complete."""
        return self.connection.ask(
            "GET", f"/api/v1/subjects/erasures/{uuid_segment(erasure_id)}", models.ErasureOut
        )

    def list_suppressions(
        self,
        *,
        address: str | None = None,
        reason: str | None = None,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> models.SuppressionPage:
        """List suppressed addresses, newest first."""
        return self.connection.ask(
            "GET",
            "/api/v1/suppressions",
            models.SuppressionPage,
            query={"address": address, "reason": reason, "limit": limit, "cursor": cursor},
        )

    def add_suppression(
        self, body: models.SuppressionCreate, *, idempotency_key: str | None = None
    ) -> models.SuppressionOut:
        """Never mail an address again; what was said of it before is replaced."""
        return self.connection.ask(
            "POST",
            "/api/v1/suppressions",
            models.SuppressionOut,
            body=body,
            headers={"Idempotency-Key": idempotency_key or fresh_key()},
        )

    def export_suppressions(self) -> Download:
        """Export the list as CSV, newest first; `import` takes it back."""
        return self.connection.download("GET", "/api/v1/suppressions/export")

    def import_suppressions(
        self, body: bytes, *, idempotency_key: str | None = None
    ) -> models.ImportedOut:
        """Suppress the addresses of a CSV file (address, comment, expires_at)."""
        return self.connection.ask(
            "POST",
            "/api/v1/suppressions/import",
            models.ImportedOut,
            content=body,
            media_type="text/csv",
            headers={"Idempotency-Key": idempotency_key or fresh_key()},
        )

    def remove_suppression(self, suppression_id: str) -> None:
        """Let an address be mailed again."""
        self.connection.tell("DELETE", f"/api/v1/suppressions/{uuid_segment(suppression_id)}")

    def get_suppression(self, suppression_id: str) -> models.SuppressionOut:
        """Get one suppressed address."""
        return self.connection.ask(
            "GET", f"/api/v1/suppressions/{uuid_segment(suppression_id)}", models.SuppressionOut
        )

    def list_trace_operations(
        self, *, minutes: int | None = None, service: str | None = None
    ) -> models.OperationsOut:
        """Rate, errors and duration by operation, of all spans whether kept or not."""
        return self.connection.ask(
            "GET",
            "/api/v1/trace-operations",
            models.OperationsOut,
            query={"minutes": minutes, "service": service},
        )

    def get_trace_settings(self) -> models.TraceSettingsOut:
        """What of this tenant's traces is kept, for how long, and what became of today's spans."""
        return self.connection.ask("GET", "/api/v1/trace-settings", models.TraceSettingsOut)

    def put_trace_settings(self, body: models.TraceSettingsPut) -> models.TraceSettingsOut:
        """Say what of this tenant's traces is kept, and for how long; effective within seconds."""
        return self.connection.ask(
            "PUT", "/api/v1/trace-settings", models.TraceSettingsOut, body=body
        )

    def list_traces(
        self,
        *,
        service: str | None = None,
        operation: str | None = None,
        workflow_id: str | None = None,
        execution_id: str | None = None,
        request_id: str | None = None,
        attribute: str | None = None,
        min_ms: float | None = None,
        failed: bool | None = None,
        created_after: datetime | None = None,
        created_before: datetime | None = None,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> models.TracePage:
        """List kept traces, newest first; all that is asked for has to hold."""
        return self.connection.ask(
            "GET",
            "/api/v1/traces",
            models.TracePage,
            query={
                "service": service,
                "operation": operation,
                "workflow_id": workflow_id,
                "execution_id": execution_id,
                "request_id": request_id,
                "attribute": attribute,
                "min_ms": min_ms,
                "failed": failed,
                "created_after": created_after,
                "created_before": created_before,
                "limit": limit,
                "cursor": cursor,
            },
        )

    def get_trace(self, trace_id: str) -> models.TraceTreeOut:
        """Get one trace with its spans, depth first."""
        return self.connection.ask(
            "GET", f"/api/v1/traces/{segment(trace_id)}", models.TraceTreeOut
        )

    def compare_traces(self, trace_id: str, *, other: str) -> models.ComparisonOut:
        """Compare two traces by operation, what differs most first."""
        return self.connection.ask(
            "GET",
            f"/api/v1/traces/{segment(trace_id)}/comparison",
            models.ComparisonOut,
            query={"other": other},
        )

    def get_usage(self, *, from_: str | None = None, to: str | None = None) -> models.UsageOut:
        """What this tenant did by day, and how much it has now."""
        return self.connection.ask(
            "GET", "/api/v1/usage", models.UsageOut, query={"from": from_, "to": to}
        )

    def list_webhooks(
        self, *, limit: int | None = None, cursor: str | None = None
    ) -> models.WebhookPage:
        """List programs that are told of events, the newest first."""
        return self.connection.ask(
            "GET", "/api/v1/webhooks", models.WebhookPage, query={"limit": limit, "cursor": cursor}
        )

    def create_webhook(
        self, body: models.WebhookPost, *, idempotency_key: str | None = None
    ) -> models.WebhookMadeOut:
        """Have a program told of events.

        The secret of the signatures is shown this once.
        """
        return self.connection.ask(
            "POST",
            "/api/v1/webhooks",
            models.WebhookMadeOut,
            body=body,
            headers={"Idempotency-Key": idempotency_key or fresh_key()},
        )

    def delete_webhook(self, webhook_id: str, *, if_match: str | None = None) -> None:
        """Tell it nothing more."""
        self.connection.tell(
            "DELETE", f"/api/v1/webhooks/{uuid_segment(webhook_id)}", headers={"If-Match": if_match}
        )

    def get_webhook(self, webhook_id: str) -> Tagged[models.WebhookOut]:
        """Get one webhook.

        The ETag goes into If-Match.
        """
        return self.connection.ask_tagged(
            "GET", f"/api/v1/webhooks/{uuid_segment(webhook_id)}", models.WebhookOut
        )

    def put_webhook(
        self, webhook_id: str, body: models.WebhookPut, *, if_match: str | None = None
    ) -> Tagged[models.WebhookOut]:
        """Have it told of others, or elsewhere.

        It goes on where it was, and is tried at once.
        """
        return self.connection.ask_tagged(
            "PUT",
            f"/api/v1/webhooks/{uuid_segment(webhook_id)}",
            models.WebhookOut,
            body=body,
            headers={"If-Match": if_match},
        )

    def list_webhook_deliveries(
        self,
        webhook_id: str,
        *,
        failed: bool | None = None,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> models.WebhookDeliveryPage:
        """List what was tried in the last seven days, the newest first."""
        return self.connection.ask(
            "GET",
            f"/api/v1/webhooks/{uuid_segment(webhook_id)}/deliveries",
            models.WebhookDeliveryPage,
            query={"failed": failed, "limit": limit, "cursor": cursor},
        )

    def get_webhook_delivery(
        self, webhook_id: str, delivery_id: str
    ) -> models.WebhookDeliveryDetailOut:
        """Get one try with what was sent."""
        return self.connection.ask(
            "GET",
            f"/api/v1/webhooks/{uuid_segment(webhook_id)}/deliveries/{uuid_segment(delivery_id)}",
            models.WebhookDeliveryDetailOut,
        )

    def replay_webhook(
        self, webhook_id: str, body: models.WebhookReplay, *, idempotency_key: str | None = None
    ) -> models.WebhookOut:
        """Tell it again of all events after a number or since a time, as long as they are kept."""
        return self.connection.ask(
            "POST",
            f"/api/v1/webhooks/{uuid_segment(webhook_id)}/replay",
            models.WebhookOut,
            body=body,
            headers={"Idempotency-Key": idempotency_key or fresh_key()},
        )

    def rotate_webhook(
        self, webhook_id: str, *, idempotency_key: str | None = None
    ) -> models.WebhookMadeOut:
        """Sign with another secret, shown this once.

        For a day the one before signs as well.
        """
        return self.connection.ask(
            "POST",
            f"/api/v1/webhooks/{uuid_segment(webhook_id)}/rotate",
            models.WebhookMadeOut,
            headers={"Idempotency-Key": idempotency_key or fresh_key()},
        )

    def test_webhook(
        self, webhook_id: str, *, idempotency_key: str | None = None
    ) -> models.WebhookDeliveryOut:
        """Send an event of the kind `webhook.test`, now and once, and say what came of it."""
        return self.connection.ask(
            "POST",
            f"/api/v1/webhooks/{uuid_segment(webhook_id)}/test",
            models.WebhookDeliveryOut,
            headers={"Idempotency-Key": idempotency_key or fresh_key()},
        )
