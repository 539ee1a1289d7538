"""Deleted tenants: the certificate of what went of each, which stays."""

from typing import Final

from dashboard import pages
from dashboard.client import Api, models
from dashboard.pages import Column, ListPage


def _went(certificate: models.TenantCertificateOut) -> str:
    found = [f"{count:,} {table}" for table, count in sorted(certificate.counts.items()) if count]
    return ", ".join(found) or "none"


PAGE: Final = ListPage(
    key="tenant-certificates",
    of=models.TenantCertificateOut,
    title="Deleted tenants",
    lead="What went of tenants whose data is gone, and the last link of each one's audit trail.",
    noun="deleted tenant",
    nothing="A tenant comes here once its grace period is over and its data is gone.",
    fetch=Api.list_tenant_certificates,
    columns=(
        Column("name", "Name", "strong"),
        Column("slug", "Slug", "code"),
        Column("deleted_at", "Deleted", "time"),
        Column("finished_at", "Gone since", "time"),
    ),
    facts=(
        Column("deleted_by", "Deleted by", "who"),
        Column("tenant_id", "Tenant", "code"),
        Column("tenant_created_at", "Was made", "time"),
        Column("counts", "Rows that went", value=_went),
        Column("audit_seq", "Records of its audit trail"),
        Column("audit_root", "Hash of the last one", "code"),
        Column("statement", "Signed statement", "code"),
        Column("signature", "Signature", "code"),
    ),
    export=(
        "id", "tenant_id", "slug", "name", "deleted_at", "deleted_by", "finished_at", "counts",
        "audit_seq", "audit_root", "statement", "signature", "key_id",
    ),
)  # fmt: skip

if __name__ == "__main__":
    pages.draw(PAGE)
