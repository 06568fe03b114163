"""`shoal build`: what it sends, against a manager that is none."""

import io
import json
import os
import tarfile
from pathlib import Path

from shoal.errors import Fault, InvalidInput
from tests.unit.cli.builds.builds_rig import DIGEST, ID, Builder
from tests.unit.cli.exec.exec_rig import Rig


def files(archive: bytes) -> list[str]:
    with tarfile.open(fileobj=io.BytesIO(archive)) as found:
        return found.getnames()


def test_a_directory_is_built(rigs: tuple[Rig, Builder], context: Path, tmp_path: Path) -> None:
    rig, builder = rigs
    code, written, reported = rig.run(
        *("build", "-t", "web:1", "-t", "web", "--build-arg", "A=1", "--build-arg", "HOME", "--label", "k=v"),
        *("--no-cache", "--pull", "--target", "", "--iidfile", str(tmp_path / "iid")),
        *("--metadata-file", str(tmp_path / "meta"), str(context)),
    )
    assert (code, written) == (0, b""), reported
    (start,) = builder.starts
    assert list(start.names) == ["docker.io/library/web:1", "docker.io/library/web:latest"]
    assert start.build_args["A"] == "1" and start.build_args["HOME"] == os.environ["HOME"]
    assert (start.dockerfile, start.dockerfile_text) == ("Dockerfile", b"FROM alpine\nRUN make\n")
    assert start.no_cache and start.pull and start.labels["k"] == "v"
    assert list(builder.trees[0][""]) == ["f"], "the Dockerfile is sent though it is ignored"
    assert "#1 [internal] load build context" in reported
    assert "#2 [1/1] RUN make\n" in reported and "#2 DONE 0.3s" in reported and " made\n" in reported
    assert (tmp_path / "iid").read_text() == ID
    assert json.loads((tmp_path / "meta").read_text()) == {
        "containerimage.config.digest": ID,
        "containerimage.digest": DIGEST,
        "image.name": "docker.io/library/web:1,docker.io/library/web:latest",
    }


def test_standard_input_is_a_dockerfile_or_an_archive(rigs: tuple[Rig, Builder], context: Path) -> None:
    rig, builder = rigs
    assert rig.run("build", "-q", "-", input=b"FROM alpine\n")[0] == 0
    assert (builder.starts[0].dockerfile_text, builder.contexts[0]) == (b"FROM alpine\n", b"")
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as archive:
        archive.add(context / "Dockerfile", "Dockerfile")
    for words in (("-",), ("-f", "-", "-")):
        assert rig.run("build", "-q", *words, input=content.getvalue())[0] == 0
        assert (builder.starts[-1].dockerfile_text, builder.contexts[-1]) == (b"", content.getvalue())
    assert rig.run("build", "-q", "-f", "other", "-", input=content.getvalue())[0] == 0
    assert builder.starts[-1].dockerfile == "other"
    assert rig.run("build", "-q", "-f", "-", str(context), input=b"FROM scratch\n")[0] == 0
    assert builder.starts[-1].dockerfile_text == b"FROM scratch\n" and "f" in builder.trees[-1][""]
    assert rig.run("build", "-q", "-f", "x", "-", input=b"FROM scratch\n")[0] == 2


def test_addresses_are_for_the_node(rigs: tuple[Rig, Builder]) -> None:
    rig, builder = rigs
    assert rig.run("build", "-q", "-f", "a/Dockerfile", "https://example.org/x.git#main:dir")[0] == 0
    assert (builder.starts[0].remote_context, builder.starts[0].dockerfile) == (
        "https://example.org/x.git#main:dir",
        "a/Dockerfile",
    )
    assert builder.contexts == [b""]


def test_a_dockerfile_elsewhere_has_its_own_ignore_file(
    rigs: tuple[Rig, Builder], context: Path, tmp_path: Path
) -> None:
    rig, builder = rigs
    (tmp_path / "other").write_text("FROM alpine\n")
    (tmp_path / "other.dockerignore").write_text("f\n")
    assert rig.run("build", "-q", "-f", str(tmp_path / "other"), str(context))[0] == 0
    assert builder.starts[0].dockerfile == "other"
    assert list(builder.trees[0][""]) == [".dockerignore", "Dockerfile", "skip"]


