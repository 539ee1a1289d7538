"""What the mail sink of a platform's data folder holds, opened as its console opens it."""

from pathlib import Path

from backend.managers.security import SecuritySettings, load_root_keys, sink_key
from backend.sink import open_copy


def stored_copies(data_dir: Path) -> list[bytes]:
    """Every copy as it was received, with the sink's own headers, oldest first."""
    key = sink_key(load_root_keys(SecuritySettings(), data_dir / "root.key"))
    # <digest>.<nanoseconds>-<random>.eml
    files = sorted(
        (data_dir / "sink").glob("??/*.eml"),
        key=lambda path: int(path.name.split(".")[1].partition("-")[0]),
    )
    copies = [open_copy(key, path.name.partition(".")[0], path.read_bytes()) for path in files]
    assert None not in copies, "a copy does not open with this installation's key"
    return [copy for copy in copies if copy is not None]
