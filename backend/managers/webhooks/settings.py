"""Bounds of webhooks; read once at start, frozen afterwards."""

from pydantic import BaseModel, ConfigDict, Field


class WebhooksSettings(BaseModel):
    """Of every tenant alike."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    allow_private: bool = Field(
        False, description="Let them lead into the platform's own network, and by http."
    )
