"""What templates can name, of rows and of inspected objects: Docker's names."""

import pytest

from cli.commands.node import row as node_row
from cli.commands.service.service_listing import service_row
from cli.fields import row_fields
from cli.fields.node_fields import node_fields
from cli.fields.resource_fields import file_fields, network_fields, volume_fields
from cli.fields.service_fields import service_fields
from cli.fields.task_fields import task_fields
from cli.go_template.evaluate import Template
from cli.render import task_rows
from cli.render.documents import print_documents
from cli.render.table import print_listing
from cli.render.task_rows import rows
from shoal.api.v1.control_pb2 import FileView, NetworkView, NodeView, ServiceView, TaskView, VolumeView
from shoal.api.v1.node_pb2 import NodeSpec, NodeStatus
from shoal.api.v1.service_pb2 import UpdateConfig, UpdateStatus
from shoal.api.v1.task_pb2 import TaskState
from shoal.errors import InvalidInput


def service() -> ServiceView:
    view = ServiceView(desired=3, running=2)
    spec = view.service.spec
    view.service.meta.id, view.service.meta.version, spec.name = "0y7m", 42, "web"
    spec.replicated.replicas = 3
    spec.labels["com.example.tier"] = "front"
    spec.task.container.image = "r:5/web:1@sha256:" + "a" * 64
    spec.task.container.env.append("A=1")
    spec.task.container.command.extend(["serve", "--fast"])
    spec.task.limits.memory_bytes, spec.task.limits.nano_cpus = 64 << 20, 500_000_000
    spec.endpoint.ports.add(target=80, published=8080)
    spec.update.order, spec.update.parallelism = UpdateConfig.START_FIRST, 2
    view.status.mesh_ports.add(target=80, published=8080)
    view.status.virtual_addresses.add(network_id="n1", address="10.0.1.5")
    view.status.update.state = UpdateStatus.ROLLED_BACK
    return view


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{{.ID}} {{.Version.Index}} {{.Spec.Name}}", "0y7m 42 web"),
        ("{{index .Spec.Labels \"com.example.tier\"}} {{json .Spec.Labels}}", 'front {"com.example.tier":"front"}'),
        ("{{.Spec.TaskTemplate.ContainerSpec.Image}}", "r:5/web:1@sha256:" + "a" * 64),
        ("{{json .Spec.TaskTemplate.ContainerSpec.Args}}", '["serve","--fast"]'),
        ("{{range .Spec.TaskTemplate.ContainerSpec.Env}}{{println .}}{{end}}", "A=1\n"),
        ("{{.Spec.TaskTemplate.Resources.Limits.NanoCPUs}}", "500000000"),
        ("{{.Spec.TaskTemplate.Resources.Limits.MemoryBytes}}", "67108864"),
        ("{{with .Spec.Mode.Replicated}}{{.Replicas}}{{end}}{{if .Spec.Mode.Global}}global{{end}}", "3"),
        ("{{range .Endpoint.Ports}}{{.PublishedPort}}->{{.TargetPort}}/{{.Protocol}}{{end}}", "8080->80/tcp"),
        ("{{(index .Endpoint.Ports 0).PublishMode}}", "ingress"),
        ("{{range .Endpoint.VirtualIPs}}{{.NetworkID}} {{.Addr}}{{end}}", "n1 10.0.1.5"),
        ("{{.Spec.UpdateConfig.Order}} {{.Spec.UpdateConfig.Parallelism}}", "start-first 2"),
        ("{{.UpdateStatus.State}} {{.PreviousSpec}}", "rollback_completed <no value>"),
        ("{{.ServiceStatus.RunningTasks}}/{{.ServiceStatus.DesiredTasks}}", "2/3"),
    ],
)  # fmt: skip
def test_a_service(template: str, text: str) -> None:
    assert Template(template).run(service_fields(service())) == text


def test_a_field_that_is_not_there_is_an_error_that_names_those_that_are() -> None:
    with pytest.raises(InvalidInput, match=r"unknown field 'Nmae'; available fields: .*\.Name"):
        Template("{{.Spec.Nmae}}").run(service_fields(service()))


