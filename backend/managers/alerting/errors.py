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


class ShippedNotFoundError(NotFoundError):
    """No rule of this name ships."""

    code, title = "alerting.shipped_not_found", "There is no such rule in the catalogue"


class NoHistoryError(InvalidInputError):
    """What it asks is known of the present alone."""

    code, title = "alerting.no_history", "A condition of this kind cannot be tried"


class RuleFileInvalidError(InvalidInputError):
    """It is no file of rules; the detail says why."""

    code, title = "alerting.rule_file_invalid", "The rule file cannot be read"


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


class IncidentNotFoundError(NotFoundError):
    """No such one in this tenant."""

    code, title = "alerting.incident_not_found", "There is no such incident"


class IncidentChangedError(PreconditionError):
    """Somebody changed it meanwhile."""

    code, title = "alerting.incident_changed", "The incident was changed meanwhile"


class IncidentOverError(ConflictError):
    """It is over."""

    code, title = "alerting.incident_over", "The incident is over"


class ScheduleNotFoundError(NotFoundError):
    """No such schedule in this tenant."""

    code, title = "alerting.schedule_not_found", "There is no such on-call schedule"


class ScheduleExistsError(ConflictError):
    """The tenant has one of this name."""

    code, title = "alerting.schedule_exists", "There is an on-call schedule of this name"


class ScheduleChangedError(PreconditionError):
    """Somebody changed it meanwhile."""

    code, title = "alerting.schedule_changed", "The on-call schedule was changed meanwhile"


class ScheduleInUseError(ConflictError):
    """A channel leads to who is on call by it."""

    code, title = "alerting.schedule_in_use", "The on-call schedule is in use"


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


class SilenceRangeError(InvalidInputError):
    """No stretch of time, or one that is too long."""

    code, title = "alerting.silence_range_invalid", "Silences are not told of this stretch of time"


class ChannelNotFoundError(NotFoundError):
    """No such channel in this tenant."""

    code, title = "alerting.channel_not_found", "There is no such channel"


class ChannelExistsError(ConflictError):
    """The tenant has one of this name."""

    code, title = "alerting.channel_exists", "There is a channel of this name"


class ChannelChangedError(PreconditionError):
    """Somebody changed it meanwhile."""

    code, title = "alerting.channel_changed", "The channel was changed meanwhile"


class ChannelInvalidError(InvalidInputError):
    """It leads nowhere."""

    code, title = "alerting.channel_invalid", "The channel leads nowhere"


class ChannelInUseError(ConflictError):
    """A policy, or another channel, leads to it."""

    code, title = "alerting.channel_in_use", "The channel is in use"


class TooManyChannelsError(ConflictError):
    """The tenant has as many as it may."""

    code, title = "alerting.too_many_channels", "There are too many channels"


class PolicyNotFoundError(NotFoundError):
    """No such policy in this tenant."""

    code, title = "alerting.policy_not_found", "There is no such escalation policy"


class PolicyExistsError(ConflictError):
    """The tenant has one of this name."""

    code, title = "alerting.policy_exists", "There is an escalation policy of this name"


class PolicyChangedError(PreconditionError):
    """Somebody changed it meanwhile."""

    code, title = "alerting.policy_changed", "The escalation policy was changed meanwhile"


class PolicyInvalidError(InvalidInputError):
    """A step leads to a channel that is not there."""

    code, title = "alerting.policy_invalid", "The escalation policy cannot be followed"


class PolicyInUseError(ConflictError):
    """A route leads to it."""

    code, title = "alerting.policy_in_use", "The escalation policy is in use"


class TooManyPoliciesError(ConflictError):
    """The tenant has as many as it may."""

    code, title = "alerting.too_many_policies", "There are too many escalation policies"


class RoutingInvalidError(InvalidInputError):
    """A route leads nowhere, or cannot be read."""

    code, title = "alerting.routing_invalid", "The routes cannot be followed"


class RoutingChangedError(PreconditionError):
    """Somebody changed them meanwhile."""

    code, title = "alerting.routing_changed", "The routes were changed meanwhile"
