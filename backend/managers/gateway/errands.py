"""The gate's work across tenants: whose key it is has to be known before its tenant is."""

from typing import Final

from backend.core.columns import tables_of
from backend.core.context import Errand
from backend.managers.gateway.models import ApiKey, IdempotencyRecord, LimitRow
from backend.managers.security import SEALING
from backend.managers.tenant import PEOPLE

API_KEYS: Final = Errand("gateway.api_keys", tables_of(ApiKey) | PEOPLE)
"""Finding an API key and its tenant, and noting when it was used."""

PLATFORM_KEYS: Final = Errand("gateway.platform_keys", tables_of(ApiKey) | PEOPLE, of_platform=True)
"""The API keys of the platform itself; each statement names its tenant by hand."""
LIMITS: Final = Errand("gateway.limits", tables_of(LimitRow) | PEOPLE, of_platform=True)
"""Limits as the platform sets them, and as every process reads them."""

PLATFORM_ANSWERS: Final = Errand("gateway.platform_answers", SEALING, of_platform=True)
"""Opening the answer to an act of the platform, which its own keys seal."""

RETENTION: Final = Errand("gateway.retention", tables_of(IdempotencyRecord))
"""Forgetting what has expired."""

ANSWERS: Final = tables_of(IdempotencyRecord) | SEALING
"""What keeping an answer under its Idempotency-Key touches, whatever the act's own errand."""
