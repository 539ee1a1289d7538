"""Who is asking, how far they may see, and the ids that tie their traces together."""

from dataclasses import dataclass, field
from typing import Final, NamedTuple

from backend.core.ids import PLATFORM_TENANT


@dataclass(frozen=True, slots=True)
class Principal:
    """A verified caller, bound to exactly one tenant.

    ``subject`` is the stable id in audit rows: ``user:<uuid>``, ``client:<client id>`` or
    ``api_key:<uuid>``. ``platform_role`` is what they are to the platform, if anything;
    ``console`` says that a person looks on through the platform's own console; ``networks`` where
    the credential may be used from, in CIDR notation, if not anywhere. Of a person,
    ``session_id`` is the log-in they act by and ``logged_in_at`` when that was, in epoch seconds;
    ``second_factor`` whether more than a password was asked for.
    """

    subject: str
    kind: str
    tenant_id: str
    permissions: frozenset[str]
    name: str = ""
    role: str = ""
    platform_role: str = ""
    expires_at: float = 0.0
    console: bool = False
    networks: tuple[str, ...] = ()
    session_id: str = ""
    logged_in_at: float = 0.0
    second_factor: bool = False

    @property
    def user_id(self) -> str:
        """The person's id; empty for a program."""
        return self.subject.partition(":")[2] if self.kind == "user" else ""


class Run(NamedTuple):
    """Which run of which workflow asks, in its own ids and by its own account; empty: unknown."""

    workflow: str = ""
    execution: str = ""


NO_RUN: Final = Run()


@dataclass(frozen=True, slots=True)
class Scope:
    """The rows one transaction may touch: those of ``tenant_id`` and no others."""

    actor: str
    tenant_id: str
    request_id: str = ""
    traceparent: str = ""
    run: Run = NO_RUN


@dataclass(frozen=True, slots=True)
class Errand:
    """Work that spans tenants, declared by the room whose work it is, and the tables it may touch.

    Appending to the audit trail and to the outbox needs no mention: every change may be recorded.

    Attributes:
        name: ``<room>.<what for>``; unique in the house.
        tables: The only tables it may read or change.
        of_platform: It speaks for the platform itself, whoever asks, and not for their tenant.
        confined: Of tables with tenants it reaches the rows of its scope's tenant alone.
        in_order: Its statements read the first rows of an index that is in their order already.
            PostgreSQL is not to sort for them what it can read sorted: of a table that was all but
            empty when it was last analysed it believes that to collect and to sort all of it costs
            nothing, however much has come since.
    """

    name: str
    tables: frozenset[str]
    of_platform: bool = False
    confined: bool = False
    in_order: bool = False


@dataclass(frozen=True, slots=True)
class SystemScope:
    """Work of the platform itself across tenants, limited to the tables its errand lists.

    ``along`` are tables that whoever opens the transaction brings to every errand: what the edge
    keeps of its answer, what the hooks of job kinds change.
    """

    errand: Errand
    actor: str = "system"
    request_id: str = ""
    traceparent: str = ""
    tenant_id: str = PLATFORM_TENANT
    along: frozenset[str] = frozenset()
    run: Run = NO_RUN
    tables: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "tables", self.errand.tables | self.along)


AnyScope = Scope | SystemScope
