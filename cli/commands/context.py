"""`shoal context …`."""

import os
from datetime import UTC, datetime
from pathlib import Path

import click

from cli.commands.common.common_options import examples, format_option, inspect_format_option
from cli.commands.common.for_each import for_each
from cli.fields.row_fields import CONTEXTS as NAMES
from cli.render.documents import print_documents
from cli.render.error_lines import warn
from cli.render.table import print_listing
from shoal.contexts.context_store import ContextStore, default_directory
from shoal.errors import InvalidInput
from shoal.rpc.host_port import parse as parse_address


def contexts() -> ContextStore:
    """Those of the user who runs the program."""
    return ContextStore(default_directory(os.environ))


def context_names(_: click.Context, __: click.Parameter, incomplete: str) -> list[str]:
    """Completes a context's name."""
    return [each.name for each in contexts().list() if each.name.startswith(incomplete)]


@click.group("context")
def command() -> None:
    """Manage contexts."""


@command.command("ls", epilog=examples("shoal context ls"))
@format_option
@click.option("-q", "--quiet", is_flag=True, help="Only display names.")
def list_contexts(*, form: str, quiet: bool) -> None:
    """List contexts. The current context is marked with an asterisk."""
    current = contexts().current_name()
    rows = [
        {"current": "*" if each.name == current else "", "name": each.name, "addresses": ", ".join(each.addresses)}
        for each in contexts().list()
    ]
    print_listing(rows, ("current", "name", "addresses"), form=form, quiet="name" if quiet else None, names=NAMES)


@command.command("use", epilog=examples("shoal context use prod"))
@click.argument("name", shell_complete=context_names)
def use(*, name: str) -> None:
    """Set the current context."""
    contexts().use(name)
    click.echo(name)


@command.command("show", epilog=examples("shoal context show"))
@click.pass_context
def show_current(ctx: click.Context) -> None:
    """Print the name of the current context."""
    click.echo(contexts().resolve(ctx.find_root().obj, os.environ).name)


@command.command(
    "create",
    epilog=examples(
        "shoal context create --admin /var/lib/shoal/manager/admin prod",
        "shoal context create --address m1:7440 --ca ca.pem --cert cert.pem --key key.pem prod",
    ),
)
@click.option(
    "--admin", "admin", type=click.Path(path_type=Path), metavar="DIRECTORY", help="Directory with admin credentials."
)
@click.option(
    "--address", "addresses", multiple=True, metavar="HOST:PORT", help="API address of a manager (repeatable)."
)
@click.option("--ca", type=click.Path(path_type=Path), help="CA certificate of the cluster.")
@click.option("--cert", type=click.Path(path_type=Path), help="Client certificate.")
@click.option("--key", type=click.Path(path_type=Path), help="Client private key.")
@click.option("--registries", type=click.Path(path_type=Path), help="File with registry settings and credentials.")
@click.argument("name")
def create(
    *,
    name: str,
    admin: Path | None,
    addresses: tuple[str, ...],
    ca: Path | None,
    cert: Path | None,
    key: Path | None,
    registries: Path | None,
) -> None:
    """Create a context from credentials and the API addresses of managers."""
    from shoal.contexts.context_store import identity_from_files
    from shoal.identity.identity import Identity

    if admin is not None:
        identity = Identity.load(admin)
        known = admin / "address"
        if not addresses and known.is_file():
            addresses = tuple(known.read_text().split())
    elif ca and cert and key:
        identity = identity_from_files(ca, cert, key)
    else:
        raise InvalidInput("specify --admin DIRECTORY, or --ca, --cert, --key and --address")
    made = contexts().create(name, identity, addresses, registries=registries.resolve() if registries else None)
    click.echo(made.name)


@command.command("inspect", epilog=examples("shoal context inspect", "shoal context inspect prod"))
@inspect_format_option
@click.argument("name", required=False, shell_complete=context_names)
@click.pass_context
def inspect(ctx: click.Context, *, name: str | None, form: str) -> None:
    """Display detailed information on a context (default: the current one)."""
    from shoal.contexts.certificate_renewal import expiry_warning
    from shoal.identity.identity import Identity

    chosen = contexts().resolve(name or ctx.find_root().obj, os.environ)
    about = {
        "name": chosen.name,
        "addresses": list(chosen.addresses),
        "discovered_addresses": list(chosen.discovered),
        "directory": str(chosen.directory),
        "registries": str(chosen.registries) if chosen.registries else None,
    }
    print_documents([about], form=form)
    if warning := expiry_warning(Identity.load(chosen.directory), datetime.now(UTC)):
        warn(warning)


@command.command("rm", epilog=examples("shoal context rm prod", "shoal context rm --force prod test"))
@click.option("-f", "--force", is_flag=True, help="Remove the context even if it is the current one.")
@click.argument("names", nargs=-1, required=True, shell_complete=context_names)
def remove(*, names: tuple[str, ...], force: bool) -> None:
    """Remove one or more contexts, including their keys."""

    def remove_one(name: str) -> None:
        contexts().remove(name, force=force)
        click.echo(name)

    for_each(names, remove_one).exit_if_failed()


@command.command(
    "export",
    epilog=examples(
        "shoal context export prod prod.tar",
        "shoal context export --docker --engine h1:2376 --engine-ca engine-ca.pem prod ~/.docker/prod",
    ),
)
@click.option(
    "--docker",
    is_flag=True,
    help="Write certificates for Docker's clients (DOCKER_CERT_PATH) to the new directory FILE.",
)
@click.option(
    "--engine",
    metavar="HOST:PORT",
    help="With --docker: address of the engine; prints the command that creates a Docker context.",
)
@click.option(
    "--engine-ca",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="With --docker: CA certificate of the engine's TLS certificate (default: the cluster's).",
)
@click.argument("name", shell_complete=context_names)
@click.argument("file", type=click.Path(path_type=Path))
def export(*, name: str, file: Path, docker: bool, engine: str | None, engine_ca: Path | None) -> None:
    """Export a context, including its private key, to FILE."""
    if not docker and (engine or engine_ca):
        raise InvalidInput("--engine and --engine-ca require --docker")
    if docker:
        _export_for_docker(name, file, engine, engine_ca)
        return
    from shoal.contexts.context_archive import export_context

    export_context(contexts().get(name), file)
    click.echo(str(file))


def _export_for_docker(name: str, directory: Path, engine: str | None, engine_ca: Path | None) -> None:
    from shoal.contexts.docker_certificates import docker_context_command, write_docker_certificates

    if engine is not None:
        parse_address(engine)
    write_docker_certificates(contexts().get(name), directory, engine_ca=engine_ca)
    click.echo(docker_context_command(name, directory, engine) if engine is not None else str(directory))


@command.command("import", epilog=examples("shoal context import prod prod.tar"))
@click.argument("name")
@click.argument("file", type=click.Path(path_type=Path))
def import_(*, name: str, file: Path) -> None:
    """Create a context from a file written by `shoal context export`."""
    from shoal.contexts.context_archive import import_context

    click.echo(import_context(contexts(), name, file).name)
