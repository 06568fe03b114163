"""`--secret`, `--config`, and Compose `secrets` and `configs`."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from cli.flags.click_options import apply_flags
from shoal.api.v1.file_pb2 import FileReference
from shoal.api.v1.service_pb2 import ServiceSpec
from shoal.compose.load import load_files
from shoal.compose.project import StackSpecs
from shoal.errors import InvalidInput
from shoal.spec_parsers.file_reference_parser import parse_reference


def test_references_in_both_forms() -> None:
    assert parse_reference("pw") == FileReference(source="pw")
    text = "source=pw,target=/etc/pw,uid=7,gid=8,mode=0440,policy=pin"
    expected = FileReference(source="pw", target="/etc/pw", uid=7, gid=8, mode=0o440, policy=FileReference.PIN)
    assert parse_reference(text) == expected
    assert parse_reference("src=pw,version=ab").policy == FileReference.PIN, "a version that is named stays"


@pytest.mark.parametrize(
    ("text", "reported"),
    [
        ("target=/x", "source is missing"),
        ("source=a,mode=9", "octal"),
        ("source=a,uid=root", "uid 'root'"),
        ("source=a,policy=maybe", "follow, pin"),
        ("source=a,colour=red", "colour"),
    ],
)
def test_bad_references(text: str, reported: str) -> None:
    with pytest.raises(InvalidInput, match=reported):
        parse_reference(text)


def test_flags_add_and_remove() -> None:
    spec = ServiceSpec()
    apply_flags(spec, {"secret": ("pw", "source=token,target=/t"), "config": ("motd",)})
    assert [each.source for each in spec.task.container.secrets] == ["pw", "token"]
    spec.task.container.secrets[0].name, spec.task.container.secrets[0].source = "pw", "0123456789abc"
    apply_flags(spec, {"secret_rm": ("pw",), "secret_add": ("source=pw,mode=0400",)})
    assert [(each.source, each.mode) for each in spec.task.container.secrets] == [("token", 0), ("pw", 0o400)]
    (fault,) = apply_flags(spec, {"config_rm": ("other",)})
    assert str(fault) == "--config-rm: the service does not use 'other'"


def project(tmp_path: Path, text: str, variables: Mapping[str, str] | None = None) -> StackSpecs:
    path = tmp_path / "stack.yaml"
    path.write_text(text)
    return load_files("shop", [path], variables or {}).checked().project


def test_compose_in_all_forms(tmp_path: Path) -> None:
    (tmp_path / "db.txt").write_bytes(b"from a file\xff")
    text = """
services:
  web:
    image: hello
    secrets: [db, {source: token, target: /etc/token, uid: "7", gid: "8", mode: 0400, x-policy: pin}, {source: far}]
    configs: [motd]
secrets:
  db: {file: ./db.txt, labels: {a: b}}
  token: {environment: TOKEN, name: our-token}
  far: {external: true}
configs:
  motd: {content: "for ${WHO}", template_driver: golang}
"""
    made = project(tmp_path, text, {"TOKEN": "t0ken", "WHO": "all"})
    assert [(each.spec.name, each.content) for each in made.secrets] == [
        ("shop_db", b"from a file\xff"),
        ("our-token", b"t0ken"),
    ]
    assert made.secrets[0].spec.labels == {"a": "b"}
    assert [(each.spec.name, each.content) for each in made.configs] == [("shop_motd", b"for all")]
    assert [each.spec.template for each in (*made.secrets, *made.configs)] == [False, False, True]
    db, token, far = made.services[0].task.container.secrets
    assert (db.source, db.target, db.HasField("mode")) == ("shop_db", "db", False)
    expected = FileReference(
        source="our-token", target="/etc/token", uid=7, gid=8, mode=0o400, policy=FileReference.PIN
    )
    assert token == expected
    assert (far.source, far.target) == ("far", "far")
    assert made.services[0].task.container.configs[0].source == "shop_motd"


def test_compose_faults_are_all_told_with_their_place(tmp_path: Path) -> None:
    text = """
services:
  web:
    image: hello
    secrets: [nowhere]
secrets:
  lost: {file: ./lost.txt}
  unset: {environment: UNSET}
  both: {file: a, environment: b}
configs:
  templated: {content: x, template_driver: jinja}
"""
    with pytest.raises(InvalidInput, match="template_driver must be golang"):
        project(tmp_path, text)
    with pytest.raises(InvalidInput) as reported:
        project(tmp_path, text.replace(", template_driver: jinja", ""))
    said = str(reported.value)
    for part in ("stack.yaml:5", "'nowhere' is not defined", "lost.txt", "'UNSET' is not set", "exactly one of"):
        assert part in said, said
