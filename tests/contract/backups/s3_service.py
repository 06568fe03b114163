"""A real S3 service in a process of its own: `rclone serve s3`, over TLS and with signatures checked."""

import ssl
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

from shoal.api.v1.cluster_pb2 import BackupTarget
from shoal.identity import certificates
from shoal.identity.authority import Authority
from shoal.identity.roles import CertificateSubject, Role
from tests.ports import free_port

ACCESS_KEY_ID, SECRET_KEY = "SHOALBACKUPS", "s3cret-of-the-tests"
BUCKET = "backups"
START_SECONDS = 60.0


@dataclass(frozen=True)
class S3Service:
    """A running service with one bucket.

    Attributes:
        endpoint: its URL.
        ca: file of its authority's certificate, PEM.
        directory: where it stores objects: a directory for each bucket.
    """

    endpoint: str
    ca: Path
    directory: Path

    def target(self, prefix: str = "shoal", **more: str) -> BackupTarget:
        target = BackupTarget(address=f"s3://{BUCKET}/{prefix}", ca_certificate=self.ca.read_bytes())
        target.access_key_id = more.get("access_key_id", ACCESS_KEY_ID)
        target.endpoint = more.get("endpoint", self.endpoint)
        return target


@contextmanager
def s3_service(directory: Path) -> Generator[S3Service]:
    """For as long as the block."""
    authority = Authority.create("s3", datetime.now(UTC))
    key = certificates.new_key()
    subject = CertificateSubject(cluster="s3", role=Role.ENGINE, id="s3")
    certificate = authority.sign_server(certificates.request(key), subject, ["127.0.0.1"], datetime.now(UTC))
    files = {"ca.pem": authority.certificate, "cert.pem": certificate, "key.pem": key}
    for name, data in files.items():
        (directory / name).write_bytes(data)
    objects = directory / "objects"
    (objects / BUCKET).mkdir(parents=True)
    port = free_port()
    service = S3Service(f"https://127.0.0.1:{port}", directory / "ca.pem", objects)
    command = [
        str(Path(sys.executable).parent / "rclone"),
        "serve",
        "s3",
        "--config",
        "/dev/null",
        "--vfs-cache-mode",
        "off",
    ]
    command += ["--addr", f"127.0.0.1:{port}", "--auth-key", f"{ACCESS_KEY_ID},{SECRET_KEY}"]
    command += ["--cert", str(directory / "cert.pem"), "--key", str(directory / "key.pem"), str(objects)]
    with (directory / "rclone.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        _wait(service, directory / "rclone.log")
        yield service
    finally:
        process.terminate()
        process.wait(60)


def _wait(service: S3Service, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    trusted = ssl.create_default_context(cafile=service.ca)
    while True:
        with suppress(URLError, OSError):
            with suppress(HTTPError):
                urlopen(service.endpoint, context=trusted, timeout=1).close()
            return
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.05)
