"""Options that several commands of `shoal-manager` share, and how the program fails."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import click

from manager.settings import Settings
from shoal.daemons.environment_options import environment_option
from shoal.errors import InvalidInput, ShoalError

Command = Callable[..., None]
T = TypeVar("T")

FAILURE = 1
INVALID_SETTINGS = 2
REMOVED = 3
WRONG_RELEASE = 4

DEFAULT = Settings()


def option(name: str, **more: Any) -> Callable[[Command], Command]:
    """An option that may also be set by SHOAL_MANAGER_<NAME> in the environment. An empty default is not shown."""
    return environment_option("manager")(name, show_default=more.get("default") != "", **more)


def path_option(name: str, default: Path | None, text: str) -> Callable[[Command], Command]:
    """An option with a path."""
    return option(name, type=click.Path(path_type=Path), default=default, help=text)


def etcd_options(command: Command) -> Command:
    """The options that say where the records are, as for `run`."""
    for add in (
        path_option(
            "--state-directory",
            DEFAULT.state_directory,
            "State directory of a manager on this host that runs its own etcd.",
        ),
        option(
            "--etcd-endpoint",
            multiple=True,
            help="HOST:PORT of a member of an external etcd cluster; repeat for more members.",
        ),
        path_option("--etcd-ca", None, "CA certificate of etcd (PEM)."),
        path_option("--etcd-cert", None, "Client certificate for etcd (PEM)."),
        path_option("--etcd-key", None, "Client key for etcd (PEM)."),
        option("--etcd-server-name", default="", help="Host name to verify in etcd's certificates."),
    ):
        command = add(command)
    return command


cluster_key_option = path_option(
    "--cluster-key-file", None, "File with the cluster key.  [default: in the state directory]"
)


def etcd_settings(etcd_endpoint: tuple[str, ...], etcd_cert: Path | None, values: dict[str, Any]) -> Settings:
    """The settings of `etcd_options`."""
    return Settings(etcd_endpoints=etcd_endpoint, etcd_certificate=etcd_cert, **values)


def or_fail(work: Callable[[], T]) -> T:
    """What it returns; an error that is for the user ends the program."""
    try:
        return work()
    except Exception as error:
        shown = user_error(error)
        if shown is None:
            raise
        fail(str(shown), INVALID_SETTINGS if isinstance(shown, InvalidInput) else FAILURE)


def fail(line: str, code: int) -> NoReturn:
    """End the program with one line on standard error."""
    click.echo(f"shoal-manager: {line}", err=True)
    sys.exit(code)


def user_error(error: BaseException) -> ShoalError | None:
    """The error to show to the user; None if any part of a group is not a `ShoalError`, which is a bug."""
    if not isinstance(error, BaseExceptionGroup):
        return error if isinstance(error, ShoalError) else None
    parts = [user_error(each) for each in error.exceptions]
    return None if None in parts else parts[0]
