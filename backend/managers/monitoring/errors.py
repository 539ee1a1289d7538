"""What the monitoring room refuses, each by its code, and how questions to Prometheus fail."""

from backend.core.errors import (
    ConflictError,
    DeadlineError,
    InvalidInputError,
    MalformedError,
    NotFoundError,
    PreconditionError,
    RateLimitedError,
    UnavailableError,
)


class BadQueryError(MalformedError):
    """The text is no PromQL; ``line`` and ``column``, from 1, say where, if that is known."""

    code, title = "monitoring.bad_query", "The query cannot be read"


class QueryRefusedError(InvalidInputError):
    """PromQL, but too much of it, of a kind that no wall can be put into, or without an answer."""

    code, title = "monitoring.query_refused", "The query is refused"


class QueryBusyError(RateLimitedError):
    """The caller's tenant has as many questions at work as it may; none of them ended in time."""

    code, title = "monitoring.query_busy", "Too many queries of this tenant are at work"


class PrometheusUnavailableError(UnavailableError):
    """Nobody there, an answer that is none, or left alone after failures; carries Retry-After."""

    code, title = "monitoring.prometheus_unavailable", "Prometheus does not answer"


class PrometheusAbsentError(UnavailableError):
    """The operator has set no address of a Prometheus."""

    code, title = "monitoring.prometheus_absent", "No Prometheus is connected"


class QueryTimeoutError(DeadlineError):
    """Prometheus did not come to an end in the time that one question has."""

    code, title = "monitoring.query_timeout", "The query took too long"


class QueryNotFoundError(NotFoundError):
    """No such kept query in this tenant."""

    code, title = "monitoring.query_not_found", "No such query"


class QueryExistsError(ConflictError):
    """Another kept query of the tenant has this name."""

    code, title = "monitoring.query_exists", "A query of this name exists"


class QueryChangedError(PreconditionError):
    """Somebody changed the kept query since the caller read it."""

    code, title = "monitoring.query_changed", "The query has changed meanwhile"


class TooManyQueriesError(ConflictError):
    """The tenant keeps as many queries as a list still holds."""

    code, title = "monitoring.too_many_queries", "The tenant keeps all the queries that it may"


class SloNotFoundError(NotFoundError):
    """No such objective in this tenant."""

    code, title = "monitoring.slo_not_found", "No such objective"


class SloExistsError(ConflictError):
    """Another objective of the tenant has this name."""

    code, title = "monitoring.slo_exists", "An objective of this name exists"


class SloInvalidError(InvalidInputError):
    """The kind needs something else; the detail says what."""

    code, title = "monitoring.slo_invalid", "The objective cannot be measured so"


class TooManySlosError(ConflictError):
    """The tenant has as many objectives as are measured for it."""

    code, title = "monitoring.too_many_slos", "The tenant has all the objectives that it may have"


class EvidenceTimeError(InvalidInputError):
    """Nothing has been measured in the future."""

    code, title = "monitoring.evidence_time", "The time lies in the future"


class DiskLowError(UnavailableError):
    """Less than a tenth of this process's disk is free."""

    code, title = "monitoring.disk_low", "The disk is nearly full"


class ClockSkewError(UnavailableError):
    """This process's clock and the database's disagree by seconds."""

    code, title = "monitoring.clock_skew", "The clocks disagree"


class SloChangedError(PreconditionError):
    """If-Match names a version of the objective that is no longer current."""

    code, title = "monitoring.slo_changed", "The objective has changed meanwhile"
