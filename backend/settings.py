"""All settings, read once at the front door and frozen: environment variables EMAIL_SENDER__*.

Nested with a double underscore: ``EMAIL_SENDER__DATABASE__URL``. What may change while running is
not here but in rows.
"""

import os
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from backend.kit.outbound import OutboundSettings
from backend.managers.alerting import AlertingSettings
from backend.managers.audit import AuditSettings
from backend.managers.compliance import ComplianceSettings
from backend.managers.email import EmailSettings
from backend.managers.gateway import GatewaySettings, RedisSettings
from backend.managers.identity import IdentitySettings
from backend.managers.logging import LoggingSettings
from backend.managers.metrics import MetricsSettings
from backend.managers.monitoring import MonitoringSettings
from backend.managers.orchestrator import OrchestratorSettings
from backend.managers.secrets import SecretsSettings
from backend.managers.security import SecuritySettings
from backend.managers.tenant import TenantSettings
from backend.managers.tracing import TracingSettings
from backend.managers.webhooks import WebhooksSettings

_PREFIX: Final = "EMAIL_SENDER__"
_STARS: Final = "*****"


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class DatabaseSettings(_Section):
    """Two roles: the service owns nothing, the owner migrates."""

    url: SecretStr | None = Field(
        None,
        description="Run-time DSN, postgresql:// or sqlite:///; unset: SQLite in the data folder.",
    )
    owner_url: SecretStr | None = Field(
        None, description="DSN of the role that owns the tables, for migrations; unset is `url`."
    )
    pool_size: int = Field(10, ge=1, le=100, description="Connections a process keeps.")
    prepared_statements: bool = Field(
        True, description="Off behind a pooler in transaction mode, such as PgBouncer."
    )
    min_free_bytes: int = Field(
        64 * 2**20, ge=0, description="Free space on SQLite's disk below which we are not ready."
    )


class HttpSettings(_Section):
    """The listener of the API."""

    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8400, ge=1, le=65535, description="Port to listen on.")
    trusted_proxies: frozenset[str] = Field(
        frozenset(), description="Addresses whose X-Forwarded-For is believed."
    )
    body_limit_bytes: int = Field(2**20, ge=1024, description="Request body, except for e-mail.")


class EventSettings(_Section):
    """How long events stay, and how many may be followed live."""

    keep_hours: float = Field(
        240,
        gt=0,
        description="Events that every consumer has read stay so long, for streams and webhooks.",
    )
    keep_days: float = Field(11, gt=0, description="Events go after so long, read or not.")
    keep_rows: int = Field(1_000_000, ge=1000, description="Events kept of one tenant at most.")
    streams: int = Field(200, ge=1, description="Streams that a process keeps open.")
    streams_per_tenant: int = Field(20, ge=1, description="Of these, one tenant's.")
    stream_seconds: float = Field(3600, gt=0, description="A stream's end; clients come back.")


class TelemetrySettings(_Section):
    """Logs, traces and the process's own metrics port."""

    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Least level written."
    )
    access_log: bool = Field(True, description="One line a request.")
    otlp_endpoint: str | None = Field(
        None, description="OTLP/HTTP traces endpoint, for example http://collector:4318/v1/traces."
    )
    trace_share: float = Field(
        0.01, ge=0, le=1, description="Share of unremarkable traces that are kept."
    )
    slow_seconds: float = Field(1.0, gt=0, description="Slower requests always keep their trace.")
    worker_metrics_port: int = Field(
        8405, ge=0, le=65535, description="The worker's own /metrics; 0 switches it off."
    )


class CliSettings(_Section):
    """The commands that speak to an API, wherever it is."""

    profiles: Path = Field(
        Path("~/.config/email-sender/profiles.json"), description="What `login` keeps, mode 0600."
    )
    secret: SecretStr | None = Field(
        None, description="For `login`: a client's secret, or an API key."
    )


