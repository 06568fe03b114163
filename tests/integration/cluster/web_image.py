"""An image of a web server that keeps connections, and of clients for it: Debian's Python with what they import.

Only that: the interpreter, the shared objects that it is linked with, and the modules that the two programs load.
"""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from cli.images.pack import pack_image, pack_layer, write_archive
from shoal.distribution.manifests import host_platform

SERVER, CLIENT = "/web_server.py", "/traffic_client.py"
PYTHON = "/usr/bin/python3"
_HERE = Path(__file__).parent
_LIST = """
import sys
sys.path.insert(0, sys.argv[1])
import web_server, traffic_client
import encodings.idna  # for when a name is asked
print(*(module.__file__ for module in sys.modules.values() if getattr(module, "__file__", None)), sep="\\n")
"""


def write_web_image(directory: Path) -> Path:
    """Write `web.tar`, an OCI archive of the image `web:1`."""
    modules = [path for path in _lines(PYTHON, "-I", "-S", "-c", _LIST, str(_HERE)) if not path.startswith(str(_HERE))]
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        libraries = {library for each in (PYTHON, *modules) for library in _libraries(each)}
        for path in (PYTHON, *modules, *sorted(libraries)):
            _copy(root, path, path)
        for name in (SERVER, CLIENT):
            _copy(root, str(_HERE / name[1:]), name)
        for name in ("etc", "proc", "sys", "dev", "tmp"):
            (root / name).mkdir(exist_ok=True)
        settings = {"Cmd": [PYTHON, SERVER], "StopSignal": "SIGTERM"}
        image = pack_image([pack_layer(root)], settings, host_platform())
    archive = directory / "web.tar"
    write_archive(archive, [image], tag="web:1")
    return archive


def _libraries(program: str) -> list[str]:
    """Shared objects that a program, or one of them itself, is linked with, and the linker."""
    if program.endswith(".py"):
        return []
    words = " ".join(_lines("ldd", program)).split()
    return [word for word in words if word.startswith("/")]


def _lines(*command: str) -> list[str]:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()


def _copy(root: Path, source: str, target: str) -> None:
    place = root / target.lstrip("/")
    place.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, place)
    place.chmod(0o755 if os.access(source, os.X_OK) else 0o644)
