"""`shoal cp`."""

import sys

import click

from cli.client import Client
from cli.commands.common.common_options import examples, pass_client
from cli.commands.common.name_completion import names_of
from cli.commands.container.container_calls import containers
from cli.file_copies.copy_paths import split_argument
from shoal.errors import InvalidInput


@click.command(
    "cp",
    epilog=examples(
        "shoal cp db:/etc/passwd .",
        "shoal cp -a site web:/srv",
        "shoal cp site/. web:/srv",
        "shoal cp db:/var/log - | tar -t",
        "shoal cp - db:/restore < backup.tar.gz",
    ),
)
@click.option("-a", "--archive", is_flag=True, help="Archive mode: keep users and groups.")
@click.option("-L", "--follow-link", "follow", is_flag=True, help="Follow a symbolic link at SOURCE.")
@click.option("-q", "--quiet", is_flag=True, help="Suppress progress; the default where STDOUT is not a terminal.")
@click.argument("source", metavar="[CONTAINER:]SOURCE|-", shell_complete=names_of("container"))
@click.argument("target", metavar="[CONTAINER:]TARGET|-", shell_complete=names_of("container"))
@pass_client
def command(client: Client, *, archive: bool, follow: bool, quiet: bool, source: str, target: str) -> None:
    """Copy files between a container and this machine.

    `-` as the source reads a tar archive from STDIN and unpacks it into a directory of the container; as the target it
    writes one to STDOUT. Paths in containers are relative to `/`.

    Into a directory that exists, a file or directory is copied with its name, and with `/.` after a directory its
    contents alone. What does not exist is created under the target's name; its parent must exist. With `--archive`,
    files in a container get its user, and local ones the owners that they have in the container.
    """
    from cli.file_copies.container_copy import ContainerArchives, CopyOptions, copy_from, copy_to

    (source_container, source_path), (target_container, target_path) = split_argument(source), split_argument(target)
    _check(source, target)
    options = CopyOptions(archive, follow, quiet or not sys.stdout.isatty())
    if source_container:
        copy_from(ContainerArchives(client, containers(client), source_container), source_path, target_path, options)
    else:
        copy_to(ContainerArchives(client, containers(client), target_container), source_path, target_path, options)


def _check(source: str, target: str) -> None:
    """Raises InvalidInput: not exactly one of the two is in a container."""
    for name, given in (("SOURCE", source), ("TARGET", target)):
        container, path = split_argument(given)
        if not path:
            raise InvalidInput(f"{name} must have a path{f' after {container}:' if container else ''}")
    if split_argument(source)[0] and split_argument(target)[0]:
        raise InvalidInput("copying between containers is not supported")
    if not split_argument(source)[0] and not split_argument(target)[0]:
        raise InvalidInput("SOURCE or TARGET must be in a container, such as db:/srv")
