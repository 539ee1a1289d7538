"""How often the trail is signed, what is kept of it in files, and where it may go."""

from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator


class AuditSettings(BaseModel):
    """Every value has a default that suits one machine; each is one environment variable."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    origin: str = Field(
        "email-sender",
        pattern=r"^[!-*,-~]{1,100}$",
        description="What checkpoints and their keys are called, before `/` and the tenant's id.",
    )
    checkpoint_seconds: float = Field(
        60.0, ge=1.0, le=86_400.0, description="A trail that grows is signed this often at most."
    )
    checkpoint_file: Path | None = Field(
        None, description="File, best on another machine's disk, that checkpoints are appended to."
    )
    checkpoint_url: SecretStr | None = Field(
        None, description="Address that checkpoints are posted to, as JSON; it may hold a token."
    )
    checkpoint_object_url: str | None = Field(
        None,
        pattern=r"^https?://[^/?#@]+(/[^?#]*)?$",
        description="Where S3-compatible storage takes checkpoints, each an object: the bucket's "
        "address, and a prefix.",
    )
    checkpoint_object_region: str = Field(
        "us-east-1", min_length=1, description="The bucket's region, which is signed."
    )
    checkpoint_object_access_key: str = Field("", description="Who puts them: may put, no more.")
    checkpoint_object_secret_key: SecretStr = Field(
        SecretStr(""), description="What the requests are signed with."
    )
    checkpoint_mail_to: str | None = Field(
        None,
        pattern=r"^[^@\s]+@[^@\s]+$",
        description="Address that checkpoints are mailed to, by the platform's mail server.",
    )
    checkpoint_mail_seconds: float = Field(
        3600.0,
        ge=60.0,
        le=604_800.0,
        description="They are mailed this often at most, all that came since in one mail.",
    )
    verify_records: int = Field(
        20_000, ge=100, le=1_000_000, description="Records that one request verifies at most."
    )
    retention_least_days: int = Field(
        90, ge=90, le=36_500, description="Records are kept for so many days at least."
    )
    keep_verifications_days: int = Field(
        90, ge=1, le=36_500, description="Looks at a trail are forgotten so long after their end."
    )
    exports_each: int = Field(
        10, ge=1, le=10_000, description="Files of audit records that a tenant keeps at a time."
    )
    allow_private_streams: bool = Field(
        False,
        description="Let tenants stream their trail into the platform's own network, and by http.",
    )

    @model_validator(mode="after")
    def _signs_objects(self) -> Self:
        if self.checkpoint_object_url is not None and not (
            self.checkpoint_object_access_key and self.checkpoint_object_secret_key
        ):
            raise ValueError("checkpoint_object_url needs an access key and a secret key")
        return self
