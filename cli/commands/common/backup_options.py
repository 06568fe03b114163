"""The options of scheduled backups, and the request that they make."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from cli.flags.fault_collector import FaultCollector
from shoal.api.v1.control_pb2 import SetBackupScheduleRequest
from shoal.errors import InvalidInput
from shoal.spec_parsers.units import parse_duration_ms

DEFAULT_KEEP = 28
S3_SCHEME = "s3://"
ACCESS_KEY_ID, SECRET_KEY = "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"  # names of variables


def schedule_options(function: Callable[..., None]) -> Callable[..., None]:
    """Of the command that sets a schedule."""
    for option in (
        click.option("--ca", type=click.Path(path_type=Path), help="CA certificates of the S3 service (PEM)."),
        click.option("--region", metavar="REGION", help="Region of the bucket (default us-east-1)."),
        click.option(
            "--secret-key-file",
            metavar="FILE|-",
            help=f"File with the secret key; - is standard input (default ${SECRET_KEY}).",
        ),
        click.option("--access-key-id", metavar="ID", help=f"Access key of the S3 service (default ${ACCESS_KEY_ID})."),
        click.option("--endpoint", metavar="URL", help="URL of the S3 service (default Amazon's)."),
        click.option(
            "--to", metavar="DIRECTORY|s3://BUCKET/PREFIX", help="Where scheduled backups are stored; it has to exist."
        ),
        click.option("--keep", type=int, metavar="N", help=f"Scheduled backups to keep (default {DEFAULT_KEEP})."),
        click.option("--every", metavar="TIME|off", help="Make backups on a schedule, such as 6h."),
    ):
        function = option(function)
    return function


def schedule_request(options: dict[str, Any]) -> SetBackupScheduleRequest:
    """The request of `schedule_options`.

    Raises:
        InvalidInput: an option is not valid, or a file cannot be read.
    """
    collector = FaultCollector()
    request = SetBackupScheduleRequest(keep=DEFAULT_KEEP if options["keep"] is None else max(0, options["keep"]))
    with collector.flag("--every"):
        request.every_ms = parse_duration_ms(options["every"])
    with collector.flag("--to"):
        if not options["to"]:
            raise InvalidInput("is required with --every")
        request.target.address = options["to"]
    request.target.endpoint, request.target.region = options["endpoint"] or "", options["region"] or ""
    with collector.flag("--ca"):
        if options["ca"] is not None:
            request.target.ca_certificate = _read(options["ca"])
    request.target.access_key_id = options["access_key_id"] or ""
    with collector.flag("--secret-key-file"):
        if options["secret_key_file"] is not None:
            request.secret_key = _secret(options["secret_key_file"])
    collector.raise_faults()
    if request.target.address.startswith(S3_SCHEME) and not request.target.access_key_id:
        request.target.access_key_id = os.environ.get(ACCESS_KEY_ID, "")
        request.secret_key = request.secret_key or os.environ.get(SECRET_KEY, "")
    return request


def _secret(file: str) -> str:
    data = sys.stdin.buffer.read() if file == "-" else _read(Path(file))
    try:
        return data.decode().strip()
    except UnicodeDecodeError:
        raise InvalidInput("must contain text") from None


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InvalidInput(f"cannot read {path}: {error.strerror}") from error
