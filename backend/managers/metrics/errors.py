"""What the metrics room refuses, each with its own code; of a batch, an item at a time."""

from backend.core.errors import ConflictError, InvalidInputError, RateLimitedError


class InvalidItemError(InvalidInputError):
    """A name, a label, a value or a time is not one that can be kept; the detail says which."""

    code, title = "metrics.invalid_item", "The observation cannot be recorded"


class KindDiffersError(ConflictError):
    """A metric is a counter, a gauge or a histogram for all its series, and for ever."""

    code, title = "metrics.kind_differs", "The metric is of another kind"


class TooManySeriesError(InvalidInputError):
    """The tenant has as many series as it may have: known ones go on, new ones are refused."""

    code, title = "metrics.too_many_series", "The tenant has all the series that it may have"


class MetricBudgetError(RateLimitedError):
    """The tenant has recorded as much today as one may; with the next day it goes on."""

    code, title = "metrics.budget_used", "The tenant has recorded as much as it may today"


class InvalidQueryError(InvalidInputError):
    """What is asked for cannot be asked of this kind of metric, or of this window."""

    code, title = "metrics.invalid_query", "The metric cannot be asked for this"


class RetentionOrderError(InvalidInputError):
    """Longer windows are made of shorter ones, and stay at least as long."""

    code, title = "metrics.retention_order", "Longer windows must stay at least as long"
