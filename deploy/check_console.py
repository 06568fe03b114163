"""Check that the console's built pages are those of their sources, without building them.

`make console` builds `console/built` and records in `console/web/built.json` the digest of the sources and that of what
was built; this compares both with what is there.

    python deploy/check_console.py [--record]
"""

import hashlib
import json
import sys
from collections.abc import Iterable
from pathlib import Path

WEB = Path("console/web")
BUILT = Path("console/built")
RECORD = WEB / "built.json"
SOURCES = ("index.html", "package.json", "package-lock.json", "tsconfig.json", "vite.config.js")


def digest(root: Path, files: Iterable[Path]) -> str:
    """SHA-256 of files, their paths included."""
    found = hashlib.sha256()
    for path in sorted(files):
        content = path.read_bytes()
        found.update(f"{path.relative_to(root).as_posix()} {len(content)}\n".encode())
        found.update(content)
    return found.hexdigest()


def digests(root: Path) -> dict[str, str]:
    """Of the sources and of what was built."""
    web, built = root / WEB, root / BUILT
    sources = [*(web / name for name in SOURCES), *(path for path in (web / "src").rglob("*") if path.is_file())]
    return {
        "sources": digest(root, sources),
        "built": digest(root, [path for path in built.rglob("*") if path.is_file()]),
    }


def problem(root: Path) -> str:
    """What is wrong, one line; empty: nothing."""
    if not (root / RECORD).is_file():
        return f"{RECORD} is missing: run make console"
    recorded, found = json.loads((root / RECORD).read_text()), digests(root)
    if recorded["sources"] != found["sources"]:
        return "the console's sources have changed since its pages were built: run make console"
    if recorded["built"] != found["built"]:
        return f"{BUILT} is not what was built: run make console"
    return ""


def main(root: Path = Path(), *, record: bool = False) -> None:
    """Record, or print what is wrong; exit code 1 if anything is."""
    if record:
        (root / RECORD).write_text(json.dumps(digests(root), indent=2) + "\n")
    elif found := problem(root):
        sys.exit(found)


if __name__ == "__main__":
    main(record="--record" in sys.argv[1:])
