"""`--mount type=volume` and Compose `volumes`."""

from pathlib import Path

import pytest

from cli.commands.volume_listing import location_text, row
from cli.fields.row_fields import VOLUMES as VOLUME_NAMES
from cli.render.format_template import parse_format, row_record
from shoal.api.v1.container_pb2 import Mount, VolumeOptions
from shoal.api.v1.control_pb2 import VolumeLocation, VolumeMoveView, VolumeView
from shoal.api.v1.volume_pb2 import VolumeMoveStatus, VolumePublication, VolumeSecret
from shoal.compose.load import load_files
from shoal.errors import InvalidInput
from shoal.filters.volume_filters import VOLUMES
from shoal.spec_parsers.mount_parser import parse_mount
from shoal.spec_parsers.volume_parser import parse_secret


def test_mounts_of_volumes() -> None:
    assert parse_mount("source=data,target=/d") == Mount(
        type=Mount.VOLUME, source="data", target="/d", volume=VolumeOptions()
    )
    text = (
        "type=volume,src=data,dst=/d,readonly,volume-nocopy,volume-subpath=a/b,per-slot=true,failover-after=5m,"
        "volume-opt=type=nfs,volume-opt=o=addr=10.0.0.9,volume-opt=device=:/srv"
    )
    options = {"type": "nfs", "o": "addr=10.0.0.9", "device": ":/srv"}
    use = VolumeOptions(no_copy=True, subpath="a/b", per_slot=True, failover_after_ms=300_000, options=options)
    assert parse_mount(text) == Mount(type=Mount.VOLUME, source="data", target="/d", read_only=True, volume=use)
    bind = parse_mount("type=bind,source=/srv,target=/d,bind-create-src,bind-propagation=rprivate")
    assert bind.create_source and not bind.HasField("volume")
    shared = parse_mount("type=bind,source=/srv,target=/d,shared=true,failover-after=30s")
    assert shared == Mount(
        type=Mount.BIND, source="/srv", target="/d", shared=True, volume=VolumeOptions(failover_after_ms=30_000)
    )
    assert parse_mount("source=data,target=/d,shared").shared
    for value, expected in (("enabled", ""), ("disabled", "disabled"), ("writable", "writable")):
        mount = parse_mount(f"type=bind,source=/srv,target=/d,readonly,bind-recursive={value}")
        assert (mount.recursive, mount.read_only) == (expected, True)


@pytest.mark.parametrize(
    ("text", "reported"),
    [
        ("source=data", "target is missing"),
        ("type=bind,source=/a,target=/d,bind-propagation=rshared", "do not propagate out"),
        ("type=bind,source=/a,target=/d,bind-recursive=yes", "must be one of enabled, disabled, writable, readonly"),
        ("type=tmpfs,target=/d,volume-nocopy", "volume options cannot be used with type tmpfs"),
        ("type=tmpfs,target=/d,shared=true", "failover-after and shared can only be used with volumes and bind mounts"),
        ("source=d,target=/d,volume-opt=nfs", "NAME=VALUE"),
        ("type=npipe,source=d,target=/d", "'npipe' is not supported"),
    ],
)
def test_bad_mounts(text: str, reported: str) -> None:
    with pytest.raises(InvalidInput, match=reported):
        parse_mount(text)


def test_compose_in_all_forms(tmp_path: Path) -> None:
    path = tmp_path / "stack.yaml"
    path.write_text("""
services:
  db:
    image: hello
    volumes:
      - data:/data:ro
      - ./conf:/conf
      - {type: bind, source: /srv/shared, target: /shared, x-shared: true}
      - type: volume
        source: data
        target: /slots
        volume: {nocopy: true, subpath: sub}
        x-per-slot: true
        x-failover-after: 1m
      - {type: volume, source: far, target: /far}
      - {type: bind, source: ./made, target: /made, bind: {create_host_path: true}}
      - {type: tmpfs, target: /tmp, tmpfs: {size: 1024, mode: 0700}}
      - /own
volumes:
  data: {driver: local, driver_opts: {type: none, o: bind, device: /srv}, labels: {a: b}}
  far: {external: true, name: elsewhere}
""")
    project = load_files("shop", [path], {}).checked().project
    (volume,) = project.volumes
    assert (volume.name, volume.stack, dict(volume.labels), volume.driver) == ("shop_data", "shop", {"a": "b"}, "local")
    assert dict(volume.options) == {"type": "none", "o": "bind", "device": "/srv"}
    data, conf, both, slots, far, made, tmp, own = project.services[0].task.container.mounts
    assert (data.type, data.source, data.read_only) == (Mount.VOLUME, "shop_data", True)
    assert (both.type, both.source, both.shared) == (Mount.BIND, "/srv/shared", True)
    assert (conf.type, conf.source) == (Mount.BIND, str(tmp_path / "conf"))
    assert slots.volume == VolumeOptions(no_copy=True, subpath="sub", per_slot=True, failover_after_ms=60_000)
    assert far.source == "elsewhere"
    assert made.create_source
    assert (own.type, own.source, own.target) == (Mount.VOLUME, "", "/own")
    assert (tmp.type, tmp.tmpfs_bytes, tmp.tmpfs_mode) == (Mount.TMPFS, 1024, 0o700)


