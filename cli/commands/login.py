"""`shoal login`, `shoal logout`."""

import os
import sys
from pathlib import Path

import click

from cli.commands.common.common_options import examples
from cli.commands.image.image_options import registries_option, run, settings_of
from cli.render.error_lines import warn
from shoal.distribution.registries import Registries
from shoal.errors import InvalidInput, Unauthenticated
from shoal.registry_logins.docker_config import DockerConfig, Login, config_path, domain_of


@click.command(
    "login",
    epilog=examples(
        "shoal login registry.example.org",
        "shoal login --username ann --password-stdin registry.example.org < password.txt",
    ),
)
@click.option("-u", "--username", default="", help="Username.")
@click.option("-p", "--password", default="", help="Password (visible to other users of this host).")
@click.option("--password-stdin", is_flag=True, help="Read the password from STDIN.")
@registries_option
@click.argument("server", default="", metavar="[SERVER]")
@click.pass_context
def login(
    ctx: click.Context, *, server: str, username: str, password: str, password_stdin: bool, registries: Path | None
) -> None:
    """Log in to a registry (default: Docker Hub). Pulls and pushes from this host then use your credentials.

    Credentials are kept where Docker keeps them: in its config.json, or with the credential helper that it names.
    """
    domain, config = domain_of(server), DockerConfig(config_path(os.environ))
    settings = settings_of(ctx, registries)
    if password and password_stdin:
        raise InvalidInput("--password and --password-stdin cannot be combined")
    if password_stdin and not username:
        raise InvalidInput("--password-stdin: requires --username")
    if password:
        warn("using --password is insecure; use --password-stdin")
    if not username and not password and (known := config.login(domain)) is not None:
        click.echo("Authenticating with existing credentials...", err=True)
        if _is_accepted(settings, domain, known):
            click.echo("Login Succeeded")
            return
    given = Login(username or _prompt_name(), _password(password, from_input=password_stdin))
    _check(settings, domain, given)
    if warning := config.store(domain, given):
        warn(warning)
    click.echo("Login Succeeded")


@click.command("logout", epilog=examples("shoal logout", "shoal logout registry.example.org"))
@click.argument("server", default="", metavar="[SERVER]")
def logout(*, server: str) -> None:
    """Log out from a registry (default: Docker Hub): its credentials are removed from this host."""
    domain = domain_of(server)
    if DockerConfig(config_path(os.environ)).erase(domain):
        click.echo(f"Removing login credentials for {domain}")
    else:
        click.echo(f"Not logged in to {domain}")


def _check(settings: Registries, domain: str, given: Login) -> None:
    from shoal.distribution.check_login import check_login

    known = settings.with_login(domain, given.username, given.password, identity_token=given.identity_token)
    run(check_login(known.find(domain)))


def _is_accepted(settings: Registries, domain: str, known: Login) -> bool:
    try:
        _check(settings, domain, known)
    except Unauthenticated as error:
        warn(str(error))
        return False
    return True


def _prompt_name() -> str:
    if not sys.stdin.isatty():
        raise InvalidInput("cannot prompt: standard input is not a terminal; use --username and --password-stdin")
    name: str = click.prompt("Username", err=True)
    return name


def _password(given: str, *, from_input: bool) -> str:
    if from_input:
        found = sys.stdin.read(1 << 16).removesuffix("\n").removesuffix("\r")
    elif given:
        found = given
    elif not sys.stdin.isatty():
        raise InvalidInput("cannot prompt: standard input is not a terminal; use --password-stdin")
    else:
        found = click.prompt("Password", hide_input=True, err=True)
    if not found:
        raise InvalidInput("the password is empty")
    return found