class Settings(BaseSettings):
    """The whole configuration of one process."""

    model_config = SettingsConfigDict(
        env_prefix=_PREFIX, env_nested_delimiter="__", frozen=True, extra="forbid"
    )

    data_dir: Path = Field(
        Path("data"), description="Root key, SQLite file, sockets, logs, sink mail."
    )
    database: DatabaseSettings = DatabaseSettings()
    http: HttpSettings = HttpSettings()
    events: EventSettings = EventSettings()
    telemetry: TelemetrySettings = TelemetrySettings()
    security: SecuritySettings = SecuritySettings()
    compliance: ComplianceSettings = ComplianceSettings()
    identity: IdentitySettings = IdentitySettings()
    gateway: GatewaySettings = GatewaySettings()
    tenant: TenantSettings = TenantSettings()
    audit: AuditSettings = AuditSettings()
    tracing: TracingSettings = TracingSettings()
    redis: RedisSettings = RedisSettings()
    logging: LoggingSettings = LoggingSettings()
    alerting: AlertingSettings = AlertingSettings()
    webhooks: WebhooksSettings = WebhooksSettings()
    metrics: MetricsSettings = MetricsSettings()
    monitoring: MonitoringSettings = MonitoringSettings()
    orchestrator: OrchestratorSettings = OrchestratorSettings()
    email: EmailSettings = EmailSettings()
    secrets: SecretsSettings = SecretsSettings()
    outbound: OutboundSettings = OutboundSettings()
    cli: CliSettings = CliSettings()

    @model_validator(mode="before")
    @classmethod
    def _refuse_unknown_sections(cls, data: Any) -> Any:
        """Refuse a variable that sets nothing, which the reader of the environment passes over.

        ``EMAIL_SENDER__DATABSE__URL`` would otherwise start us on an empty SQLite file.
        """
        for name in sorted(os.environ):
            section = name.upper().removeprefix(_PREFIX).partition("__")[0].lower()
            if name.upper().startswith(_PREFIX) and section not in cls.model_fields:
                raise ValueError(f"{name} is no setting of this release")
        return data

    def of(self, room: str) -> Any:
        """The section of a room; None for one that has none."""
        return getattr(self, room, None)

    @property
    def database_url(self) -> str:
        """The run-time DSN."""
        if self.database.url is not None:
            return self.database.url.get_secret_value()
        return f"sqlite:///{self.data_dir.resolve() / 'email-sender.db'}"

    @property
    def owner_url(self) -> str:
        """The DSN that migrates."""
        owner = self.database.owner_url
        return owner.get_secret_value() if owner is not None else self.database_url

    def redacted(self) -> dict[str, Any]:
        """All values as text; secrets, and in URLs everything that may be one, as stars.

        Of a DSN the host and the role stay: they are what somebody who asks wants to compare.
        """
        shown: dict[str, Any] = _redacted(self.model_dump())
        return shown


def _redacted(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _redacted(inner) for name, inner in value.items()}
    if isinstance(value, set | frozenset | list | tuple):
        return sorted(_redacted(inner) for inner in value)
    if isinstance(value, SecretStr):
        secret = value.get_secret_value()
        return _redacted_url(secret) if "://" in secret else _STARS
    if isinstance(value, str) and "://" in value:
        return _redacted_url(value)
    return str(value) if isinstance(value, Path) else value


def _redacted_url(text: str) -> str:
    try:
        parts = urlsplit(text)
        port = f":{parts.port}" if parts.port is not None else ""
    except ValueError:
        return _STARS
    login = ""
    if parts.username or parts.password:
        # Mail providers hand out tokens that are user name and password at once.
        role = f"{parts.username}:" if parts.scheme.startswith("postgresql") else ""
        login = f"{role}{_STARS}@"
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname or ""
    # A query may hold a password too (postgresql://host/db?password=...).
    query = f"?{_STARS}" if parts.query or parts.fragment else ""
    return f"{parts.scheme}://{login}{host}{port}{parts.path}{query}"