def test_secrets_and_named_contexts_are_sent(rigs: tuple[Rig, Builder], context: Path, tmp_path: Path) -> None:
    rig, builder = rigs
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "x").write_text("x")
    (tmp_path / "token").write_bytes(b"\0secret")
    code, _, reported = rig.run(
        *("build", "--secret", f"id=file,src={tmp_path}/token", "--secret", "id=TOKEN", "--secret", "id=e,env=TOKEN"),
        *("--build-context", f"lib={tmp_path}/lib", "--build-context", "base=docker-image://alpine:3", str(context)),
        env={"TOKEN": "of the environment"},
    )
    assert code == 0, reported
    value = b"of the environment"
    assert builder.secrets == {"file": b"\0secret", "TOKEN": value, "e": value}
    assert list(builder.trees[0]["lib"]) == ["x"]
    assert dict(builder.starts[0].contexts) == {"lib": "local", "base": "docker-image://alpine:3"}
    assert "secret" not in reported and "environment" not in reported


def test_logins_of_the_images_registries_are_sent(rigs: tuple[Rig, Builder], context: Path, tmp_path: Path) -> None:
    rig, builder = rigs
    (tmp_path / "config" / "docker").mkdir()
    logins = {name: {"auth": "dTpw"} for name in ("one.example.org", "two.example.org", "other.example.org")}
    (tmp_path / "config" / "docker" / "config.json").write_text(json.dumps({"auths": logins}))
    (context / "Dockerfile").write_text("FROM one.example.org/a\nCOPY --from=two.example.org/b / /\n")
    assert rig.run("build", "-q", str(context))[0] == 0
    assert {(name, each.password) for name, each in builder.starts[0].credentials.items()} == {
        ("one.example.org", "p"),
        ("two.example.org", "p"),
    }
    assert rig.run("build", "-q", "--push", "-t", "other.example.org/x", str(context))[0] == 0
    assert set(builder.starts[1].credentials) == set(logins)
    assert list(builder.starts[1].push) == ["other.example.org/x:latest"]


def test_all_faults_are_reported_before_anything_is_sent(rigs: tuple[Rig, Builder], context: Path) -> None:
    rig, builder = rigs
    code, _, reported = rig.run("build", "-t", "A", "--memory", "x", "--ssh", "a=/none", "--sbom", "true", str(context))
    assert code == 2
    for flag in ("--tag: ", "--memory: ", "--ssh: ", "--sbom: "):
        assert f"error: {flag}" in reported
    (context / "Dockerfile").write_text("FROM alpine\nRUNN x\nCOPY a\n")
    code, _, reported = rig.run("build", str(context))
    assert code == 2 and "error: Dockerfile:2: " in reported and "error: Dockerfile:3: " in reported
    assert "     2 | RUNN x\n       | ^~~~\n" in reported
    assert rig.run("build", "-f", "missing", str(context))[0] == 2
    assert rig.run("build", str(context / "f"))[0] == 2
    assert rig.run("build", "--push", "-o", "out", str(context))[0] == 2
    assert builder.starts == []
    builder.refused = InvalidInput([Fault("names", "no")])
    (context / "Dockerfile").write_text("FROM alpine\n")
    assert rig.run("build", str(context))[0] == 2


def test_flags_of_dockers_are_taken_or_refused_by_name(rigs: tuple[Rig, Builder], context: Path) -> None:
    rig, builder = rigs
    taken = ("--rm=false", "--force-rm", "--compress", "--disable-content-trust=false", "--isolation", "default")
    assert rig.run("build", *taken, str(context))[0] == 0
    builder.answers = lambda start: iter([])
    assert rig.run("build", "--call", "check", str(context))[1] == b"Check complete, no warnings found.\n"
    assert [each.check_only for each in builder.starts] == [False, True]
    for flag, value, words in (
        ("--isolation", "hyperv", "those of Windows"),
        ("--call", "targets", "only build and check are supported"),
        ("--cgroup-parent", "x", "use --memory and --cpu-quota"),
        ("--security-opt", "seccomp=unconfined", "use --allow security.insecure"),
        ("--squash", "", "use a stage that copies from another one"),
    ):
        code, _, reported = rig.run("build", flag, *([value] if value else []), str(context))
        assert code == 2 and f"error: {flag}: " in reported and words in reported


