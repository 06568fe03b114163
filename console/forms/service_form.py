"""The form of a service: what `shoal service create` does with the same texts."""

from collections.abc import Callable
from functools import partial

from console.forms.container_form import TASK_FIELDS, read_container, read_limits
from console.forms.form_fields import Document, FormFields, pair
from shoal.api.v1.service_pb2 import RestartPolicy, ServiceSpec, UpdateConfig
from shoal.spec_parsers.choices import RESTART_CONDITIONS, parse_choice
from shoal.spec_parsers.integers import parse_count
from shoal.spec_parsers.mode_parser import set_cron, set_mode, set_replicas
from shoal.spec_parsers.network_attachments import parse_attachment
from shoal.spec_parsers.port_parser import parse_publish
from shoal.spec_parsers.units import parse_bytes, parse_nano_cpus
from shoal.spec_parsers.update_policies import ORDERS, parse_parallelism

FIELD_OF = {
    **TASK_FIELDS,
    "name": "name",
    "mode": "mode",
    "labels": "labels",
    "replicated": "replicas",
    "replicated_job.total_completions": "replicas",
    "schedule": "schedule",
    "update.parallelism": "parallelism",
    "update.order": "order",
    "task.reservations.nano_cpus": "reserved_cpus",
    "task.reservations.memory_bytes": "reserved_memory",
    "task.restart.condition": "restart",
    "task.placement.constraints": "constraints",
}
"""Fields of the form by fields of a service's spec."""


def service_spec(document: Document) -> ServiceSpec:
    """What the form says.

    Raises:
        InvalidInput: with all faults, by field.
    """
    fields = FormFields(document)
    spec = ServiceSpec(name=fields.text("name"))
    spec.labels.update(fields.each("labels", pair))
    _read_mode(fields, spec)
    for ports in fields.each("ports", parse_publish):
        spec.endpoint.ports.extend(ports)
    task = spec.task
    task.networks.extend(fields.each("networks", parse_attachment))
    task.placement.constraints.extend(fields.lines("constraints"))
    task.reservations.nano_cpus = fields.read("reserved_cpus", parse_nano_cpus) or 0
    task.reservations.memory_bytes = fields.read("reserved_memory", parse_bytes) or 0
    read_limits(fields, task.limits)
    read_container(fields, task.container)
    if (condition := fields.read("restart", lambda text: parse_choice(text, RESTART_CONDITIONS))) is not None:
        task.restart.condition = RestartPolicy.Condition.ValueType(condition)
    if (parallelism := fields.read("parallelism", parse_parallelism)) is not None:
        spec.update.parallelism = parallelism
    if (order := fields.read("order", lambda text: parse_choice(text, ORDERS))) is not None:
        spec.update.order = UpdateConfig.Order.ValueType(order)
    fields.raise_faults()
    return spec


def change_service(spec: ServiceSpec, document: Document) -> None:
    """Change what the form of an update names: replicas, limits, parallelism; fields that are empty stay as they are.

    Raises:
        InvalidInput: with all faults, by field.
    """
    fields, limits = FormFields(document), spec.task.limits
    if replicas := fields.text("replicas"):
        fields.check("replicas", lambda: set_replicas(spec, parse_count(replicas)))
    if (cpus := fields.read("cpus", parse_nano_cpus)) is not None:
        limits.nano_cpus = cpus
    if (memory := fields.read("memory", parse_bytes)) is not None:
        limits.memory_bytes = memory
    if (parallelism := fields.read("parallelism", parse_parallelism)) is not None:
        spec.update.parallelism = parallelism
    fields.raise_faults()


def _read_mode(fields: FormFields, spec: ServiceSpec) -> None:
    """The mode, before what is possible with some of them alone."""
    steps: tuple[tuple[str, Callable[[str], None]], ...] = (
        ("mode", lambda text: set_mode(spec, text)),
        ("replicas", lambda text: set_replicas(spec, parse_count(text))),
        ("schedule", lambda text: set_cron(spec, text)),
    )
    for name, apply in steps:
        text = fields.text(name) or ("replicated" if name == "mode" else "")
        if text:
            fields.check(name, partial(apply, text))
