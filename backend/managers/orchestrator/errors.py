"""What the orchestrator refuses, each with its own code."""

from backend.core.errors import AppError, ConflictError, NotFoundError, UnavailableError


class JobNotFoundError(NotFoundError):
    """No such job in this tenant; another tenant's job looks the same."""

    code, title = "orchestrator.job_not_found", "Job not found"


class JobNotCancellableError(ConflictError):
    """The job has already ended."""

    code, title = "orchestrator.job_not_cancellable", "The job has already ended"


class JobNotRetryableError(ConflictError):
    """Only dead and cancelled jobs can be started again."""

    code, title = "orchestrator.job_not_retryable", "The job cannot be retried in its state"


class UnknownKindError(AppError):
    """Our own code submitted a kind that nobody registered: a bug, never the caller's fault."""

    code, title = "orchestrator.unknown_kind", "Unknown job kind"


class NoWorkerError(UnavailableError):
    """Jobs are due and no worker lives; nobody is answered so, the readiness check says it."""

    code, title = "orchestrator.no_worker", "No worker"


class WorkerLostError(UnavailableError):
    """A worker stopped without a goodbye while others work; the readiness check says it."""

    code, title = "orchestrator.worker_lost", "A worker fell silent"
