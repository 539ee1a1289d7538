"""How much of logs is taken in, how long it is kept, and where it is exported to."""

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator


class LoggingSettings(BaseModel):
    """Of the whole installation."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_body_bytes: int = Field(
        5 * 2**20, ge=1024, description="HTTP body of one batch of lines, packed or not."
    )
    max_unpacked_bytes: int = Field(
        16 * 2**20, ge=1024, description="The same batch when it is unpacked."
    )
    max_lines: int = Field(10_000, ge=1, le=100_000, description="Lines of one batch.")
    max_line_bytes: int = Field(
        32 * 2**10, ge=256, le=2**20, description="One line; a longer one is refused alone."
    )
    day_bytes: int = Field(
        2**30, ge=1024, description="Lines that one tenant may send a day, UTC, unpacked."
    )
    keep_days: int = Field(30, ge=1, le=3650, description="Lines stay so long, unless told.")
    max_keep_days: int = Field(
        400, ge=1, le=3650, description="The longest that a tenant may keep its lines."
    )
    requests_per_second: float = Field(
        500, gt=0, le=1_000_000, description="`/api/v1/logs` and below: rate per caller."
    )
    burst_requests: int = Field(
        1000, ge=1, le=10_000_000, description="`/api/v1/logs` and below: burst per caller."
    )
    elasticsearch_url: str | None = Field(
        None,
        pattern=r"^https?://[^/?#@]+(/[^?#]*)?$",
        description="Elasticsearch 8 or 9 that all lines are exported to; unset: nowhere.",
    )
    elasticsearch_api_key: SecretStr | None = Field(
        None, description="Its API key, in the encoded form."
    )
    elasticsearch_user: str = Field("", description="Instead of an API key: a user.")
    elasticsearch_password: SecretStr = Field(SecretStr(""), description="The user's password.")
    elasticsearch_prefix: str = Field(
        "logs-email_sender",
        pattern=r"^[a-z0-9][a-z0-9._-]{0,99}$",
        description="What the data streams are called before `-`, and the index template.",
    )
    elasticsearch_streams: Literal["shared", "tenant"] = Field(
        "shared",
        description="One data stream for all, with the tenant in `organization.id`, or one for "
        "each tenant.",
    )
    elasticsearch_template: bool = Field(
        True, description="Whether we put the index template; else somebody else has."
    )
    elasticsearch_bulk_documents: int = Field(
        1000, ge=1, le=10_000, description="Lines that are read and sent at once at most."
    )
    elasticsearch_bulk_bytes: int = Field(
        5 * 2**20, ge=1024, le=100 * 2**20, description="Body of one bulk; a 413 halves it."
    )
    elasticsearch_timeout_seconds: float = Field(
        10.0, ge=0.1, le=300, description="For one answer of Elasticsearch."
    )
    elasticsearch_search: bool = Field(
        True, description="Whether lines are looked for there; else here alone."
    )
    elasticsearch_search_seconds: float = Field(
        5.0, ge=0.1, le=300, description="For one search there; then it is made here."
    )
    elasticsearch_longest_wait_seconds: float = Field(
        30.0, gt=0, le=3600, description="The longest wait after failures in a row."
    )
    elasticsearch_patience_seconds: float = Field(
        600.0,
        ge=0,
        description="A line that is refused so long while others are taken is a dead letter.",
    )
    elasticsearch_hold_days: int = Field(
        7, ge=0, le=3650, description="Retention waits so long for lines that are not exported yet."
    )
    elasticsearch_behind_seconds: float = Field(
        300.0, gt=0, description="A line may wait so long before the readiness check says so."
    )
    elasticsearch_keep_letters_days: int = Field(
        30, ge=1, le=3650, description="Dead letters are forgotten after so long."
    )

    @model_validator(mode="after")
    def _names_one_credential(self) -> Self:
        if self.elasticsearch_api_key is not None and self.elasticsearch_user:
            raise ValueError("elasticsearch_api_key and elasticsearch_user: one of them")
        return self
