"""What the alerting room refuses, each by its code."""

from backend.core.errors import (
    ConflictError,
    InvalidInputError,
    NotFoundError,
    PreconditionError,
)


class MatcherInvalidError(InvalidInputError):
    """It asks nothing that labels could be held against."""

    code, title = "alerting.matcher_invalid", "The matcher cannot be read"


class ConditionInvalidError(InvalidInputError):
    """It is no condition; the detail says where and why."""

    code, title = "alerting.condition_invalid", "The condition cannot be read"


class RuleNotFoundError(NotFoundError):
    """No such rule in this tenant."""

    code, title = "alerting.rule_not_found", "There is no such alert rule"


class RuleExistsError(ConflictError):
    """The tenant has one of this name."""

    code, title = "alerting.rule_exists", "There is an alert rule of this name"


class TooManyRulesError(ConflictError):
    """The tenant has as many as it may."""

    code, title = "alerting.too_many_rules", "There are too many alert rules"


class RuleChangedError(PreconditionError):
    """Somebody changed it meanwhile."""

    code, title = "alerting.rule_changed", "The alert rule was changed meanwhile"


class TooManyAlertsError(ConflictError):
    """So many of the tenant's alerts are not over."""

    code, title = "alerting.too_many_alerts", "There are too many alerts"


class AlertNotFoundError(NotFoundError):
    """No such alert in this tenant."""

    code, title = "alerting.alert_not_found", "There is no such alert"


class AlertOverError(ConflictError):
    """It is over: nothing can be done about it any more."""

    code, title = "alerting.alert_over", "The alert is over"
