"""HTTP face of imported rule files: parse, call, shape."""

from collections import Counter
from functools import partial
from typing import Annotated, Final

from fastapi import APIRouter, Query, Request, Response

from backend.core.context import Scope
from backend.http.deps import Db, manager_of, requires
from backend.http.files import YamlBody, yaml_body
from backend.http.reply import problems, reply
from backend.http.schemas import view
from backend.managers.alerting._importing import import_rules
from backend.managers.alerting._rule_files import read_rule_file
from backend.managers.alerting.errors import (
    RuleExistsError,
    RuleFileInvalidError,
    TooManyRulesError,
)
from backend.managers.alerting.import_schemas import AlertRulesImportedOut, ImportedAlertRuleOut
from backend.managers.alerting.manager import AlertingManager

import_router = APIRouter(prefix="/api/v1/alert-rules", tags=["alert_rule"])
Alerting = Annotated[AlertingManager, manager_of(AlertingManager)]
RuleWriter = Annotated[Scope, requires("alert_rule:write")]
_EXAMPLE: Final = """groups:
  - name: orders
    interval: 30s
    rules:
      - alert: OrdersStopped
        expr: sum by (shop) (rate(orders_total[5m])) == 0
        for: 10m
        labels: {severity: critical}
        annotations: {summary: "No orders in {{ $labels.shop }}"}
"""


@import_router.post(
    "/import",
    response_model=AlertRulesImportedOut,
    responses=problems(RuleFileInvalidError, RuleExistsError, TooManyRulesError),
    openapi_extra=yaml_body(_EXAMPLE),
)
async def import_alert_rules(
    request: Request,
    body: YamlBody,
    scope: RuleWriter,
    alerting: Alerting,
    db: Db,
    *,
    dry_run: Annotated[bool, Query(description="Change nothing, and say what would be")] = False,
) -> Response:
    """Make alert rules of a rule file of Prometheus, YAML or JSON.

    Rules that were made of it before are changed. Each that cannot be one is refused by itself, and
    says why; all others are kept at once, or none is.
    """
    read = await alerting.turns.run(scope.tenant_id, partial(read_rule_file, body))
    async with db.transaction(scope) as tx:
        found = await import_rules(tx, alerting.rules, read, dry_run=dry_run)
        counts = Counter(one.outcome for one in found)
        out = AlertRulesImportedOut(
            dry_run=dry_run,
            created=counts["created"],
            changed=counts["changed"],
            unchanged=counts["unchanged"],
            refused=counts["refused"],
            rules=[view(ImportedAlertRuleOut, one) for one in found],
        )
        return reply(request, tx, out)
