"""From a model to the specs of a stack."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from cli.compose import container, dependencies, deploy, files, mounts, networks, tuning
from cli.compose.external import cluster_name, is_external
from cli.compose.faults import Faults
from cli.compose.model import Model
from cli.compose.tree import YamlPath
from shoal.api.v1.control_pb2 import StackFile
from shoal.api.v1.network_pb2 import NetworkSpec
from shoal.api.v1.service_pb2 import ServiceSpec
from shoal.api.v1.volume_pb2 import VolumeSpec

DEFAULT_NETWORK = "default"


@dataclass(frozen=True)
class Project:
    """What a stack is made of; names are the cluster's, `<stack>_<name>`."""

    services: tuple[ServiceSpec, ...]
    networks: tuple[NetworkSpec, ...]
    secrets: tuple[StackFile, ...] = ()
    configs: tuple[StackFile, ...] = ()
    volumes: tuple[VolumeSpec, ...] = ()
    warnings: tuple[str, ...] = ()


def convert(stack: str, model: Model, faults: Faults) -> Project:
    """The specs of a stack, as far as there are no faults.

    Args:
        stack: put before the names.
        faults: those of the model; takes those of the conversion, each with file, line and column.
    """
    project = faults.despite((), _Conversion(stack, model).project, Project((), ()))
    faults.next_stage()
    return replace(project, warnings=(*faults.warnings, *project.warnings))


