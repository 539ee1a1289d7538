"""What questions to Prometheus are refused for, and how they fail."""

from backend.core.errors import (
    DeadlineError,
    InvalidInputError,
    MalformedError,
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
