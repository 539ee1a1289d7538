"""Where Prometheus is, and how much of it one tenant may have; read once at start."""

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, SecretStr

_HttpUrl = Annotated[str, Field(pattern=r"^https?://[^\s/?#]+(/[^\s?#]*)?$")]


class MonitoringSettings(BaseModel):
    """A Prometheus, or what answers as one; without an address there is none."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    prometheus_url: _HttpUrl | None = Field(
        None, description="Its root, for example http://prometheus:9090; unset: no queries."
    )
    prometheus_token: SecretStr | None = Field(
        None, description="Sent as a bearer token, if it asks for one."
    )
    prometheus_ca: Path | None = Field(
        None, description="PEM file of the authority that signed its certificate."
    )
    prometheus_label: str = Field(
        "tenant_id",
        pattern=r"^_?[a-zA-Z][a-zA-Z0-9_]*$",
        description="Label whose value, a tenant's id, says whose a series is.",
    )
    prometheus_seconds: float = Field(
        10.0, ge=1, le=60, description="One question; and as long, before, the wait for its turn."
    )
    prometheus_points: int = Field(
        2000, ge=10, le=11_000, description="Points of a line at most; Prometheus has 11 000."
    )
    prometheus_bytes: int = Field(
        4 * 2**20, ge=2**16, le=2**28, description="Bytes of one answer, unpacked."
    )
    prometheus_queries: int = Field(
        8, ge=1, le=64, description="Questions in the air for all tenants together: threads."
    )
    prometheus_queries_each: int = Field(2, ge=1, le=64, description="The same of one tenant.")
