"""Files of Debian's packages for images that tests make: programs, what they are linked with, modules of Python."""

import os
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

PYTHON = "/usr/bin/python3"
_LIST = """
import sys
for name in sys.argv[1:]:
    sys.path.insert(0, name.rpartition("/")[0])
    __import__(name.rpartition("/")[2].removesuffix(".py"))
import encodings.idna  # for when a name is asked
print(*(module.__file__ for module in sys.modules.values() if getattr(module, "__file__", None)), sep="\\n")
"""


def libraries(*programs: str) -> set[str]:
    """Shared objects that programs, or ones of them themselves, are linked with, and the linker."""
    done = subprocess.run(["ldd", *programs], check=True, capture_output=True, text=True)
    return {
        word for line in done.stdout.splitlines() if line.startswith("\t") for word in line.split() if word[0] == "/"
    }


def copy(root: Path, source: str, target: str = "") -> None:
    """A file of this machine below a root file system, at its own place or another one; runnable if it is here."""
    place = root / (target or source).lstrip("/")
    place.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, place)
    place.chmod(0o755 if os.access(source, os.X_OK) else 0o644)


def copy_programs(root: Path, programs: Iterable[str]) -> None:
    """Programs (or shared objects that they load) and all that they are linked with."""
    named = list(programs)
    for path in {*named, *libraries(*named)}:
        copy(root, path)


def copy_python(root: Path, *sources: Path) -> None:
    """Debian's Python with the modules that these source files import; the files themselves come to the root's top.

    They are imported to find that out: what they do has to be below `if __name__ == "__main__"`.
    """
    listing = subprocess.run(
        [PYTHON, "-I", "-S", "-c", _LIST, *map(str, sources)], check=True, capture_output=True, text=True
    )
    modules = set(listing.stdout.split()) - {str(path) for path in sources}
    objects = [path for path in modules if not path.endswith(".py")]
    for path in modules:
        copy(root, path)
    copy_programs(root, [PYTHON, *objects])
    for source in sources:
        copy(root, str(source), f"/{source.name}")


def lay_out(root: Path) -> None:
    """The directories that a root file system has."""
    for name in ("etc", "proc", "sys", "dev", "tmp", "run"):
        (root / name).mkdir(parents=True, exist_ok=True)
    (root / "tmp").chmod(0o1777)
