# Written by scripts/generate-client from tests/contract/openapi-v1.json.
"""One method for each operation of version 1 of the API."""

from __future__ import annotations

from datetime import datetime

from dashboard.client import models
from dashboard.client.transport import (
    Connection,
    Download,
    Tagged,
    fresh_key,
    segment,
    uuid_segment,
)


class Api:
    """The API as one session may use it. Every method may raise ``ApiProblem``."""

    def __init__(self, connection: Connection) -> None:
        """Ask over ``connection``."""
        self.connection = connection

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

    def list_audit(
        self,
        *,
        action: str | None = None,
        actor: str | None = None,
        target: str | None = None,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> models.AuditPage:
        """List the tenant's acts, newest first."""
        return self.connection.ask(
            "GET",
            "/api/v1/audit",
            models.AuditPage,
            query={
                "action": action,
                "actor": actor,
                "target": target,
                "limit": limit,
                "cursor": cursor,
            },
        )

    def verify_audit(self, *, idempotency_key: str | None = None) -> models.ChainReportOut:
        """Recompute the tenant's whole hash chain and say where it first fails, if it does."""
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

    def list_jobs(
        self,
        *,
        state: str | None = None,
        kind: str | None = None,
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
                "created_after": created_after,
                "created_before": created_before,
                "limit": limit,
                "cursor": cursor,
            },
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

    def get_job(self, job_id: str) -> models.JobOut:
        """Get one job."""
        return self.connection.ask("GET", f"/api/v1/jobs/{uuid_segment(job_id)}", models.JobOut)

    def cancel_job(self, job_id: str, *, idempotency_key: str | None = None) -> models.JobOut:
        """Cancel a waiting job at once, or ask a running one to stop."""
        return self.connection.ask(
            "POST",
            f"/api/v1/jobs/{uuid_segment(job_id)}/cancel",
            models.JobOut,
            headers={"Idempotency-Key": idempotency_key or fresh_key()},
        )

    def retry_job(self, job_id: str, *, idempotency_key: str | None = None) -> models.JobOut:
        """Start a dead or cancelled job again with all its attempts."""
        return self.connection.ask(
            "POST",
            f"/api/v1/jobs/{uuid_segment(job_id)}/retry",
            models.JobOut,
            headers={"Idempotency-Key": idempotency_key or fresh_key()},
        )

    def get_me(self) -> models.MeOut:
        """Say who the caller is, in which tenant, and what they may do."""
        return self.connection.ask("GET", "/api/v1/me", models.MeOut)

    def list_members(
        self, *, limit: int | None = None, cursor: str | None = None
    ) -> models.MemberPage:
        """List the tenant's people, newest first."""
        return self.connection.ask(
            "GET", "/api/v1/members", models.MemberPage, query={"limit": limit, "cursor": cursor}
        )

    def add_member(
        self, body: models.MemberCreate, *, idempotency_key: str | None = None
    ) -> models.MemberOut:
        """Add a person: one known by e-mail, or a new one when a password is given."""
        return self.connection.ask(
            "POST",
            "/api/v1/members",
            models.MemberOut,
            body=body,
            headers={"Idempotency-Key": idempotency_key or fresh_key()},
        )

    def remove_member(self, user_id: str) -> None:
        """End a membership; tokens bound to it stop working at once."""
        self.connection.tell("DELETE", f"/api/v1/members/{uuid_segment(user_id)}")

    def set_member_role(self, user_id: str, body: models.MemberPatch) -> models.MemberOut:
        """Change a member's role."""
        return self.connection.ask(
            "PUT", f"/api/v1/members/{uuid_segment(user_id)}", models.MemberOut, body=body
        )

    def read_overview(self, *, minutes: int | None = None) -> models.OverviewOut:
        """Read the tenant's overview."""
        return self.connection.ask(
            "GET", "/api/v1/overview", models.OverviewOut, query={"minutes": minutes}
        )

    def list_platform_audit(
        self,
        *,
        action: str | None = None,
        actor: str | None = None,
        target: str | None = None,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> models.AuditPage:
        """List the platform's own acts: tenants, log-ins, signing keys."""
        return self.connection.ask(
            "GET",
            "/api/v1/platform/audit",
            models.AuditPage,
            query={
                "action": action,
                "actor": actor,
                "target": target,
                "limit": limit,
                "cursor": cursor,
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

    def rotate_signing_key(self, *, idempotency_key: str | None = None) -> models.SigningKeyRotated:
        """Sign tokens with a new key; the old ones verify until their last token has expired."""
        return self.connection.ask(
            "POST",
            "/api/v1/platform/signing-keys/rotate",
            models.SigningKeyRotated,
            headers={"Idempotency-Key": idempotency_key or fresh_key()},
        )

    def list_tenant_certificates(
        self, *, limit: int | None = None, cursor: str | None = None
    ) -> models.CertificatePage:
        """List what went of tenants whose data is gone, newest deletion first."""
        return self.connection.ask(
            "GET",
            "/api/v1/platform/tenant-certificates",
            models.CertificatePage,
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
    ) -> models.TenantOut:
        """Create a tenant and make somebody its owner: the caller, unless an e-mail says who."""
        return self.connection.ask(
            "POST",
            "/api/v1/platform/tenants",
            models.TenantOut,
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

    def list_quotas(self) -> models.QuotaPage:
        """What this tenant may, and what it has used of it."""
        return self.connection.ask("GET", "/api/v1/quotas", models.QuotaPage)

    def list_roles(self) -> models.RolePage:
        """List the built-in roles and their permissions."""
        return self.connection.ask("GET", "/api/v1/roles", models.RolePage)

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

    def get_usage(self, *, from_: str | None = None, to: str | None = None) -> models.UsageOut:
        """What this tenant did by day, and how much it has now."""
        return self.connection.ask(
            "GET", "/api/v1/usage", models.UsageOut, query={"from": from_, "to": to}
        )
