"""What the orchestrator refuses, each with its own code."""

from backend.core.errors import (
    AppError,
    ConflictError,
    ForbiddenError,
    InvalidInputError,
    NotFoundError,
    PreconditionError,
    UnavailableError,
)


class JobNotFoundError(NotFoundError):
    """No such job in this tenant; another tenant's job looks the same."""

    code, title = "orchestrator.job_not_found", "Job not found"


class JobNotCancellableError(ConflictError):
    """The job has already ended."""

    code, title = "orchestrator.job_not_cancellable", "The job has already ended"


class JobNotRetryableError(ConflictError):
    """Only dead and cancelled jobs can be started again."""

    code, title = "orchestrator.job_not_retryable", "The job cannot be retried in its state"


class JobInvalidError(InvalidInputError):
    """Tenants may not submit such a kind, or not with such arguments."""

    code, title = "orchestrator.job_invalid", "Not a job that may be submitted"


class JobForbiddenError(ForbiddenError):
    """Whoever submits it, or sees what it is given, lacks the permission that its kind takes."""

    code, title = "orchestrator.job_forbidden", "A job of a kind that takes another permission"


class JobArgsFixedError(ConflictError):
    """What the job was given is nobody's to see or to change."""

    code, title = "orchestrator.job_args_fixed", "The job's arguments are not to be changed"


class UnknownKindError(AppError):
    """Our own code submitted a kind that nobody registered: a bug, never the caller's fault."""

    code, title = "orchestrator.unknown_kind", "Unknown job kind"


class CallbackNotFoundError(NotFoundError):
    """No attempt is to be answered there: made up, too late, of another attempt, or cancelled."""

    code, title = "orchestrator.callback_not_found", "Nothing to be answered here"


class NoWorkerError(UnavailableError):
    """Jobs are due and no worker lives; nobody is answered so, the readiness check says it."""

    code, title = "orchestrator.no_worker", "No worker"


class WorkerLostError(UnavailableError):
    """A worker stopped without a goodbye while others work; the readiness check says it."""

    code, title = "orchestrator.worker_lost", "A worker fell silent"


class WorkerNotFoundError(NotFoundError):
    """No such worker: it ended in order, or never was."""

    code, title = "orchestrator.worker_not_found", "Worker not found"


class WorkerSilentError(ConflictError):
    """It beats no more: it claims nothing anyway, and would not hear."""

    code, title = "orchestrator.worker_silent", "The worker is silent"


class GraphInvalidError(InvalidInputError):
    """It is no graph: names twice, unknown parents, circles, or too much of it."""

    code, title = "orchestrator.graph_invalid", "Not a graph of jobs"


class GraphNotFoundError(NotFoundError):
    """No such graph in this tenant."""

    code, title = "orchestrator.graph_not_found", "Graph not found"


class GraphOverError(ConflictError):
    """All of its jobs have ended."""

    code, title = "orchestrator.graph_over", "The graph has already ended"


class GraphNotRetryableError(ConflictError):
    """None of its jobs is dead, cancelled or skipped."""

    code, title = "orchestrator.graph_not_retryable", "Nothing of the graph can be retried"


class JobScheduleInvalidError(InvalidInputError):
    """Nothing can be due by it, or what it submits is no graph."""

    code, title = "orchestrator.schedule_invalid", "Not a schedule"


class JobScheduleNotFoundError(NotFoundError):
    """No such schedule in this tenant."""

    code, title = "orchestrator.schedule_not_found", "Schedule not found"


class JobScheduleExistsError(ConflictError):
    """Another one of the tenant's has the name."""

    code, title = "orchestrator.schedule_exists", "There is a schedule of this name"


class TooManyJobSchedulesError(ConflictError):
    """The tenant has as many as it may."""

    code, title = "orchestrator.too_many_schedules", "Too many schedules"


class JobScheduleChangedError(PreconditionError):
    """Somebody changed it since it was read."""

    code, title = "orchestrator.schedule_changed", "The schedule was changed meanwhile"
