"""An image of PostgreSQL: Debian's server and client, with what they are linked with and what they read."""

import shutil
import tempfile
from pathlib import Path

from cli.images.pack import pack_image, pack_layer, write_archive
from shoal.distribution.manifests import host_platform
from tests.integration.cluster.debian_files import copy, copy_programs, lay_out

USER, GROUP = 70, 70
DATA = "/var/lib/postgresql"
START = f"""#!/bin/sh
set -e
user=${{POSTGRES_USER:-postgres}}
how=trust
[ -z "$POSTGRES_PASSWORD" ] || how=scram-sha-256
if ! [ -s {DATA}/main/PG_VERSION ]; then
  echo "${{POSTGRES_PASSWORD:-none}}" >/tmp/password
  initdb --pgdata {DATA}/main --username "$user" --pwfile /tmp/password --auth $how --locale C --encoding UTF8
  [ -z "$POSTGRES_DB" ] || echo "CREATE DATABASE $POSTGRES_DB" | postgres --single -D {DATA}/main postgres
fi
echo "host all all all $how
local all all trust" >{DATA}/main/pg_hba.conf
exec postgres -D {DATA}/main -c listen_addresses='*' -c unix_socket_directories=/tmp -c shared_buffers=16MB
"""
"""As images of PostgreSQL have it: user, password and database by variables of the environment."""


def home() -> Path:
    """Where Debian has the newest version; its tests are for machines with the package `postgresql`."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[4]))
    assert found, "the package postgresql is not installed"
    return found[-1].parent.parent


def write_postgres_image(directory: Path) -> Path:
    """Write `postgres.tar`, an OCI archive of the image `postgres:1`."""
    place = home()
    programs = [str(place / "bin" / name) for name in ("postgres", "initdb", "psql")]
    modules = [str(path) for path in (place / "lib").glob("*.so") if "llvm" not in path.name]  # which is large
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        lay_out(root)
        copy_programs(root, [*programs, *modules, "/bin/sh"])
        shutil.copytree(f"/usr/share/postgresql/{place.name}", root / f"usr/share/postgresql/{place.name}")
        for name in ("UTC", "GMT"):
            copy(root, f"/usr/share/zoneinfo/{name}")
        (root / "etc/passwd").write_text(f"postgres:x:{USER}:{GROUP}::{DATA}:/bin/sh\n")
        (root / "start").write_text(START)
        (root / "start").chmod(0o755)
        data = root / DATA.lstrip("/")
        data.mkdir(parents=True)
        data.chmod(0o777)  # a layer's files are root's
        settings = {
            "Cmd": ["/start"],
            "Env": [f"PATH={place}/bin:/bin"],
            "User": f"{USER}:{GROUP}",
            "StopSignal": "SIGINT",
        }
        image = pack_image([pack_layer(root, compression=1)], settings, host_platform())
    archive = directory / "postgres.tar"
    write_archive(archive, [image], tag="postgres:1")
    return archive