def test_compose_faults(tmp_path: Path) -> None:
    path = tmp_path / "stack.yaml"
    path.write_text("""
services:
  db:
    image: hello
    volumes: [nowhere:/d, "data:/e:slow"]
volumes:
  data: {driver: rexray, x-access-mode: both}
  keys: {driver: rexray, x-secrets: {password: none}}
""")
    with pytest.raises(InvalidInput) as reported:
        load_files("shop", [path], {}).checked()
    said = str(reported.value)
    for part in ("'nowhere' is not defined", "mode 'slow'", "x-access-mode 'both' must be one of", "secret 'none' is"):
        assert part in said, said


def test_secrets_for_drivers(tmp_path: Path) -> None:
    assert parse_secret("password=smb=pw") == VolumeSecret(key="password", source="smb=pw")
    for text in ("password", "=pw", "password="):
        with pytest.raises(InvalidInput, match="KEY=SECRET"):
            parse_secret(text)
    path = tmp_path / "stack.yaml"
    path.write_text("""
services:
  db: {image: hello, volumes: ["files:/d"]}
volumes:
  files: {driver: smb.example, x-secrets: {username: user, password: pw}}
secrets:
  user: {external: true, name: everyone}
  pw: {environment: PW}
""")
    (volume,) = load_files("shop", [path], {"PW": "x"}).checked().project.volumes
    assert [(each.key, each.source) for each in volume.secrets] == [("username", "everyone"), ("password", "shop_pw")]


def test_where_a_volume_is() -> None:
    ready, waiting = VolumePublication.READY, VolumePublication.WAITING
    shown = {
        "h1": VolumeLocation(hostname="h1"),
        "h1 (slot 3)": VolumeLocation(hostname="h1", slot=3),
        "h1 (slot 3, down)": VolumeLocation(hostname="h1", slot=3, down=True),
        "h2": VolumeLocation(hostname="h2", publication_state=ready, mounted=True),
        "h2 (mounting)": VolumeLocation(hostname="h2", publication_state=ready),
        "h2 (waiting)": VolumeLocation(hostname="h2", publication_state=waiting),
        "h2 (unknown)": VolumeLocation(hostname="h2", publication_state=77),
    }
    for text, where in shown.items():
        assert location_text(where) == text
    reported = row(VolumeView(locations=shown.values()))["locations"]
    assert isinstance(reported, list) and reported[2:4] == [
        {"node": "h1", "slot": 3, "home": False, "state": "", "down": True, "used_bytes": None},
        {"node": "h2", "slot": 0, "home": False, "state": "mounted", "down": False, "used_bytes": None},
    ]


def test_the_home_and_the_size_of_a_volume() -> None:
    h1 = VolumeLocation(hostname="h1", home=True, used_bytes=3 << 20)
    left = VolumeLocation(hostname="h2", used_bytes=1 << 20)
    shown = row(VolumeView(locations=[h1, left]))
    assert (shown["home"], shown["nodes"], shown["size"]) == ("h1", "h1, h2", "4 MiB")
    slots = [VolumeLocation(hostname=f"h{number}", slot=number, home=True) for number in (1, 2)]
    assert (row(VolumeView(locations=slots))["home"], row(VolumeView(locations=slots))["size"]) == ("1: h1, 2: h2", "")


def test_a_move_that_is_under_way() -> None:
    copying = VolumeMoveStatus(state=VolumeMoveStatus.COPYING, bytes=4 << 20, total_bytes=10 << 20)
    waiting = VolumeMoveStatus(state=VolumeMoveStatus.WAITING, slot=2, message="waiting for node h3, which is down")
    view = VolumeView(
        moves=[
            VolumeMoveView(status=copying, from_hostname="h1", to_hostname="h2", percent=40),
            VolumeMoveView(status=waiting, from_hostname="h1", to_hostname="h3"),
        ]
    )
    shown = row(view)
    assert (shown["state"], shown["move"]) == ("moving", "h1 to h2 (copying, 40%), 2: h1 to h3 (waiting)")
    for text, reported in (
        ("{{.State}} {{.Move}}", f"moving {shown['move']}"),
        ("{{range .Moves}}{{.From}}>{{.To}} {{.Percent}} {{.TotalBytes}};{{end}}", "h1>h2 40 10485760;h1>h3 0 0;"),
    ):
        assert parse_format(text).run(row_record(shown, VOLUME_NAMES)) == reported
    assert VOLUMES.parse(["moving=true"])(view) and not VOLUMES.parse(["moving=false"])(view)
    assert row(VolumeView())["moves"] == []


def test_labels_of_a_mount_are_those_of_the_volume_that_the_stack_makes(tmp_path: Path) -> None:
    path = tmp_path / "stack.yaml"
    mount = "{type: volume, source: data, target: /d, volume: {labels: [a=1, b=2]}}"
    path.write_text(f"services: {{a: {{image: x, volumes: [{mount}]}}}}\nvolumes: {{data: {{labels: {{b: '3'}}}}}}\n")
    made = load_files("shop", [path], {}).checked().project
    assert dict(made.volumes[0].labels) == {"a": "1", "b": "3"}
    assert not made.services[0].task.container.mounts[0].volume.labels
    path.write_text(f"services: {{a: {{image: x, volumes: [{mount}]}}}}\nvolumes: {{data: {{external: true}}}}\n")
    with pytest.raises(InvalidInput, match="cannot be used with an external volume"):
        load_files("shop", [path], {}).checked()
