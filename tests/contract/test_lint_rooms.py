"""Nobody spells out what belongs to another room, and the rule would notice."""

from pathlib import Path
from textwrap import dedent

import pytest

from scripts.lint import rooms
from scripts.lint.rules import Source, read_sources

ROOT = Path(__file__).resolve().parents[2]

ROOM = {
    "backend/managers/mail/models.py": """
        class LetterRow(Base):
            __tablename__ = "letters"
    """,
    "backend/managers/mail/__init__.py": """
        ROOM = Room(
            name="mail",
            permissions={"letter:send": OPERATOR},
            events={"letter.sent": "letter:send"},
            data_routes="backend.managers.mail.data_plane:DATA_ROUTES",
            mounts="backend.managers.mail.data_plane:mounts",
        )
    """,
    "backend/managers/mail/data_plane.py": """
        DATA_ROUTES: Final = (
            DataRoute(method="POST", path="/stamp/{id}", handler=handle),
            DataRoute(method="POST", path=SEAL_PATH, handler=handle),
        )

        def mounts(manager):
            return [Route("/frank", manager.frank)]
    """,
    "backend/managers/mail/_seal.py": """
        SEAL_PATH: Final = "/seal"
        COOKIE_PATH: Final = "/wax"
    """,
    "backend/managers/mail/routes.py": '''
        """HTTP face."""
        router = APIRouter(prefix="/api/v1")
        bare_router = APIRouter(tags=["mail"])

        @bare_router.get("/weigh")
        async def weigh(): ...

        @router.get("/letters/{letter_id}", responses={})
        async def get_letter(scope: Annotated[Scope, requires("letter:send")]): ...
    ''',
}
SPELLED_OUT = (
    ('TABLES = {"letters"}', "table letters"),
    ('requires("letter:send")', "permission letter:send"),
    ('if event == "letter.sent": pass', "event letter.sent"),
    ('path.startswith("/api/v1/letters")', "path /api/v1/letters"),
    ('url = "/api/v1/letters/7/content"', "path /api/v1/letters"),
    ('url = f"/api/v1/letters/{number}"', "path /api/v1/letters"),
    ('KEPT = "/weigh"', "path /weigh"),
    ('KEPT = "/stamp"', "path /stamp"),
    ('KEPT = "/seal"', "path /seal"),
    ('KEPT = "/frank/now"', "path /frank"),
)
INNOCENT = (
    '"""Speaks of letters and of /api/v1/letters: ``letter:send``."""',
    'def f():\n    """Counts letters."""',
    'HINT = "write letters to /api/v1/letters"',
    'url = "/api/v1/lettershops"',
    'url = "/api/v1/weigh"',
    "letters = 3",
    'WAX = "/wax"',
)
ELSEWHERE = (
    "backend/core/context.py",
    "backend/http/pipeline.py",
    "backend/app.py",
    "backend/managers/post/manager.py",
)


def found(path: str, code: str) -> list[str]:
    files = {**ROOM, path: code}
    sources = [Source(name, dedent(text)) for name, text in files.items()]
    return [finding.text for finding in rooms.check_rooms(sources) if finding.path == path]


@pytest.mark.slow  # scripts/test --quick has a stage for it
def test_this_repository_keeps_it() -> None:
    assert [str(finding) for finding in rooms.check_rooms(read_sources(ROOT))] == []


@pytest.mark.parametrize("path", ELSEWHERE)
def test_finds_each_word_outside_its_room(path: str) -> None:
    for code, what in SPELLED_OUT:
        assert found(path, code) == [f"spells out the {what} of the room mail"], code


def test_passes_over_docstrings_and_what_only_looks_like_it() -> None:
    for code in INNOCENT:
        assert found("backend/core/context.py", code) == [], code


def test_the_room_itself_may_say_what_it_likes() -> None:
    for code, _ in SPELLED_OUT:
        assert found("backend/managers/mail/manager.py", code) == [], code


def test_a_migration_repeats_what_a_table_once_was() -> None:
    assert found("backend/migrations/versions/0001_letters.py", 'op.drop_table("letters")') == []
