"""Convert a model to the specs of a stack."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from shoal.api.v1.control_pb2 import StackFile
from shoal.api.v1.network_pb2 import NetworkSpec
from shoal.api.v1.service_pb2 import ServiceSpec
from shoal.api.v1.volume_pb2 import VolumeSpec
from shoal.compose.conversion import (
    build_keys,
    compose_networks,
    container_keys,
    dependency_keys,
    deploy_keys,
    file_keys,
    host_config_keys,
    volume_keys,
)
from shoal.compose.faults import FaultLog
from shoal.compose.model import Model
from shoal.compose.reading.yaml_tree import YamlPath
from shoal.compose.stack_names import StackNames, is_external

DEFAULT_NETWORK = "default"


@dataclass(frozen=True)
class StackSpecs:
    """What a stack is made of; names are the cluster's, `<stack>_<name>`."""

    services: tuple[ServiceSpec, ...]
    networks: tuple[NetworkSpec, ...]
    secrets: tuple[StackFile, ...] = ()
    configs: tuple[StackFile, ...] = ()
    volumes: tuple[VolumeSpec, ...] = ()
    builds: tuple[build_keys.ServiceBuild, ...] = ()
    warnings: tuple[str, ...] = ()


def convert_model(names: StackNames, model: Model, faults: FaultLog) -> StackSpecs:
    """The specs of a stack, as far as there are no faults.

    Args:
        faults: those of the model; takes those of the conversion, each with file, line and column.
    """
    project = faults.tolerate((), _Converter(names, model).project, StackSpecs((), ()))
    faults.next_stage()
    return replace(project, warnings=(*faults.warnings, *project.warnings))


