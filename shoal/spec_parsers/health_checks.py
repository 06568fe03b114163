"""Parse health checks: HTTP and TCP probes, which need no tool in the image, and commands."""

from shoal.api.v1.container_pb2 import Healthcheck, HttpProbe, TcpProbe
from shoal.api.v1.service_pb2 import ServiceSpec
from shoal.errors import InvalidInput


def healthcheck_of(spec: ServiceSpec) -> Healthcheck:
    """The service's check, to be changed."""
    return spec.task.container.healthcheck


def parse_port(text: str) -> int:
    """The port in "80" or ":80".

    Raises:
        InvalidInput: it is none.
    """
    number = text.removeprefix(":")
    if not (number.isascii() and number.isdigit() and 1 <= int(number[:6]) <= 65535):
        raise InvalidInput(f"{text!r} is not a valid port (1 to 65535)")
    return int(number)


def parse_http(text: str) -> HttpProbe:
    """What to ask in ":80/health?deep=1", "80", or "http://localhost:80/health".

    Raises:
        InvalidInput: there is no port.
    """
    rest = text.removeprefix("http://").removeprefix("localhost").removeprefix("127.0.0.1")
    port, slash, path = rest.partition("/")
    return HttpProbe(port=parse_port(port), path=f"/{path}" if slash else "")


def set_probe(spec: ServiceSpec, *, test: list[str] | None = None, http: str = "", tcp: str = "") -> None:
    """Ask in this way, in place of any other."""
    check = healthcheck_of(spec)
    for field in ("test", "http", "tcp", "disabled"):
        check.ClearField(field)
    if test:
        check.test.extend(test)
    elif http:
        check.http.CopyFrom(parse_http(http))
    elif tcp:
        check.tcp.CopyFrom(TcpProbe(port=parse_port(tcp)))
