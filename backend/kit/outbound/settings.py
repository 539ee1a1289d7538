"""How names are looked up, and how much of it one tenant may have."""

from pydantic import BaseModel, ConfigDict, Field


class OutboundSettings(BaseModel):
    """For all that leaves this process."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name_servers: tuple[str, ...] = Field(
        (),
        description="Addresses of name servers, with #port if it is not 53; unset: the system's.",
    )
    lookup_seconds: float = Field(
        5.0, gt=0, le=60, description="One look-up, the wait for its turn and all tries included."
    )
    lookups: int = Field(128, ge=1, description="Look-ups in the air for all tenants together.")
    lookups_each: int = Field(4, ge=1, description="The same of one tenant.")
    requests_each: int = Field(8, ge=1, description="HTTP requests in the air of one tenant.")
    requests_destination: int = Field(
        4, ge=1, description="The same of one tenant to one destination."
    )
    breaker_failures: int = Field(
        5, ge=1, description="Failures in a row after which a tenant's destination is left alone."
    )
    breaker_seconds: float = Field(
        10.0, gt=0, description="So long; then one try decides about the others."
    )