class _Converter:
    """One pass over a merged file that the schema admits."""

    def __init__(self, names: StackNames, model: Model) -> None:
        self._names = names
        self._services = _section(model.tree, "services")
        self._networks = _section(model.tree, "networks")
        self._volumes = _section(model.tree, "volumes")
        self._files = {kind: _section(model.tree, f"{kind}s") for kind in ("secret", "config")}
        self._variables = model.variables
        self._builds: list[build_keys.ServiceBuild] = []
        self._directory = model.directory
        self._reader = model.files
        self._faults = model.report

    def project(self) -> StackSpecs:
        if not self._services:
            self._faults.add((), "no services are defined")
        specs = {name: self._service_or_empty(name, body) for name, body in self._services.items()}
        for name, body in self._services.items():
            dependency_keys.connect_services(specs, name, body, self._faults)
        dependency_keys.qualify_affinities(specs)
        dependency_keys.convert_jobs(self._services, specs, self._faults)
        services = tuple(specs.values())
        used = {network.network for service in services for network in service.task.networks}
        made = [self._network(name, body) for name, body in self._networks.items() if not is_external(body)]
        default = self._names.full(DEFAULT_NETWORK)
        if default in used and DEFAULT_NETWORK not in self._networks:
            made.append(NetworkSpec(name=default, driver="overlay", stack=self._names.stack))
        volumes = self._stack_volumes()
        volume_keys.apply_mount_labels(volumes, (spec.task.container for spec in services))
        return StackSpecs(
            services=services,
            networks=tuple(made),
            secrets=self._stack_files("secret"),
            configs=self._stack_files("config"),
            volumes=volumes,
            builds=tuple(self._builds),
        )

    def _stack_volumes(self) -> tuple[VolumeSpec, ...]:
        found: list[VolumeSpec] = []
        for name, body in self._volumes.items():
            if not is_external(body):
                self._faults.catch(
                    ("volumes", name),
                    lambda name=name, body=body: found.append(  # type: ignore[misc]
                        volume_keys.stack_volume(self._names, name, body, self._files["secret"])
                    ),
                )
        return tuple(found)

    def _stack_files(self, kind: str) -> tuple[StackFile, ...]:
        found: list[StackFile] = []
        read = file_keys.content_reader(self._variables, self._directory, self._reader)
        for name, body in self._files[kind].items():
            if not is_external(body):
                self._faults.catch(
                    (f"{kind}s", name),
                    lambda name=name, body=body: found.append(  # type: ignore[misc]
                        file_keys.stack_file(self._names, kind, name, body, read)
                    ),
                )
        return tuple(found)

    def _add_file_references(self, spec: ServiceSpec, path: YamlPath, body: Mapping[str, Any]) -> None:
        """The service's secrets and configs."""
        own = {"secret": spec.task.container.secrets, "config": spec.task.container.configs}
        for kind, target in own.items():
            for index, entry in enumerate(body.get(f"{kind}s") or []):
                self._faults.catch(
                    (*path, f"{kind}s", index),
                    lambda kind=kind, target=target, entry=entry: target.extend(  # type: ignore[misc]
                        file_keys.references(self._names, kind, [entry], self._files[kind])
                    ),
                )

    def _service_or_empty(self, name: str, body: Mapping[str, Any]) -> ServiceSpec:
        bare = ServiceSpec(name=self._names.full(name), stack=self._names.stack)
        return self._faults.tolerate(("services", name), lambda: self._service(name, body), bare)

    def _service(self, name: str, body: Mapping[str, Any]) -> ServiceSpec:
        spec = ServiceSpec(name=self._names.full(name), stack=self._names.stack)
        path: YamlPath = ("services", name)
        if not body.get("image") and not body.get("build"):
            self._faults.add(path, "image is missing", about=(*path, "image"))
        for key, setter in container_keys.SETTERS.items():
            if body.get(key) is not None:
                self._faults.catch((*path, key), lambda key=key, setter=setter: setter(spec, body[key]))  # type: ignore[misc]
        if body.get("build"):
            self._add_build(spec, name, body)
        self._faults.catch(
            (*path, "env_file" if body.get("env_file") else "environment"),
            lambda: container_keys.environment(
                spec.task.container, body, self._variables, self._directory, self._reader
            ),
        )
        self._faults.catch(
            (*path, "label_file"),
            lambda: container_keys.label_files(spec.task.container, body, self._directory, self._reader),
        )

        def add(rest: YamlPath, message: str) -> None:
            self._faults.add((*path, *rest), message)

        volume_keys.add_mounts(
            spec.task.container,
            body.get("volumes"),
            names=self._names,
            defined=self._volumes,
            directory=self._directory,
            files=self._reader,
            fault=add,
        )
        container_keys.security(spec.task.container, body.get("security_opt"), self._directory, self._reader, add)
        for key in host_config_keys.conflicting_limits(body):
            self._faults.add((*path, key), "conflicts with deploy.resources.limits")
        self._faults.catch((*path, "restart"), lambda: dependency_keys.set_restart(spec, body.get("restart")))
        self._deploy(spec, path, body.get("deploy") or {})
        self._faults.catch((*path, "platform"), lambda: deploy_keys.set_platform(spec, body.get("platform")))
        self._faults.catch((*path, "scale"), lambda: dependency_keys.set_scale(spec, body))
        for key in deploy_keys.schedule_keys(body):
            self._faults.catch((*path, key), lambda key=key: deploy_keys.set_schedule(spec, body, key))  # type: ignore[misc]
        for index, entry in enumerate(body.get("ports") or []):
            self._faults.catch((*path, "ports", index), lambda entry=entry: deploy_keys.add_port(spec, entry))  # type: ignore[misc]
        if body.get("logging"):
            self._faults.catch((*path, "logging"), lambda: deploy_keys.set_logging(spec, body["logging"]))
        self._add_file_references(spec, path, body)
        self._add_networks(spec, name, body)
        return spec

    def _add_build(self, spec: ServiceSpec, name: str, body: Mapping[str, Any]) -> None:
        """The service runs the image that is built."""
        spec.task.container.image = self._image_of(name) or ""
        scope = build_keys.BuildScope(self._directory, self._variables, self._files["secret"], self._image_of)

        def add(rest: YamlPath, message: str) -> None:
            self._faults.add(("services", name, "build", *rest), message)

        self._builds.append(build_keys.service_build(name, spec.task.container.image, body, scope, add))

    def _image_of(self, service: str) -> str | None:
        body = self._services.get(service)
        if body is None:
            return None
        return str(body.get("image") or build_keys.default_image(self._names.stack, service))

    def _deploy(self, spec: ServiceSpec, path: YamlPath, body: Mapping[str, Any]) -> None:
        self._faults.catch((*path, "deploy", "mode"), lambda: deploy_keys.set_mode(spec, body))
        for key, section in deploy_keys.SECTIONS.items():
            if body.get(key):
                self._faults.catch_section(
                    (*path, "deploy", key),
                    body[key],
                    lambda value, section=section: section(spec, value),  # type: ignore[misc]
                )

    def _add_networks(self, spec: ServiceSpec, service: str, body: Mapping[str, Any]) -> None:
        """The service is known by its short name on every network of the stack."""
        path: YamlPath = ("services", service)
        entries = body.get("networks")
        if entries is None and body.get("network_mode") is None:
            entries = [DEFAULT_NETWORK]
        for name in entries or ():
            if name != DEFAULT_NETWORK and name not in self._networks:
                self._faults.add((*path, "networks", name), f"network {name!r} is not defined")

        def add(rest: YamlPath, message: str) -> None:
            self._faults.add((*path, "networks", *rest), message)

        self._faults.catch(
            (*path, "networks"),
            lambda: compose_networks.add_attachments(spec, entries or [], service, self._names, self._networks, add),
        )
        if body.get("network_mode") is not None:
            mode = body["network_mode"]
            self._faults.catch(
                (*path, "network_mode"),
                lambda: compose_networks.set_network_mode(spec, mode, self._services, self._names),
            )

    def _network(self, name: str, body: Mapping[str, Any]) -> NetworkSpec:
        def add(rest: YamlPath, message: str) -> None:
            self._faults.add(("networks", name, *rest), message)

        return compose_networks.network_spec(name, self._names, body, add)


def _section(tree: Mapping[str, Any], name: str) -> dict[str, Mapping[str, Any]]:
    """The entries of a section by name; one that says nothing, or what is no mapping, counts as empty."""
    section = tree.get(name)
    entries = section.items() if isinstance(section, Mapping) else ()
    return {key: body if isinstance(body, Mapping) else {} for key, body in entries}
