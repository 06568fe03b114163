"""A person's way to an engine on TCP: `shoal context export --docker`, and the docker command line with the files."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

from shoal.contexts.context_store import ContextStore, identity_from_files
from tests.contract.engine.rig.docker_cli import docker
from tests.contract.engine.rig.manager_rig import rig_routes
from tests.contract.engine.rig.served import Served, served

SHOAL = Path(sys.executable).parent / "shoal"


def export(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "SHOAL_CONFIG": str(directory / "shoal")}
    return subprocess.run(
        [SHOAL, "context", "export", *arguments], env=environment, capture_output=True, text=True, check=False
    )


def make_context(engine: Served, directory: Path, certificate: str, name: str) -> None:
    ca, cert, key = (engine.certificates / f"{each}.pem" for each in ("ca", certificate, f"{certificate}-key"))
    key = engine.certificates / "key.pem" if certificate == "cert" else key
    ContextStore(directory / "shoal").create(name, identity_from_files(ca, cert, key), ["127.0.0.1:1"])


def test_docker_reaches_an_engine_by_the_line_that_is_printed(tmp_path: Path) -> None:
    with served(rig_routes, tmp_path) as engine:
        make_context(engine, tmp_path, "cert", "prod")
        files, address = tmp_path / "docker files", f"127.0.0.1:{engine.port}"
        done = export(tmp_path, "--docker", "--engine", address, "prod", str(files))
        assert (done.returncode, done.stderr) == (0, "")
        assert [files.stat().st_mode & 0o777, (files / "key.pem").stat().st_mode & 0o777] == [0o700, 0o600]
        clean = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "DOCKER_CONFIG": str(tmp_path / "config")}
        program, *words = shlex.split(done.stdout)
        assert program == "docker"
        assert docker(clean, *words).stdout == b"prod\n"
        assert docker(clean, "--context", "prod", "version", "--format", "{{.Server.Version}}").stdout == b"28.2.2\n"
        by_variables = clean | {
            "DOCKER_HOST": f"tcp://{address}", "DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": str(files)
        }  # fmt: skip
        assert docker(by_variables, "ps", "-q").returncode == 0


def test_what_engines_would_refuse_is_not_exported(tmp_path: Path) -> None:
    with served(rig_routes, tmp_path) as engine:
        make_context(engine, tmp_path, "agent", "node")
        make_context(engine, tmp_path, "cert", "prod")
        refused = export(tmp_path, "--docker", "node", str(tmp_path / "files"))
        assert (refused.returncode, "the role agent" in refused.stderr) == (2, True)
        assert "require --docker" in export(tmp_path, "--engine", "h1:1", "prod", str(tmp_path / "files")).stderr
        assert "already exists" in export(tmp_path, "--docker", "prod", str(tmp_path)).stderr
        missing = export(tmp_path, "--docker", "--engine-ca", "nosuch.pem", "prod", str(tmp_path / "files"))
        assert "nosuch.pem does not exist" in missing.stderr
        assert not (tmp_path / "files").exists()