def test_patterns_of_dockerignore_are_for_build_checks(rigs: tuple[Rig, Builder], context: Path) -> None:
    rig, builder = rigs
    (context / ".dockerignore").write_text("*.log\n!keep.log\n")
    assert rig.run("build", str(context))[0] == 0
    assert list(builder.starts[0].ignore_patterns) == ["*.log", "!keep.log"]


def test_proxies_of_dockers_settings_are_build_arguments(rigs: tuple[Rig, Builder], context: Path) -> None:
    rig, builder = rigs
    proxies = {"default": {"httpProxy": "http://proxy:3128", "noProxy": "example.org", "other": 1}}
    (context / "config.json").write_text(json.dumps({"proxies": proxies}))
    settings = {"DOCKER_CONFIG": str(context)}
    assert rig.run("build", "--build-arg", "NO_PROXY=own", str(context), env=settings)[0] == 0
    assert dict(builder.starts[0].build_args) == {
        "HTTP_PROXY": "http://proxy:3128",
        "http_proxy": "http://proxy:3128",
        "NO_PROXY": "own",
        "no_proxy": "example.org",
    }


def test_the_cache_is_listed_and_pruned(rigs: tuple[Rig, Builder]) -> None:
    rig, builder = rigs
    code, written, reported = rig.run("build", "du")
    assert code == 0 and "warning: node h2 did not respond" in reported
    lines = written.decode().splitlines()
    assert lines[0].split() == ["ID", "NODE", "TYPE", "SIZE", "LAST", "USED", "IN", "USE", "DESCRIPTION"]
    assert lines[1].split()[:4] == ["aaaaaaaaaaaa", "n1", "regular", "5MB"]
    assert lines[-2:] == ["Reclaimable: 5MB", "Total: 5MB"]
    code, written, _ = rig.run(
        "build", "prune", "-f", "-a", "--filter", "until=24h", "--keep-storage", "1k", "--node", "h1"
    )
    assert written == b"Deleted build cache objects:\na\n\nTotal reclaimed space: 5MB\n"
    (request,) = builder.prunes
    assert (request.all, request.keep_bytes, request.node, request.filters[0].key) == (True, 1024, "h1", "until")
    assert rig.run("build", "prune", input=b"n\n")[0] == 130
    assert rig.run("build", "prune", "--filter", "x=y")[0] == 2
    assert len(builder.prunes) == 1


def test_several_platforms_are_built_and_named_as_an_index(rigs: tuple[Rig, Builder], context: Path) -> None:
    rig, builder = rigs
    platforms = "linux/amd64,linux/arm64/v8"
    code, printed, reported = rig.run("build", "-q", "-t", "web:1", "--platform", platforms, str(context))
    assert (code, printed) == (0, f"{DIGEST}\n".encode()), reported
    assert [each.platform for each in builder.starts] == ["linux/amd64", "linux/arm64/v8"]
    assert all(each.part_of_index and not each.names for each in builder.starts)
    (index,) = builder.indexes
    assert (list(index.digests), list(index.names)) == ([DIGEST, DIGEST], ["docker.io/library/web:1"])
    for flags, said in (
        ((), "--tag"),
        (("-o", "out", "-t", "a"), "--output"),
    ):
        code, _, reported = rig.run("build", "--platform", platforms, *flags, str(context))
        assert code and said in reported
    assert len(builder.starts) == 2


def test_values_are_completed(rigs: tuple[Rig, Builder], context: Path) -> None:
    rig, _ = rigs
    (context / "Dockerfile").write_text("FROM scratch AS first\nFROM scratch AS second\n")
    for words, expected in (
        (["--target", "s"], ["plain,second"]),
        (["--target", "x"], []),
        (["--allow", "n"], ["plain,network.host"]),
        (["-f", "Doc"], ["file,Doc"]),
        (["d"], ["dir,d", "plain,du"]),
    ):
        line = ["shoal", "build", *words]
        asked = {"_SHOAL_COMPLETE": "bash_complete", "COMP_WORDS": " ".join(line), "COMP_CWORD": str(len(line) - 1)}
        assert rig.run(env=asked, cwd=context)[1].decode().split() == expected, words