def test_a_node_and_a_task() -> None:
    node = NodeView()
    node.node.meta.id, node.node.spec.identity.hostname, node.node.spec.identity.address = "n1", "h1", "10.0.0.1"
    node.status.state, node.status.colocated_manager_id = NodeStatus.READY, "m1"
    node.status.description.platform.os = "linux"
    template = (
        "{{.ID}} {{.Description.Hostname}} {{.Description.Platform.OS}} {{.Status.State}} {{.Status.Addr}} "
        "{{.Spec.Role}} {{.Spec.Availability}}{{if .ManagerStatus}} {{.ManagerStatus.Reachability}}{{end}}"
    )
    assert Template(template).run(node_fields(node)) == "n1 h1 linux ready 10.0.0.1 manager active reachable"
    task = TaskView(service_name="web", node_hostname="h1", image="web:1")
    task.task.id, task.task.slot, task.task.desired_state = "t1", 2, TaskState.RUNNING
    task.status.state, task.status.exit_code, task.status.message = TaskState.FAILED, 3, "exit code 3"
    text = Template(
        "{{.Name}} {{.Status.State}} {{.Status.Err}} {{.Status.ContainerStatus.ExitCode}} {{.DesiredState}}"
    ).run(task_fields(task))
    assert text == "web.2.t1 failed exit code 3 3 running"


def test_networks_volumes_and_files() -> None:
    network = NetworkView()
    network.network.spec.name, network.network.spec.subnet, network.network.spec.driver = (
        "front",
        "10.5.0.0/24",
        "overlay",
    )
    text = Template("{{.Name}} {{.Driver}} {{.Scope}}{{range .IPAM.Config}} {{.Subnet}}{{end}}").run(
        network_fields(network)
    )
    assert text == "front overlay swarm 10.5.0.0/24"
    volume = VolumeView()
    volume.volume.spec.name, volume.volume.spec.options["type"] = "data", "nfs"
    assert Template("{{.Name}} {{.Driver}} {{.Options.type}}").run(volume_fields(volume)) == "data local nfs"
    file = FileView()
    file.spec.name, file.spec.labels["a"] = "key", "1"
    assert Template("{{.Spec.Name}} {{.Spec.Labels.a}}").run(file_fields(file)) == "key 1"


def test_rows_by_dockers_names(capsys: pytest.CaptureFixture[str]) -> None:
    print_listing(
        [service_row(service())], ("id",), form="table {{.Name}}\\t{{.Mode}}\\t{{.Replicas}}\\t{{.Image | upper}}"
    )
    assert capsys.readouterr().out.splitlines() == [
        "NAME   MODE         REPLICAS   IMAGE",
        "web    replicated   2/3        R:5/WEB:1",
    ]
    task = TaskView(service_name="web", node_hostname="h1")
    task.task.id, task.task.slot, task.task.desired_state = "t1", 2, TaskState.RUNNING
    task.status.state = TaskState.RUNNING
    made = rows([task], now_ms=5000)
    print_listing(
        made, task_rows.COLUMNS, form="{{.ID}} {{.Name}} {{.DesiredState}} {{.CurrentState}}", names=row_fields.TASKS
    )
    assert capsys.readouterr().out == "t1 web.2 Running Running 5 seconds ago\n"
    node = NodeView()
    node.node.spec.availability, node.node.spec.labels["disk"] = NodeSpec.DRAIN, "ssd"
    print_listing(
        [node_row(node)],
        (),
        form='{{.Availability}} {{.Labels}} {{.Label "disk"}} {{.Status}}{{.ManagerStatus}}',
        names=row_fields.NODES,
    )
    assert capsys.readouterr().out == "Drain disk=ssd ssd Unknown\n"


def test_headings_alone_of_an_empty_listing(capsys: pytest.CaptureFixture[str]) -> None:
    print_listing([], (), form='table {{.ID}}\\t{{.DesiredState}}\\t{{.CPUPerc}}\\t{{.Label "tier"}}')
    assert capsys.readouterr().out == "ID   DESIRED STATE   CPU %   tier\n"


def test_control_characters_do_not_reach_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    print_listing([{"name": "a\x1b[31m\r"}], (), form="{{.Name}}\\n-")
    assert capsys.readouterr().out == "a?[31m?\n-\n"


def test_names_and_images_uncut_and_ids_unresolved() -> None:
    task = TaskView(service_name="web", node_hostname="h1", image="web:1@sha256:" + "a" * 64)
    task.task.id, task.task.slot, task.task.node_id, task.task.service_id = "t1", 2, "n1", "s1"
    (short,), (full,), (bare,) = rows([task], 0), rows([task], 0, no_trunc=True), rows([task], 0, no_resolve=True)
    assert (short["name"], short["image"], short["node"]) == ("web.2", "web:1", "h1")
    assert (full["name"], full["image"]) == ("web.2.t1", "web:1@sha256:" + "a" * 64)
    assert (bare["name"], bare["node"]) == ("s1.2", "n1")


def test_documents_by_template(capsys: pytest.CaptureFixture[str]) -> None:
    print_documents([{"id": "c1", "network_keys": {"generation": 3}}], form="{{.ID}} {{.NetworkKeys.Generation}}")
    assert capsys.readouterr().out == "c1 3\n"
