"""Options of daemons are set by their environment too."""

import click
from click.testing import CliRunner

from shoal.daemons.environment_options import environment_option


@click.command()
@environment_option("engine")("--home-node", default="none", help="The node.")
def show(home_node: str) -> None:
    click.echo(home_node)


def test_the_variable_has_the_names_of_the_program_and_the_option() -> None:
    assert CliRunner().invoke(show, env={"SHOAL_ENGINE_HOME_NODE": "h1"}).output == "h1\n"


def test_the_command_line_goes_first() -> None:
    assert CliRunner().invoke(show, ["--home-node", "h2"], env={"SHOAL_ENGINE_HOME_NODE": "h1"}).output == "h2\n"


def test_the_help_names_the_variable() -> None:
    assert "SHOAL_ENGINE_HOME_NODE" in CliRunner().invoke(show, ["--help"]).output
