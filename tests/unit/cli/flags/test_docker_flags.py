"""Every flag of `docker service create` and `update` is there; what cannot be honoured says so by name."""

from pathlib import Path

import click
import pytest

from cli.commands.service.create import create
from cli.commands.service.update import update
from cli.flags.click_options import apply_flags
from cli.flags.fault_flags import _FLAGS, faults_by_flag
from cli.flags.host_config_options import UNSUPPORTED
from shoal.api.v1.service_pb2 import ServiceSpec
from shoal.errors import Fault


def _of_docker() -> dict[str, list[str]]:
    lines = (Path(__file__).parent / "docker_service_flags.txt").read_text().splitlines()
    words = [line.split() for line in lines if not line.startswith("#")]
    return {kind: names for kind, *names in words}


DOCKER = _of_docker()


def flags(command: click.Command) -> set[str]:
    return {flag for option in command.params for flag in (*option.opts, *option.secondary_opts)}


def test_create_has_them_all() -> None:
    expected = {f"--{name}" for name in (*DOCKER["both"], *DOCKER["lists"], *DOCKER["create"])}
    assert expected - flags(create) == set()
    assert {"-d", "-e", "-l", "-p", "-q", "-t", "-u", "-w"} - flags(create) == set()


def test_update_has_them_all() -> None:
    pairs = {f"--{name}-{verb}" for name in DOCKER["lists"] for verb in ("add", "rm")}
    expected = {f"--{name}" for name in (*DOCKER["both"], *DOCKER["update"])} | pairs
    assert expected - flags(update) == set()
    assert {"-d", "-q", "-t", "-u", "-w"} - flags(update) == set()


@pytest.mark.parametrize("flag", UNSUPPORTED)
def test_what_is_not_honoured_is_named(flag: str) -> None:
    (fault,) = apply_flags(ServiceSpec(), {flag[2:].replace("-", "_"): "x"})
    assert str(fault).startswith(f"{flag}: not supported: ")


def test_labels_of_a_service_that_is_there() -> None:
    spec = ServiceSpec(labels={"a": "1", "b": "2"})
    spec.task.container.labels["c"] = "3"
    given = {
        "label_add": ("d=4",),
        "label_rm": ("a",),
        "container_label_add": ("e=5",),
        "container_label_rm": ("c",),
    }
    assert apply_flags(spec, given) == []
    assert spec.labels == {"b": "2", "d": "4"}
    assert spec.task.container.labels == {"e": "5"}


def test_the_later_word_on_a_capability_counts() -> None:
    spec = ServiceSpec()
    container = spec.task.container
    assert apply_flags(spec, {"cap_add": ("NET_ADMIN", "SYS_TIME"), "cap_drop": ("CHOWN",)}) == []
    assert apply_flags(spec, {"cap_drop": ("CAP_NET_ADMIN",), "cap_add_rm": ("sys_time",)}) == []
    assert (list(container.cap_add), list(container.cap_drop)) == ([], ["CHOWN", "CAP_NET_ADMIN"])
    (fault,) = apply_flags(spec, {"cap_drop_rm": ("KILL",)})
    assert str(fault) == "--cap-drop-rm: 'KILL' not found"


def test_logs_are_rotated_as_docker_says_it() -> None:
    spec = ServiceSpec()
    assert apply_flags(spec, {"log_driver": "json-file", "log_opt": ("max-size=1M", "max-file=5")}) == []
    assert (spec.task.log.max_bytes, spec.task.log.max_files) == (1 << 20, 5)
    faults = apply_flags(spec, {"log_driver": "syslog", "log_opt": ("tag=x",), "log_opt_rm": ("max-size",)})
    assert [str(fault).split(":")[0] for fault in faults] == ["--log-opt", "--log-driver"]
    assert spec.task.log.max_bytes == 0


def test_no_log_is_kept_with_the_driver_none() -> None:
    spec = ServiceSpec()
    assert apply_flags(spec, {"log_driver": "none"}) == []
    assert spec.task.log.disabled
    (fault,) = apply_flags(spec, {"log_driver": "fluentd"})
    assert str(fault).startswith("--log-driver: log driver 'fluentd' is not supported: logs are stored on the node")
    assert apply_flags(spec, {"log_driver": "local"}) == []
    assert not spec.task.log.disabled


def test_a_mount_labels_the_volume_that_is_made_for_it() -> None:
    mount = "type=volume,source=data,target=/data,volume-label=tier=gold,volume-label=kept"
    spec = ServiceSpec()
    assert apply_flags(spec, {"mount": (mount,)}) == []
    assert dict(spec.task.container.mounts[0].volume.labels) == {"tier": "gold", "kept": ""}
    (fault,) = apply_flags(spec, {"mount": ("type=bind,source=/a,target=/b,volume-label=x=y",)})
    assert "volume options cannot be used with type bind" in str(fault)


def test_a_quotation_mark_that_is_not_closed() -> None:
    (fault,) = apply_flags(ServiceSpec(), {"entrypoint": "sh -c 'x"})
    assert str(fault).startswith("--entrypoint: ")


def test_faults_of_the_manager_are_told_by_flag() -> None:
    reported = faults_by_flag(
        [
            Fault("task.container.mounts[2].target", "must be absolute"),
            Fault("update.delay_ms", "is too long"),
            Fault("task.container.healthcheck.interval_ms", "is too short"),
            Fault("task.unheard_of", "is odd"),
        ]
    )
    assert [fault.path for fault in reported] == ["--mount", "--update-delay", "--health-interval", "task.unheard_of"]


def test_every_flag_that_is_told_is_one() -> None:
    reported = {flag for flag in _FLAGS.values() if flag.startswith("--")}
    assert reported - flags(create) == set()
