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


class SilenceNotFoundError(NotFoundError):
    """No such silence in this tenant."""

    code, title = "alerting.silence_not_found", "There is no such silence"


class SilenceInvalidError(InvalidInputError):
    """It would silence nothing, everything, or for too long."""

    code, title = "alerting.silence_invalid", "The silence is not valid"


class SilenceOverError(ConflictError):
    """It is over: it is history, and stays as it is."""

    code, title = "alerting.silence_over", "The silence is over"


class SilenceChangedError(PreconditionError):
    """Somebody changed it meanwhile."""

    code, title = "alerting.silence_changed", "The silence was changed meanwhile"


class TooManySilencesError(ConflictError):
    """The tenant has as many as it may that are not over."""

    code, title = "alerting.too_many_silences", "There are too many silences"


class ScheduleNotFoundError(NotFoundError):
    """No such schedule in this tenant."""

    code, title = "alerting.schedule_not_found", "There is no such on-call schedule"


class ScheduleExistsError(ConflictError):
    """The tenant has one of this name."""

    code, title = "alerting.schedule_exists", "There is an on-call schedule of this name"


class ScheduleChangedError(PreconditionError):
    """Somebody changed it meanwhile."""

    code, title = "alerting.schedule_changed", "The on-call schedule was changed meanwhile"


class TooManySchedulesError(ConflictError):
    """The tenant has as many as it may."""

    code, title = "alerting.too_many_schedules", "There are too many on-call schedules"


class OverrideNotFoundError(NotFoundError):
    """No such override of this schedule."""

    code, title = "alerting.override_not_found", "There is no such override"


class OverrideInvalidError(InvalidInputError):
    """It ends before it begins, or lasts too long."""

    code, title = "alerting.override_invalid", "The override is not valid"


class TooManyOverridesError(ConflictError):
    """The schedule has as many as it may that are not over."""

    code, title = "alerting.too_many_overrides", "There are too many overrides"


class TimesInvalidError(InvalidInputError):
    """There is no such zone, or its clocks never show that."""

    code, title = "alerting.times_invalid", "A time zone or local time is not known"


class ShiftRangeError(InvalidInputError):
    """No stretch of time, or one that is too long."""

    code, title = "alerting.shift_range_invalid", "Shifts are not told of this stretch of time"
