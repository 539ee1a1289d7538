"""How often the trail is signed, what is kept of it in files, and where it may go."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, SecretStr


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
    verify_records: int = Field(
        20_000, ge=100, le=1_000_000, description="Records that one request verifies at most."
    )
    exports_each: int = Field(
        10, ge=1, le=10_000, description="Files of audit records that a tenant keeps at a time."
    )
    allow_private_streams: bool = Field(
        False,
        description="Let tenants stream their trail into the platform's own network, and by http.",
    )
