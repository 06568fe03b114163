"""What a file takes from others: `extends` and `include`."""

from pathlib import Path

from tests.unit.compose.compose_files import faults, services, write


def test_extends_in_the_same_file_and_in_another_one(tmp_path: Path) -> None:
    write(
        tmp_path,
        a_yaml="""
services:
  cli: {extends: {service: common}, environment: {PORT: 8080}, volumes: ["/cli:/data:ro"]}
  common: {extends: {service: base, file: more/b.yaml}, volumes: ["/common:/data"], user: root}
""",
        more__b_yaml="""
services:
  base: {image: "hello:${TAG:-1}", environment: [TZ=utc, PORT=80], env_file: [vars.env], extends: root}
  root: {image: other, hostname: deep, volumes: ["./here:/here"]}
""",
        more__vars_env="X=1",
    )
    cli = services(tmp_path)["cli"]
    assert cli["image"] == "hello:1"
    assert cli["environment"] == {"TZ": "utc", "PORT": 8080}
    assert (cli["user"], cli["hostname"]) == ("root", "deep")
    assert cli["volumes"] == [f"{tmp_path}/more/here:/here", "/cli:/data:ro"]
    assert cli["env_file"] == [f"{tmp_path}/more/vars.env"]


def test_faults_of_extends(tmp_path: Path) -> None:
    write(
        tmp_path,
        a_yaml="""
services:
  a: {image: x, extends: b}
  b: {image: x, extends: {service: a}}
  c:
    image: x
    extends: nobody
  d: {image: x, extends: {service: e, file: gone.yaml}}
  e: {image: x, extends: {service: base, file: b.yaml}, healthcheck: {disable: true}}
""",
        b_yaml="services:\n  base:\n    imagee: x\n    healthcheck: {test: [CMD, a]}\n",
    )
    reported = faults(tmp_path)
    assert any("extends cycle: " in line and "a.yaml:3:17" in line for line in reported)
    assert "a.yaml:7:5: services.c.extends: service 'nobody' not found in a.yaml" in reported
    assert any("gone.yaml not found" in line for line in reported)
    assert any(
        "services.e.healthcheck.disable: conflicts with the health check of the extended service" in line
        for line in reported
    )


def test_a_fault_in_an_extended_file_is_told_where_it_stands(tmp_path: Path) -> None:
    write(
        tmp_path,
        a_yaml="services: {web: {extends: {service: base, file: b.yaml}}}",
        b_yaml="services:\n  base:\n    image: x\n    stop_grace_period: soon\n",
    )
    (reported,) = faults(tmp_path)
    assert reported.startswith("b.yaml:4:5: services.web.stop_grace_period: 'soon' is not a valid duration")


def test_include_in_both_forms_with_their_own_variables_and_paths(tmp_path: Path) -> None:
    write(
        tmp_path,
        a_yaml="""
include:
  - sub/b.yaml
  - {path: [other/c.yaml, other/d.yaml], project_directory: ., env_file: [mine.env]}
services:
  web: {image: x, depends_on: [db]}
""",
        sub__b_yaml="services: {db: {image: 'db:${TAG}', volumes: ['./data:/data']}}\nnetworks: {back: }",
        sub___env="TAG=7",
        other__c_yaml="services: {cache: {image: 'cache:${TAG}', volumes: ['./data:/data']}}",
        other__d_yaml="services: {cache: {hostname: over}}",
        mine_env="TAG=8\n",
    )
    (tmp_path / "sub" / ".env").write_text("TAG=7")
    (tmp_path / "mine.env").write_text("TAG=8")
    made = services(tmp_path)
    assert list(made) == ["web", "db", "cache"]
    assert (made["db"]["image"], made["cache"]["image"]) == ("db:7", "cache:8")
    assert made["db"]["volumes"] == [f"{tmp_path}/sub/data:/data"]
    assert (made["cache"]["volumes"], made["cache"]["hostname"]) == ([f"{tmp_path}/data:/data"], "over")
    assert services(tmp_path, TAG="9")["db"]["image"] == "db:9"


def test_faults_of_include(tmp_path: Path) -> None:
    write(
        tmp_path,
        a_yaml="include: [b.yaml, gone.yaml, oci://registry/x, {env_file: x}]\nservices: {web: {image: x}}",
        b_yaml="include:\n  - a.yaml\nservices:\n  web: {image: y}\n",
    )
    reported = faults(tmp_path)
    assert any("include cycle" in line for line in reported)
    assert any(
        line.startswith("a.yaml:1:11: include[0]: services.web conflicts with its definition in ") for line in reported
    )
    assert any("gone.yaml not found" in line for line in reported)
    assert any("remote files are not supported" in line for line in reported)
    assert any("include[3]: must be a path" in line for line in reported)
