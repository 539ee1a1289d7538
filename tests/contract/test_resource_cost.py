"""What a range of commits cost by hand, told by ``scripts/resource-cost``."""

import subprocess
from pathlib import Path

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "resource-cost"
FILES = {
    "backend/managers/note/manager.py": 30,
    "backend/managers/note/routes.py": 20,
    "backend/migrations/versions/20270101_note.py": 10,
    "dashboard/views/notes.py": 40,
    "dashboard/client/models.py": 500,
    "n8n-nodes/nodes/EmailSender/resources/note.ts": 25,
    "n8n-nodes/test/snapshot.json": 300,
    "tests/contract/openapi-v1.json": 700,
    "tests/contract/audit-v1.json": 9,
    "tests/integration/note/test_note.py": 50,
    "docs/managers/note.md": 15,
}


def run(folder: Path, *arguments: str | Path) -> str:
    return subprocess.run(arguments, cwd=folder, check=True, capture_output=True, text=True).stdout


def test_tells_parts_and_what_was_generated_apart(tmp_path: Path) -> None:
    who = ("-c", "user.name=a", "-c", "user.email=a@example.test")
    run(tmp_path, "git", "init", "-q")
    run(tmp_path, "git", *who, "commit", "-q", "--allow-empty", "-m", "before")
    for name, lines in FILES.items():
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("x\n" * lines)
    run(tmp_path, "git", "add", "-A")
    run(tmp_path, "git", *who, "commit", "-q", "-m", "after")
    told = {
        line[:10].strip(): line[10:].split()
        for line in run(tmp_path, SCRIPT, "HEAD").splitlines()[1:]
    }
    assert told == {
        "room": ["1", "30", "0"],
        "migration": ["1", "10", "0"],
        "http": ["1", "20", "0"],
        "console": ["1", "40", "0"],
        "node": ["1", "25", "0"],
        "tests": ["1", "50", "0"],
        "docs": ["1", "15", "0"],
        "by hand": ["7", "190", "0"],
        "generated": ["4", "1509", "0"],
    }
