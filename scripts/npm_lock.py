"""Holds what npm installs to a package-lock.json, whatever a registry has gained or lost since.

    python scripts/npm_lock.py settle LOCK FOLDER   write what `npm ci` is to install into FOLDER
    python scripts/npm_lock.py check LOCK FOLDER    compare FOLDER/node_modules with the lock

`--platform linux-x64-glibc` stands for another one than that of the `node` on PATH. Exit status 0;
1 with what differs on standard error; 2 for a lock that cannot be used. Standard library only: it
runs before anything is installed.

npm does not install a lock file, it installs what it would resolve today, starting from one. A
lock leaves questions open: an optional package for another platform that the registry did not have
when the lock was made, a peer range that nothing in the tree satisfies, the dependencies of
packages that are not installed here. `npm install` asks the registry, and takes newer versions of
neighbours on the way; `npm ci` asks as well, and refuses when the answer is new. So the questions
are answered first: a settled lock holds only what this platform installs, and each range in it is
the version that the lock resolves it to. npm has nothing left to resolve, and can only miss what is
to be installed.

Rejected: a completed lock file, or `overrides` for what drifted. Both hold until the next release
of anything.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

# What a lock file says by place: "node_modules/a/node_modules/b"; "" is the project itself.
Entries = Mapping[str, Mapping[str, Any]]

# Each kind of list in which a package names others.
_LISTS: Final = ("dependencies", "devDependencies", "optionalDependencies", "peerDependencies")
# What npm derives from those lists; false after they are rewritten.
_DERIVED: Final = (*_LISTS, "peerDependenciesMeta", "dev", "devOptional", "optional", "peer")
_SHOWN: Final = 5
# In npm's own words, and those of the Node that will load the packages.
_ASK_NODE: Final = """
const {platform, arch, report} = process;
const glibc = platform === 'linux' && report.getReport().header.glibcVersionRuntime;
console.log([platform, arch, platform !== 'linux' ? '' : glibc ? 'glibc' : 'musl'].join('-'));
"""


class LockError(Exception):
    """A lock file cannot be read, or does not say enough to install from; one line for people."""


@dataclass(frozen=True, slots=True)
class Platform:
    """What a package's `os`, `cpu` and `libc` are compared with."""

    os: str
    cpu: str
    libc: str = ""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `linux-x64-glibc`; the last part is missing where there is only one."""
        system, cpu, libc = [*text.strip().split("-"), "", ""][:3]
        return cls(system, cpu, libc)

    @classmethod
    def of_node(cls) -> Self:
        """Ask the `node` on PATH.

        Raises:
            LockError: There is none, or it does not run.
        """
        try:
            said = subprocess.run(
                ["node", "-e", _ASK_NODE], capture_output=True, text=True, check=True
            )
        except (OSError, subprocess.CalledProcessError) as error:
            raise LockError(f"node does not run: {error}") from error
        return cls.parse(said.stdout)

    def admits(self, entry: Mapping[str, Any]) -> bool:
        """Whether npm installs the package here, by the platforms that it names."""
        return all(
            _admits(entry.get(field), here)
            for field, here in (("os", self.os), ("cpu", self.cpu), ("libc", self.libc))
        )


def _admits(wanted: str | list[str] | None, here: str) -> bool:
    names = [wanted] if isinstance(wanted, str) else wanted
    if not names or names == ["any"]:
        return True
    if f"!{here}" in names:
        return False
    return here in names or all(name.startswith("!") for name in names)


def read_entries(lock: Path) -> Entries:
    """Read a lock file.

    Raises:
        LockError: It is missing, not JSON, or of a format older than npm 7's.
    """
    try:
        packages: Entries = json.loads(lock.read_text())["packages"]
        return {**packages, "": packages.get("", {})}
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise LockError(f"{lock} cannot be read as a lock file ({error!r})") from error


def settle(entries: Entries, platform: Platform) -> Entries:
    """Keep what this platform installs, and put for every range the version it stands for.

    Raises:
        LockError: What must be installed is not in the lock, or is for another platform.
    """
    unfit = _find_unfit(entries, platform)
    if "" in unfit:
        raise LockError(unfit[""])
    needed = _reach(entries, unfit, optional=False)
    reached = _reach(entries, unfit, optional=True)
    settled: dict[str, Mapping[str, Any]] = {}
    for path in sorted(reached):
        entry = {key: value for key, value in entries[path].items() if key not in _DERIVED}
        # Also of the project's own lists: development tools are what is asked for here, and must
        # not depend on a setting that leaves them out.
        for name, target, needs in _edges(entries, path):
            if target in reached:
                kind = "dependencies" if needs else "optionalDependencies"
                entry.setdefault(kind, {})[name] = _exactly(entries[target], name)
        if path not in needed:
            entry["optional"] = True
        settled[path] = entry
    return settled


def _edges(entries: Entries, path: str) -> Iterator[tuple[str, str | None, bool]]:
    """Each package that the one at `path` names: its name, its place, and whether it must be."""
    entry = entries[path]
    lists = {kind: entry.get(kind, {}) for kind in _LISTS}
    meta = entry.get("peerDependenciesMeta", {})
    for name in sorted({name for names in lists.values() for name in names}):
        target = _resolve(entries, path, name)
        if name in lists["optionalDependencies"]:
            yield name, target, False
        elif name in lists["dependencies"] or name in lists["devDependencies"]:
            yield name, target, True
        elif target is not None:
            # A lock leaves out a peer only when whoever made it chose to do without.
            yield name, target, not meta.get(name, {}).get("optional", False)


def _resolve(entries: Entries, path: str, name: str) -> str | None:
    """Where Node finds a package: below the one that asks for it, or below one around it."""
    while True:
        candidate = f"{path}/node_modules/{name}".removeprefix("/")
        if candidate in entries:
            return candidate
        if not path:
            return None
        path = path.rpartition("node_modules/")[0].removesuffix("/")


def _exactly(entry: Mapping[str, Any], name: str) -> str:
    """The version that is locked, as a range; an alias names the package it stands for."""
    real = entry.get("name", name)
    version = str(entry["version"])
    return version if real == name else f"npm:{real}@{version}"


def _find_unfit(entries: Entries, platform: Platform) -> Mapping[str, str]:
    """What cannot be installed here, with the reason: by itself, or for what it needs."""
    unfit = {
        path: f"{_where(path)} is not for {platform.os} {platform.cpu} {platform.libc}".rstrip()
        for path, entry in entries.items()
        if not platform.admits(entry)
    }
    grows = True
    while grows:
        grows = False
        for path in entries.keys() - unfit.keys():
            for name, target, needs in _edges(entries, path):
                if needs and (target is None or target in unfit):
                    missing = f"{name}, which {_where(path)} needs, is not in the lock"
                    unfit[path] = missing if target is None else unfit[target]
                    grows = True
                    break
    return unfit


def _reach(entries: Entries, unfit: Mapping[str, str], *, optional: bool) -> set[str]:
    """What the project leads to; without `optional`, only what it cannot do without."""
    reached: set[str] = set()
    waiting = [""]
    while waiting:
        path = waiting.pop()
        if path not in reached:
            reached.add(path)
            waiting += [
                target
                for _, target, needs in _edges(entries, path)
                if target is not None and target not in unfit and (needs or optional)
            ]
    return reached


def _where(path: str) -> str:
    return path.removeprefix("node_modules/") or "the project"


def compare(entries: Entries, folder: Path, platform: Platform) -> Iterator[str]:
    """Tell how `folder/node_modules` differs from what the lock says for this platform.

    One line a package, with what is wanted and what was found; nothing when it is as locked. A
    package for another platform may be there or not. An optional one for this platform must be:
    npm leaves out, without a word, what it could not fetch.

    Raises:
        LockError: The lock cannot be installed from.
    """
    wanted = {path: entry for path, entry in settle(entries, platform).items() if path}
    try:
        # Written last, when every package is in its place; the integrity is that of the archive.
        found = read_entries(folder / "node_modules/.package-lock.json")
    except LockError:
        yield f"{folder}/node_modules is not complete: npm did not finish there"
        return
    for path, entry in wanted.items():
        if path not in found:
            yield f"{_where(path)}: wanted {entry['version']}, found none"
        elif found[path].get("version") != entry["version"]:
            yield f"{_where(path)}: wanted {entry['version']}, found {found[path].get('version')}"
        elif entry.get("integrity", found[path].get("integrity")) != found[path].get("integrity"):
            yield (
                f"{_where(path)} {entry['version']}: wanted {entry['integrity']}, "
                f"found {found[path].get('integrity')}"
            )
        elif not (folder / path / "package.json").is_file():
            yield f"{_where(path)} {entry['version']}: its folder has been removed"
    for path, entry in found.items():
        if path and path not in wanted and platform.admits(entry):
            yield f"{_where(path)}: wanted none, found {entry.get('version')}"


def _write_settled(entries: Entries, folder: Path, platform: Platform) -> None:
    settled = settle(entries, platform)
    # npm takes the project's word from here, and refuses when the lock has another.
    project = {"name": "settled", "version": "1.0.0", "private": True} | {
        kind: settled[""][kind] for kind in _LISTS if kind in settled[""]
    }
    lock = {
        "name": project["name"],
        "version": project["version"],
        "lockfileVersion": 3,
        "requires": True,
        "packages": {**settled, "": project},
    }
    for name, document in (("package.json", project), ("package-lock.json", lock)):
        (folder / name).write_text(json.dumps(document, indent=1) + "\n")


def main() -> int:
    """Run the command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="npm_lock.py", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("command", choices=("settle", "check"))
    parser.add_argument("lock", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--platform", type=Platform.parse, help="such as linux-x64-glibc")
    options = parser.parse_args()
    try:
        entries = read_entries(options.lock)
        platform = options.platform or Platform.of_node()
        if options.command == "settle":
            _write_settled(entries, options.folder, platform)
            return 0
        differences = list(compare(entries, options.folder, platform))
    except LockError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    more = len(differences) - _SHOWN
    lines = differences[:_SHOWN] + ([f"and {more} more"] if more > 0 else [])
    for line in lines:
        print(line, file=sys.stderr)
    return 1 if differences else 0


if __name__ == "__main__":
    sys.exit(main())
