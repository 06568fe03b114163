"""An image of a web server that keeps connections, and of clients for it: Debian's Python with what they import.

Only that: the interpreter, the shared objects that it is linked with, and the modules that the two programs load.
"""

import tempfile
from pathlib import Path

from cli.images.pack import pack_image, pack_layer, write_archive
from shoal.distribution.manifests import host_platform
from tests.integration.cluster.debian_files import PYTHON, copy_python, lay_out

SERVER, CLIENT = "/web_server.py", "/traffic_client.py"
_HERE = Path(__file__).parent


def write_web_image(directory: Path) -> Path:
    """Write `web.tar`, an OCI archive of the image `web:1`."""
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        lay_out(root)
        copy_python(root, _HERE / SERVER[1:], _HERE / CLIENT[1:])
        settings = {"Cmd": [PYTHON, SERVER], "StopSignal": "SIGTERM"}
        image = pack_image([pack_layer(root)], settings, host_platform())
    archive = directory / "web.tar"
    write_archive(archive, [image], tag="web:1")
    return archive
