"""How images are built: options of `shoal build` and `shoal stack build`."""

import click

from cli.render.build_progress.display import Mode

no_cache_option = click.option("--no-cache", is_flag=True, help="Build every step again.")
progress_option = click.option(
    "--progress",
    type=click.Choice([each.value for each in Mode]),
    default="auto",
    envvar="BUILDKIT_PROGRESS",
    help="How progress is shown (default auto).",
)
pull_option = click.option("--pull", is_flag=True, help="Ask registries for newer base images.")
