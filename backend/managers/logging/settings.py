"""How much of logs is taken in, and how long it is kept where a tenant says nothing."""

from pydantic import BaseModel, ConfigDict, Field


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
