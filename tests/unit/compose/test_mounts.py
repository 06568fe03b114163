"""Mounts and devices of a Compose file."""

from pathlib import Path

import pytest

from tests.unit.compose.read_project import faults, project


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ('"./data:/data"', True),
        ("{type: bind, source: /srv, target: /data}", True),
        ("{type: bind, source: /srv, target: /data, bind: {create_host_path: true}}", True),
        ("{type: bind, source: /srv, target: /data, bind: {create_host_path: false}}", False),
        ('"/data"', False),
    ],
)
def test_what_is_not_there_is_made_unless_the_file_says_otherwise(entry: str, expected: bool) -> None:
    (mount,) = project(f"services: {{web: {{image: x, volumes: [{entry}]}}}}").services[0].task.container.mounts
    assert mount.create_source is expected


def test_bounds_of_block_devices_memory_and_processes() -> None:
    text = """
services:
  web:
    image: x
    blkio_config:
      weight: 300
      weight_device: [{path: /dev/sda, weight: 400}]
      device_read_bps: [{path: /dev/sdb, rate: 12mb}]
      device_read_iops: [{path: /dev/sdb, rate: 120}]
      device_write_bps: [{path: /dev/sdb, rate: 1024k}]
      device_write_iops: [{path: /dev/sdb, rate: "${RATE:-30}"}]
    tmpfs: ["/run:size=1m,mode=755,uid=1009,gid=1009,exec,ro"]
    pids_limit: -1
"""
    (web,) = project(text).services
    bounds = web.task.container.block_io
    assert (bounds.weight, [(each.path, each.amount) for each in bounds.weights]) == (300, [("/dev/sda", 400)])
    rates = [(each.path, each.amount) for each in (*bounds.read_bps, *bounds.write_bps)]
    assert rates == [("/dev/sdb", 12 << 20), ("/dev/sdb", 1 << 20)]
    assert [each.amount for each in (*bounds.read_iops, *bounds.write_iops)] == [120, 30]
    (memory,) = web.task.container.mounts
    assert (memory.tmpfs_bytes, memory.tmpfs_mode, memory.read_only) == (1 << 20, 0o755, True)
    assert list(memory.tmpfs_options) == ["uid=1009", "gid=1009", "exec"]
    assert web.task.limits.pids == -1


def test_links_of_this_machine_are_not_followed_in_the_paths_of_nodes(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/etc")
    text = f"services: {{web: {{image: x, volumes: ['{tmp_path}/link/a/../b:/b', './c/../d:/d', '~/e:/e']}}}}"
    sources = [mount.source for mount in project(text).services[0].task.container.mounts]
    assert sources == [f"{tmp_path}/link/b", "/srv/shop/d", str(Path.home() / "e")]


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ("'/:/host:ro,rslave'", "rslave"),
        ("'/:/host:rprivate'", ""),
        ("{type: bind, source: /, target: /host, bind: {propagation: slave}}", "slave"),
    ],
)
def test_propagation(entry: str, expected: str) -> None:
    (mount,) = project(f"services: {{web: {{image: x, volumes: [{entry}]}}}}").services[0].task.container.mounts
    assert mount.propagation == expected


def test_what_is_mounted_below_a_read_only_mount() -> None:
    entry = "{type: bind, source: /a, target: /b, read_only: true, bind: {recursive: writable}}"
    (mount,) = project(f"services: {{web: {{image: x, volumes: [{entry}]}}}}").services[0].task.container.mounts
    assert (mount.read_only, mount.recursive) == (True, "writable")


def test_a_container_mounts_nothing_on_its_node() -> None:
    (fault,) = faults("services: {web: {image: x, volumes: ['/a:/b:rshared']}}")
    assert "propagation 'rshared' is not supported: mounts do not propagate out of a container; use one of" in fault


@pytest.mark.parametrize("part", ["bind: 5", "bind: [selinux]", "volume: 7", "tmpfs: x"])
def test_a_mount_whose_settings_are_none_is_told(part: str) -> None:
    reported = faults(f"services: {{web: {{image: x, volumes: [{{type: bind, source: /a, target: /b, {part}}}]}}}}")
    assert any("services.web.volumes[0]" in line for line in reported)
