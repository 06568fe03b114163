"""`--network`: remove attachments, and find networks that one command attaches twice."""

from collections import Counter
from collections.abc import Iterable, Iterator

from shoal.api.v1.service_pb2 import ServiceSpec
from shoal.errors import Fault, InvalidInput
from shoal.spec_parsers.network_attachments import parse_attachment
from shoal.spec_parsers.repeated_fields import remove_matching


def duplicate_attachments(*given: Iterable[str]) -> Iterator[Fault]:
    """The same network twice in one command; an invalid attachment is reported elsewhere."""
    for texts in given:
        names: list[str] = []
        for text in texts:
            try:
                names.append(parse_attachment(text).network)
            except InvalidInput:
                continue
        for name, number in Counter(names).items():
            if number > 1:
                yield Fault("", f'--network: "{name}" is specified more than once')


def remove_network(spec: ServiceSpec, text: str) -> None:
    """Detach.

    Raises:
        InvalidInput: the service is not on it.
    """
    if not remove_matching(spec.task.networks, lambda network: network.network == text):
        raise InvalidInput(f"the service is not connected to network {text!r}")
