"""What users write: Compose files, options, constraints, files of variables, backups, archives, specs."""

import hashlib
import io
import tempfile
from pathlib import Path, PurePosixPath

from google.protobuf.message import DecodeError

from manager.planner.spec.constraints import parse as parse_constraint
from manager.planner.spec.linear_regex import Pattern
from manager.validation.service_rules import check_service
from shoal.api.v1.service_pb2 import ServiceSpec
from shoal.backups.backup_header import MAGIC
from shoal.backups.backup_reader import inspect_backup, read_backup
from shoal.compose.load import load_documents
from shoal.compose.reading.env_file import read_env_file
from shoal.compose.reading.file_reader import ProjectFiles
from shoal.compose.reading.interpolation import substitute
from shoal.compose.reading.yaml_document import parse_document
from shoal.detach_keys import parse_keys
from shoal.distribution.registries import parse_registries
from shoal.errors import InvalidInput, ShoalError
from shoal.images.archive import open_source
from shoal.spec_parsers.mount_parser import parse_mount
from shoal.spec_parsers.port_parser import parse_publish
from shoal.spec_parsers.units import parse_bytes, parse_duration_ms, parse_nano_cpus

EXAMPLES = (
    b"services:\n  web:\n    image: a:${TAG:-1}\n    ports: ['80:80/udp']\n    deploy: {replicas: 3}\n",
    b"services: &a\n  b: {image: x, <<: *a}\n",
    b"published=8080,target=80,protocol=sctp,mode=host",
    b"[::1]:8000-8010:80-90/tcp",
    b"type=bind,source=/a,target=/b,readonly,bind-propagation=rslave",
    b"type=tmpfs,target=/t,tmpfs-size=64m,tmpfs-mode=1777",
    b"node.labels.zone in (a, b)",
    b"node.hostname =~ ^web-[0-9]{1,3}$",
    b"1.5GiB",
    b"1h2m3s",
    b"A=1\nexport B='x y' # c\nC=\"${A}\\n\"\n",
    b'["registry:5000"]\nusername = "u"\npassword = "p"\n',
    b"ctrl-p,ctrl-q",
    ServiceSpec(name="web").SerializeToString(),
    b"\x1f\x8b",
    b"\x00services:",
)


def fuzz_compose_file(data: bytes) -> None:
    """A project, or faults of one line each."""
    try:
        document = parse_document(Path("/nowhere/a.yaml"), data.decode("utf-8", "replace"))
        load_documents("shop", [document], {"A": "1"}, Path("/nowhere"), profiles=["a"]).checked()
    except InvalidInput as error:
        assert error.faults and all(each.message for each in error.faults)


def fuzz_flags(data: bytes) -> None:
    """Values of options: taken, or refused with a line."""
    text = data.decode("utf-8", "replace")
    for parse in (parse_publish, parse_mount, parse_bytes, parse_duration_ms, parse_nano_cpus, parse_keys):
        try:
            parse(text)
        except InvalidInput as error:
            assert str(error) and len(str(error)) < len(text) * 4 + 2_000


def fuzz_constraint(data: bytes) -> None:
    """A constraint, which is the same however it is written again; patterns match in linear time."""
    text = data.decode("utf-8", "replace")
    try:
        found = parse_constraint(text)
    except InvalidInput as error:
        assert str(error)
        return
    assert parse_constraint(str(found)) == found


def fuzz_pattern(data: bytes) -> None:
    """A regular expression of a constraint, on a text that makes others take for ever."""
    pattern, _, text = data.decode("utf-8", "replace").partition("\n")
    try:
        compiled = Pattern(pattern[:200])
    except InvalidInput as error:
        assert str(error)
        return
    compiled.matches(text[:200])
    compiled.matches("a" * 60)


def fuzz_variables(data: bytes) -> None:
    """A file of variables, and what is put in for `${…}`."""
    text = data.decode("utf-8", "replace")
    try:
        substitute(text, {"A": "1"})
    except InvalidInput as error:
        assert str(error)
    try:
        read_env_file(Path("/x.env"), {"A": "1"}, ProjectFiles({PurePosixPath("x.env"): data}))
    except InvalidInput as error:
        assert str(error)


def fuzz_registries_file(data: bytes) -> None:
    """`registries.toml`: settings or faults, and a fault does not show the password."""
    try:
        parse_registries(data.decode("utf-8", "replace"))
    except InvalidInput as error:
        assert str(error)


def fuzz_backup(data: bytes) -> None:
    """A file that may be a backup: whole, or refused; with a right digest, too, so that more than it is reached."""
    for content in (data, MAGIC + data, MAGIC + data + hashlib.sha256(MAGIC + data).digest()):
        for read in (inspect_backup, lambda file: list(read_backup(file, lambda _: bytes(32)))):
            try:
                read(io.BytesIO(content))
            except InvalidInput as error:
                assert str(error)


def fuzz_image_archive(data: bytes) -> None:
    """An archive of images as `docker save` writes it, or an OCI layout."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(data)
        file.flush()
        try:
            with open_source(Path(file.name)) as source:
                source.choose("latest")
        except ShoalError as error:
            assert str(error)


def fuzz_service_spec(data: bytes) -> None:
    """A spec by the API: any message has faults or none, and checking it does not fail."""
    try:
        spec = ServiceSpec.FromString(data)
    except DecodeError:
        return
    for each in check_service(spec):
        assert each.message