class _Conversion:
    """One pass over a merged file that the schema admits."""

    def __init__(self, stack: str, model: Model) -> None:
        self._stack = stack
        self._services = _section(model.tree, "services")
        self._networks = _section(model.tree, "networks")
        self._volumes = _section(model.tree, "volumes")
        self._files = {noun: _section(model.tree, f"{noun}s") for noun in ("secret", "config")}
        self._variables = model.variables
        self._directory = model.directory
        self._faults = model.report

    def project(self) -> Project:
        if not self._services:
            self._faults.add((), "there are no services in the file")
        specs = {name: self._service_despite(name, body) for name, body in self._services.items()}
        for name, body in self._services.items():
            dependencies.connect(specs, name, body, self._faults)
        dependencies.finish_jobs(self._services, specs, self._faults)
        services = tuple(specs.values())
        used = {network.network for service in services for network in service.task.networks}
        made = [self._network(name, body) for name, body in self._networks.items() if not is_external(body)]
        default = self._cluster_name(DEFAULT_NETWORK)
        if default in used and DEFAULT_NETWORK not in self._networks:
            made.append(NetworkSpec(name=default, driver="overlay", stack=self._stack))
        volumes = self._stack_volumes()
        mounts.label_volumes(volumes, (spec.task.container for spec in services))
        return Project(
            services=services,
            networks=tuple(made),
            secrets=self._stack_files("secret"),
            configs=self._stack_files("config"),
            volumes=volumes,
        )

    def _stack_volumes(self) -> tuple[VolumeSpec, ...]:
        found: list[VolumeSpec] = []
        for name, body in self._volumes.items():
            if not is_external(body):
                self._faults.attempt(
                    ("volumes", name),
                    lambda name=name, body=body: found.append(  # type: ignore[misc]
                        mounts.stack_volume(self._stack, name, body, self._files["secret"])
                    ),
                )
        return tuple(found)

    def _stack_files(self, noun: str) -> tuple[StackFile, ...]:
        found: list[StackFile] = []
        for name, body in self._files[noun].items():
            if not is_external(body):
                self._faults.attempt(
                    (f"{noun}s", name),
                    lambda name=name, body=body: found.append(  # type: ignore[misc]
                        files.stack_file(self._stack, noun, name, body, self._variables, self._directory)
                    ),
                )
        return tuple(found)

    def _refer(self, spec: ServiceSpec, path: YamlPath, body: Mapping[str, Any]) -> None:
        """The service's secrets and configs."""
        own = {"secret": spec.task.container.secrets, "config": spec.task.container.configs}
        for noun, target in own.items():
            for index, entry in enumerate(body.get(f"{noun}s") or []):
                self._faults.attempt(
                    (*path, f"{noun}s", index),
                    lambda noun=noun, target=target, entry=entry: target.extend(  # type: ignore[misc]
                        files.references(self._stack, noun, [entry], self._files[noun])
                    ),
                )

    def _service_despite(self, name: str, body: Mapping[str, Any]) -> ServiceSpec:
        bare = ServiceSpec(name=f"{self._stack}_{name}", stack=self._stack)
        return self._faults.despite(("services", name), lambda: self._service(name, body), bare)

    def _service(self, name: str, body: Mapping[str, Any]) -> ServiceSpec:
        spec = ServiceSpec(name=f"{self._stack}_{name}", stack=self._stack)
        path: YamlPath = ("services", name)
        if not body.get("image"):
            self._faults.add(path, "image is missing", about=(*path, "image"))
        for key, setter in container.SETTERS.items():
            if body.get(key) is not None:
                self._faults.attempt((*path, key), lambda key=key, setter=setter: setter(spec, body[key]))  # type: ignore[misc]
        self._faults.attempt(
            (*path, "env_file" if body.get("env_file") else "environment"),
            lambda: container.environment(spec.task.container, body, self._variables, self._directory),
        )
        self._faults.attempt(
            (*path, "label_file"), lambda: container.label_files(spec.task.container, body, self._directory)
        )

        def add(rest: YamlPath, message: str) -> None:
            self._faults.add((*path, *rest), message)

        mounts.mounts(
            spec.task.container,
            body.get("volumes"),
            stack=self._stack,
            known=self._volumes,
            directory=self._directory,
            fault=add,
        )
        container.security(spec.task.container, body.get("security_opt"), self._directory, add)
        for key in tuning.twice(body):
            self._faults.add((*path, key), "says another thing than deploy.resources.limits; give it once")
        self._faults.attempt((*path, "restart"), lambda: dependencies.restart(spec, body.get("restart")))
        self._deploy(spec, path, body.get("deploy") or {})
        self._faults.attempt((*path, "platform"), lambda: deploy.platform(spec, body.get("platform")))
        self._faults.attempt((*path, "scale"), lambda: dependencies.scale(spec, body))
        for key in deploy.schedules(body):
            self._faults.attempt((*path, key), lambda key=key: deploy.schedule(spec, body, key))  # type: ignore[misc]
        for index, entry in enumerate(body.get("ports") or []):
            self._faults.attempt((*path, "ports", index), lambda entry=entry: deploy.port(spec, entry))  # type: ignore[misc]
        if body.get("logging"):
            self._faults.attempt((*path, "logging"), lambda: deploy.logging(spec, body["logging"]))
        self._refer(spec, path, body)
        self._attach(spec, name, body)
        return spec

    def _deploy(self, spec: ServiceSpec, path: YamlPath, body: Mapping[str, Any]) -> None:
        self._faults.attempt((*path, "deploy", "mode"), lambda: deploy.mode(spec, body))
        for key, section in deploy.SECTIONS.items():
            if body.get(key):
                self._faults.attempt_section(
                    (*path, "deploy", key),
                    body[key],
                    lambda value, section=section: section(spec, value),  # type: ignore[misc]
                )

    def _attach(self, spec: ServiceSpec, service: str, body: Mapping[str, Any]) -> None:
        """The service is known by its short name on every network of the stack."""
        path: YamlPath = ("services", service)
        entries = body.get("networks")
        if entries is None and body.get("network_mode") is None:
            entries = [DEFAULT_NETWORK]
        for name in entries or ():
            if name != DEFAULT_NETWORK and name not in self._networks:
                self._faults.add((*path, "networks", name), f"network {name!r} is not among the file's networks")

        def add(rest: YamlPath, message: str) -> None:
            self._faults.add((*path, "networks", *rest), message)

        self._faults.attempt(
            (*path, "networks"), lambda: networks.attach(spec, entries or [], service, self._cluster_name, add)
        )
        if body.get("network_mode") is not None:
            names = {name: f"{self._stack}_{name}" for name in self._services}
            self._faults.attempt((*path, "network_mode"), lambda: networks.mode(spec, body["network_mode"], names))

    def _cluster_name(self, name: str) -> str:
        return cluster_name(self._stack, name, self._networks.get(name, {}))

    def _network(self, name: str, body: Mapping[str, Any]) -> NetworkSpec:
        def add(rest: YamlPath, message: str) -> None:
            self._faults.add(("networks", name, *rest), message)

        return networks.network(self._cluster_name(name), self._stack, body, add)


def _section(tree: Mapping[str, Any], name: str) -> dict[str, Mapping[str, Any]]:
    """The entries of a section by name; one that says nothing, or what is no mapping, counts as empty."""
    section = tree.get(name)
    entries = section.items() if isinstance(section, Mapping) else ()
    return {key: body if isinstance(body, Mapping) else {} for key, body in entries}
