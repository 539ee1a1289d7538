"""How often the trail is signed, and where that is told: read once at start, frozen afterwards."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, SecretStr


class AuditSettings(BaseModel):
    """Of checkpoints: what they are called, how often there is one, and who is handed them."""

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
