"""Wire types of workers."""

from datetime import datetime

from pydantic import BaseModel, Field

from backend.managers.orchestrator._workers import WorkerState


class WorkerLoadOut(BaseModel):
    """How much of a worker a tenant has."""

    tenant_id: str
    running: int


class WorkerOut(BaseModel):
    """A process that runs jobs."""

    id: str = Field(description="Another one for each start", examples=["mail-1:4711:9f2c01"])
    host: str = Field(examples=["mail-1"])
    pid: int
    version: str | None = Field(
        description="Of its program; null: an older one, which cannot be drained"
    )
    started_at: datetime
    beat_at: datetime = Field(description="When it was heard last")
    state: WorkerState = Field(
        description="`draining` takes nothing more and ends what it runs; `silent` is dead, or "
        "cannot be heard: others get its jobs"
    )
    slots: int | None = Field(description="How many jobs it runs at once; null: an older program")
    running: int = Field(description="Jobs that it holds")
    drained: bool = Field(
        description="It drains, has said so itself, and runs nothing: it can be stopped"
    )
    tenants: list[WorkerLoadOut] = Field(description="Whose jobs they are, the most first")


class WorkerSwitchedOut(WorkerOut):
    """A worker that was told to drain, or to go on."""

    working: int = Field(description="Workers that take work now; 0: no job starts any more")
