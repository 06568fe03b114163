"""Parse requests of GPUs, as `docker run --gpus` has them: reservations of devices by number or by name."""

from shoal.api.v1.service_pb2 import ServiceSpec
from shoal.cdi_names import NVIDIA
from shoal.errors import InvalidInput
from shoal.spec_parsers.cdi_reservations import reserve_device, reserve_number
from shoal.spec_parsers.integers import parse_count

_KEYS = ("count", "device", "driver", "capabilities")
_FORM = "a number, or KEY=VALUE pairs such as '\"device=0,1\"'"


def request_gpus(spec: ServiceSpec, text: str) -> None:
    """Reserve GPUs: "2", "count=2", "device=0", '"device=0,1"' (quoted: names are parted by commas too).

    Raises:
        InvalidInput: another form; all of a node's, whose number differs from node to node; another driver.
    """
    fields: dict[str, str] = {}
    for part in _parts(text):
        key, sign, value = part.partition("=")
        if not sign:
            key, value = "count", part
        if key not in _KEYS or key in fields:
            raise InvalidInput(f"{text!r} must be {_FORM}; allowed keys are {', '.join(_KEYS)}")
        fields[key] = value
    if fields.get("driver", "nvidia") != "nvidia":
        raise InvalidInput(f"driver {fields['driver']!r} is not supported; use --device vendor.com/class=name")
    if "device" in fields and "count" in fields:
        raise InvalidInput("count and device are mutually exclusive")
    if fields.get("count") in ("all", "-1"):
        raise InvalidInput("'all' is not supported because nodes have different numbers of GPUs; specify a number")
    for name in filter(None, fields.get("device", "").split(",")):
        reserve_device(spec, NVIDIA, name)
    if not fields.get("device"):
        reserve_number(spec, NVIDIA, parse_count(fields.get("count", "1"), 1000, key="count"))


def _parts(text: str) -> list[str]:
    """Fields as Docker reads them: comma-separated values, where quotes keep commas together."""
    import csv

    try:
        return next(csv.reader([text]), [])
    except csv.Error as error:
        raise InvalidInput(f"{text!r} must be {_FORM}: {error}") from None
