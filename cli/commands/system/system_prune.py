"""`shoal system prune`."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import click

from cli.client import Client
from cli.commands.common.common_options import examples, pass_client
from cli.commands.container.container_removal import prune_containers, prune_filters
from cli.commands.image.image_names import REMOVE_SECONDS
from cli.render.error_lines import warn
from shoal.api.v1.control_pb2 import (
    ListNetworksRequest,
    ListVolumesRequest,
    RemoveNetworkRequest,
    RemoveVolumeRequest,
)
from shoal.api.v1.engine_pb2 import Filter, PruneImagesRequest
from shoal.api.v1.engine_pb2_grpc import ImagesStub
from shoal.container_ids import container_id
from shoal.docker_units import docker_size
from shoal.errors import InvalidInput, NotFound, Refused
from shoal.filters.filter_set import has_label

ANONYMOUS_LABEL = "com.docker.volume.anonymous"


@dataclass(frozen=True)
class Pruning:
    """What is to be removed.

    Attributes:
        filters: as managers take them, times in milliseconds; texts: as the user has written them.
    """

    everything: bool
    volumes: bool
    filters: Sequence[Filter]
    texts: Sequence[str]

    def keeps(self, labels: Mapping[str, str], created_at_ms: int) -> bool:
        """Whether the filters spare an object."""
        for each in self.filters:
            if each.key == "until" and created_at_ms >= int(each.value):
                return True
            if each.key in ("label", "label!") and has_label(labels, each.value) != (each.key == "label"):
                return True
        return False

    def image_filters(self) -> list[Filter]:
        """Managers read the times of images themselves."""
        pairs = [(each, text) for each, text in zip(self.filters, self.texts, strict=True)]
        return [
            Filter(key=each.key, value=text.partition("=")[2] if each.key == "until" else each.value)
            for each, text in pairs
        ]

    def warning(self) -> str:
        """What goes, in Docker's words."""
        images = (
            "all images without at least one container or service using them"
            if self.everything
            else "all dangling images"
        )
        lines = [
            "all stopped containers",
            "all networks not used by at least one container or service",
            *(["all anonymous volumes not used by at least one container"] if self.volumes else []),
            images,
        ]
        listed = "\n".join(f"  - {line}" for line in lines)
        filtered = f"\n\n  Items to be pruned will be filtered with:\n  - {', '.join(self.texts)}" if self.texts else ""
        return f"WARNING! This will remove:\n{listed}{filtered}\n\nAre you sure you want to continue?"


@click.command(
    "prune",
    epilog=examples(
        "shoal system prune", "shoal system prune --all --volumes", "shoal system prune -f --filter until=24h"
    ),
)
@click.option("-a", "--all", "everything", is_flag=True, help="Remove all unused images not just dangling ones.")
@click.option(
    "--filter", "filters", multiple=True, metavar="KEY=VALUE", help="Keys: label, label!, until (24h or a time)."
)
@click.option("-f", "--force", is_flag=True, help="Do not prompt for confirmation.")
@click.option("--volumes", is_flag=True, help="Prune anonymous volumes.")
@pass_client
def prune(client: Client, *, everything: bool, filters: tuple[str, ...], force: bool, volumes: bool) -> None:
    """Remove unused data: stopped containers, unused networks and dangling images.

    Space of images is freed in the registry by its own garbage collection (`registry garbage-collect`).
    """
    pruning = Pruning(everything, volumes, prune_filters(filters, time.time_ns()), filters)
    if volumes and any(each.key == "until" for each in pruning.filters):
        raise InvalidInput("--filter: until is not supported with --volumes")
    if not force:
        click.confirm(pruning.warning(), abort=True, err=True)
    done = prune_containers(client, pruning.filters)
    _show("Containers", map(container_id, done.ids))
    _show("Networks", _prune_networks(client, pruning))
    if volumes:
        _show("Volumes", _prune_volumes(client, pruning))
    request = PruneImagesRequest(all=everything, filters=pruning.image_filters())
    images = client.call(ImagesStub(client.channel).PruneImages, request, seconds=REMOVE_SECONDS * 10)
    _show(
        "Images", [*(f"untagged: {each}" for each in images.untagged), *(f"deleted: {each}" for each in images.deleted)]
    )
    click.echo(f"Total reclaimed space: {docker_size(done.reclaimed_bytes + images.reclaimed_bytes)}")


def _show(title: str, names: Iterable[str]) -> None:
    lines = list(names)
    if lines:
        click.echo("\n".join((f"Deleted {title}:", *lines, "")))


def _prune_networks(client: Client, pruning: Pruning) -> list[str]:
    views = client.call(client.control.ListNetworks, ListNetworksRequest()).networks
    unused = [view.network for view in views if not view.services and not view.network.removing]
    names = {
        network.spec.name: network.meta.id
        for network in unused
        if not pruning.keeps(network.spec.labels, network.meta.created_at_ms)
    }

    def remove(identifier: str) -> None:
        client.call(client.control.RemoveNetwork, RemoveNetworkRequest(network=identifier))

    return _removed(names, remove)


def _prune_volumes(client: Client, pruning: Pruning) -> list[str]:
    views = client.call(client.control.ListVolumes, ListVolumesRequest()).volumes
    unused = [view.volume for view in views if not view.services and not view.volume.removing]
    names = {
        volume.spec.name: volume.meta.id
        for volume in unused
        if ANONYMOUS_LABEL in volume.spec.labels and not pruning.keeps(volume.spec.labels, volume.meta.created_at_ms)
    }

    def remove(identifier: str) -> None:
        warn(*client.call(client.control.RemoveVolume, RemoveVolumeRequest(volume=identifier)).warnings)

    return _removed(names, remove)


def _removed(names: Mapping[str, str], remove: Callable[[str], None]) -> list[str]:
    """Remove objects; those stay that have come to be used meanwhile.

    Args:
        names: ids by name.
    """
    done = []
    for name, identifier in names.items():
        try:
            remove(identifier)
        except (Refused, NotFound):
            continue
        done.append(name)
    return done
