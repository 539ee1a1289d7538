"""The price of a decision: may a caller do this? Ours against engines that evaluate policies.

Each side answers one question at a time with the same roles and permissions at hand, loaded and
warm, as a request would ask it. Counted are decisions a second at the 99th percentile: the
slowest hundredth of all questions, not the mean, is what a busy minute is made of.
"""

import json
import statistics
from collections.abc import Callable, Sequence
from time import perf_counter_ns
from typing import Final

import casbin
import cedarpy

from backend.core.context import Principal
from backend.core.ids import uuid7
from scripts.benchmarks.measure import BenchmarkError, Result, alternate

RULES: Final = 1000
_MANY, _FEW = 100_000, 10
_QUESTIONS: Final = 20_000
_BATCH: Final = 100
_PER_ROLE: Final = 20
_MODEL: Final = """
[request_definition]
r = sub, act
[policy_definition]
p = sub, act
[role_definition]
g = _, _
[policy_effect]
e = some(where (p.eft == allow))
[matchers]
m = g(r.sub, p.sub) && r.act == p.act
"""


class Matrix:
    """Roles of twenty permissions each, as many as hold ``rules`` rules; a caller of the last."""

    def __init__(self, rules: int) -> None:
        roles = max(1, rules // _PER_ROLE)
        each = min(rules, _PER_ROLE)
        self.roles = {
            f"role{role}": [f"noun{role}:verb{verb}" for verb in range(each)]
            for role in range(roles)
        }
        self.role = f"role{roles - 1}"
        held = self.roles[self.role]
        # Half is allowed: the last of the role, and another role's.
        self.questions = [(held[-1], True), ("noun:none", False)]

    def principal(self) -> Principal:
        """The caller as the gate knows them: the matrix, compiled."""
        compiled = {name: frozenset(held) for name, held in self.roles.items()}
        return Principal(f"user:{uuid7()}", "user", uuid7(), compiled[self.role], role=self.role)


def run_pycasbin(rounds: int) -> Result:
    """Ours against casbin's enforcer over a thousand rules of a role-based model."""
    matrix = Matrix(RULES)
    model = casbin.Enforcer.new_model(text=_MODEL)
    enforcer = casbin.Enforcer(model)
    enforcer.add_policies([[role, one] for role, held in matrix.roles.items() for one in held])
    enforcer.add_grouping_policy("ada", matrix.role)
    return _result(
        "pycasbin-1000", rounds, matrix, lambda one: bool(enforcer.enforce("ada", one)), 20
    )


def run_cedarpy(rounds: int) -> Result:
    """Ours against Cedar over a thousand permitted actions, policies and entities parsed before."""
    matrix = Matrix(RULES)
    policies = "\n".join(
        f'permit(principal in Role::"{role}", action == Action::"{one}", resource);'
        for role, held in matrix.roles.items()
        for one in held
    )
    parsed = cedarpy.PolicySet.from_str(policies)
    entities = cedarpy.Entities.from_json_str(
        json.dumps(
            [
                {"uid": {"type": "Role", "id": matrix.role}, "attrs": {}, "parents": []},
                {
                    "uid": {"type": "User", "id": "ada"},
                    "attrs": {},
                    "parents": [{"type": "Role", "id": matrix.role}],
                },
            ]
        )
    )

    def decide(one: str) -> bool:
        request = {
            "principal": 'User::"ada"',
            "action": f'Action::"{one}"',
            "resource": 'Tenant::"acme"',
            "context": {},
        }
        return bool(cedarpy.is_authorized(request, parsed, entities).allowed)

    return _result("cedarpy-1000", rounds, matrix, decide, 200)


def run_flat(rounds: int) -> Result:
    """Ours with a hundred thousand rules against ours with ten."""
    few = Matrix(_FEW).principal()
    result = _result("flat", rounds, Matrix(_MANY), lambda one: one in few.permissions, None)
    return Result(
        result.bench, result.case, result.ours, result.reference, "ours with 10 rules", result.unit
    )


def _result(
    case: str,
    rounds: int,
    matrix: Matrix,
    reference: Callable[[str], bool],
    questions: int | None,
) -> Result:
    principal = matrix.principal()

    def ours(one: str) -> bool:
        return one in principal.permissions

    if questions is not None:
        _refuse_difference(matrix, ours, reference)
    asked = [one for one, _ in matrix.questions]
    count = questions or _QUESTIONS
    batch = _BATCH if questions is None else 1
    for decide, many in ((ours, _QUESTIONS), (reference, count)):
        _rate(decide, asked, many // 10 + 1, _BATCH if decide is ours else batch)
    mine, theirs = alternate(
        rounds,
        lambda: _rate(ours, asked, _QUESTIONS, _BATCH),
        lambda: _rate(reference, asked, count * 5, batch),
    )
    names = {"pycasbin-1000": "pycasbin", "cedarpy-1000": "cedarpy"}
    return Result("permission", case, mine, theirs, names.get(case, case), "decisions/s at p99")


def _refuse_difference(
    matrix: Matrix, ours: Callable[[str], bool], reference: Callable[[str], bool]
) -> None:
    """Two that do not decide alike do not do the same work."""
    for one, allowed in matrix.questions:
        if (ours(one), reference(one)) != (allowed, allowed):
            raise BenchmarkError(f"{one}: {ours(one)} here, {reference(one)} there, not {allowed}")


def _rate(decide: Callable[[str], bool], asked: Sequence[str], questions: int, batch: int) -> float:
    """Decisions a second by the 99th percentile of their times.

    What takes tens of nanoseconds is timed in batches: the clock itself takes as long.
    """
    times = []
    for _ in range(max(questions // batch, _BATCH)):
        started = perf_counter_ns()
        for _ in range(batch):
            for one in asked:
                decide(one)
        times.append((perf_counter_ns() - started) / (batch * len(asked)))
    return 1e9 / statistics.quantiles(times, n=100)[98]
