"""Wire types of imported rule files."""

from typing import Literal

from pydantic import BaseModel, Field


class ImportedAlertRuleOut(BaseModel):
    """What became of a rule of the file, or would."""

    group: str
    name: str = Field(description="As the rule is called; of a refused one as the file has it")
    outcome: Literal["created", "changed", "unchanged", "refused"]
    rule_id: str | None
    reason: str = Field(description="Why it was refused")
    notes: list[str] = Field(description="What of it is not kept, or not as it was")


class AlertRulesImportedOut(BaseModel):
    """What became of a rule file, or would."""

    dry_run: bool
    created: int
    changed: int
    unchanged: int
    refused: int
    rules: list[ImportedAlertRuleOut]
