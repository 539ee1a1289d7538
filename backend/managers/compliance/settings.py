"""How fast the walks that forget people go."""

from pydantic import BaseModel, ConfigDict, Field


class ComplianceSettings(BaseModel):
    """Of the whole installation."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    erase_rows_per_second: float = Field(
        20_000, gt=0, description="Rows that forgetting people looks at, in the whole installation."
    )
