"""Build checks (docs.docker.com, "Build checks"; the cases are those of BuildKit's tests)."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.dockerfile.checks.check_build import check_build, check_document
from shoal.dockerfile.checks.check_options import CheckOptions, parse_check_options
from shoal.dockerfile.checks.check_warnings import CheckReport
from shoal.dockerfile.document import parse_dockerfile
from shoal.dockerfile.evaluation.build_options import BuildOptions
from shoal.dockerfile.evaluation.build_sources import ImageSource
from shoal.dockerfile.evaluation.evaluate import evaluate
from shoal.dockerfile.evaluation.needs import find_needs
from shoal.dockerfile.evaluation.stage_plan import plan_stages
from shoal.dockerfile.ignore_patterns import PatternMatcher, read_patterns
from shoal.errors import InvalidInput
from tests.fakes.dockerfile_builds import AMD64

ALPINE = {"architecture": "amd64", "os": "linux", "config": {"Env": ["PATH=/bin"]}}


def report(
    text: str, *, ignore: str = "", image: dict[str, Any] | None = None, every_stage: bool = False, **options: Any
) -> CheckReport:
    """Of a file whose images are all alike."""
    build_options = BuildOptions(**{"platform": AMD64, "build_platform": AMD64, **options})
    plan = plan_stages(parse_dockerfile(text), build_options, every_stage=every_stage)
    images: dict[ImageSource, dict[str, Any]] = {}
    while unknown := find_needs(plan, images).unknown(images):
        images |= dict.fromkeys(unknown, image or ALPINE)
    return check_build(evaluate(plan, images), images, PatternMatcher(read_patterns(ignore)))


def warnings(text: str, **options: Any) -> list[tuple[str, int, str]]:
    return [(each.rule.name, each.location.first, each.detail) for each in report(text, **options).warnings]


JSON_TEXT = "JSON arguments recommended for {} to prevent unintended behavior related to OS signals"
TWICE = "Multiple {} instructions should not be used in the same stage because only the last one will be used"
LEGACY = '"{0} key=value" should be used instead of legacy "{0} key value" format'
CASING = "Command '{}' should match the case of the command majority ({})"
SECRET = 'Do not use ARG or ENV instructions for sensitive data ({} "{}")'

CASES: list[tuple[str, list[tuple[str, int, str]]]] = [
    (
        "FROM scratch AS BadStageName\nFROM scratch as base2\nFROM scratch AS base3",
        [
            ("StageNameCasing", 1, "Stage name 'BadStageName' should be lowercase"),
            ("FromAsCasing", 2, "'as' and 'FROM' keywords' casing do not match"),
        ],
    ),
    (
        "from scratch AS base\nfrom scratch as base2",
        [("FromAsCasing", 1, "'AS' and 'from' keywords' casing do not match")],
    ),
    (
        "FROM scratch\nCOPY Dockerfile \\\n\n.\nCOPY Dockerfile \\\n.",
        [("NoEmptyContinuation", 4, "Empty continuation line")],
    ),
    (
        "From scratch as base\nFROM scratch AS base2",
        [("ConsistentInstructionCasing", 1, CASING.format("From", "uppercase"))],
    ),
    (
        "frOM scratch as base\nfrom scratch as base2",
        [("ConsistentInstructionCasing", 1, CASING.format("frOM", "lowercase"))],
    ),
    (
        "from scratch\nCOPY a /foo\ncopy b /bar",
        [("ConsistentInstructionCasing", 2, CASING.format("COPY", "lowercase"))],
    ),
    (
        "FROM scratch\ncopy a /foo\ncopy b /bar\ncopy c /baz",
        [("ConsistentInstructionCasing", 1, CASING.format("FROM", "lowercase"))],
    ),
    ("from scratch\ncopy a /foo", []),
    (
        "FROM scratch AS b\nFROM scratch AS b",
        [("DuplicateStageName", 2, 'Duplicate stage name "b", stage names should be unique')],
    ),
    (
        "FROM scratch AS scratch\nFROM scratch AS context",
        [
            ("ReservedStageName", 1, 'Stage name should not use the same name as reserved stage "scratch"'),
            ("ReservedStageName", 2, 'Stage name should not use the same name as reserved stage "context"'),
        ],
    ),
    ("FROM scratch\nFROM scratch AS a", []),
    ("FROM scratch\nCMD a", [("JSONArgsRecommended", 2, JSON_TEXT.format("CMD"))]),
    ("FROM scratch\nENTRYPOINT a", [("JSONArgsRecommended", 2, JSON_TEXT.format("ENTRYPOINT"))]),
    ('FROM scratch\nSHELL ["/x"]\nCMD a\nENTRYPOINT b', []),
    ('FROM scratch AS base\nSHELL ["/x"]\nFROM base\nENTRYPOINT b', []),
    (
        "FROM scratch\nMAINTAINER me@example.org",
        [("MaintainerDeprecated", 2, "Maintainer instruction is deprecated in favor of using label")],
    ),
    ("FROM scratch\n# check=skip=MaintainerDeprecated\nMAINTAINER me", []),
    ("FROM scratch\n# check=skip=JSONArgsRecommended\nCMD a", []),
    ("ARG base=scratch\nFROM $base", []),
    ("FROM --platform=$BUILDPLATFORM scratch", []),
    ("ARG DEBUG\nFROM scratch${DEBUG}", []),
    ("ARG DEBUG\nFROM scra${DEBUG:-tch}", []),
    ('ARG DEBUG=""\nFROM scratch${DEBUG-@bogus}', []),
    (
        "ARG tag=latest\nFROM a:${tag}${version} AS b",
        [("UndefinedArgInFrom", 2, "FROM argument 'version' is not declared")],
    ),
    (
        "ARG versoin=1\nFROM a:1${version}",
        [("UndefinedArgInFrom", 2, "FROM argument 'version' is not declared (did you mean versoin?)")],
    ),
    (
        "FROM scratch\nWORKDIR app/",
        [
            (
                "WorkdirRelativePath",
                2,
                'Relative workdir "app/" can have unexpected results if the base image changes',
            )
        ],
    ),
    ("FROM scratch AS a\nWORKDIR /app\nFROM a AS b\nWORKDIR subdir/", []),
    ("FROM scratch\nARG foo\nCOPY Dockerfile${foo} .", []),
    ("FROM a AS base\nARG foo=Dockerfile\nFROM base\nCOPY $foo .", []),
    ("FROM a\nRUN echo $PATH $foo", []),
    ("FROM a\nCOPY x$foo .\nARG foo=bar", [("UndefinedVar", 2, "Usage of undefined variable '$foo'")]),
    (
        "FROM a\nARG DIR_BINARIES=b/\nARG DIR_ASSETS=assets/\nCOPY x$DIR_ASSET .",
        [("UndefinedVar", 4, "Usage of undefined variable '$DIR_ASSET' (did you mean $DIR_ASSETS?)")],
    ),
    (
        "FROM a\nENV PATH=$PAHT:/tmp/bin",
        [("UndefinedVar", 2, "Usage of undefined variable '$PAHT' (did you mean $PATH?)")],
    ),
    (
        'FROM scratch\nENTRYPOINT ["/a"]\nCMD ["/b"]\nHEALTHCHECK CMD ["/c"]\nCOPY <<E /t\nx\nE\nENTRYPOINT ["/d"]\n'
        'CMD ["/e"]\nHEALTHCHECK NONE',
        [
            ("MultipleInstructionsDisallowed", 2, TWICE.format("ENTRYPOINT")),
            ("MultipleInstructionsDisallowed", 3, TWICE.format("CMD")),
            ("MultipleInstructionsDisallowed", 4, TWICE.format("HEALTHCHECK")),
        ],
    ),
    ('FROM scratch AS a\nCMD ["/b"]\nFROM a AS b\nCMD ["/c"]', []),
    (
        "FROM scratch\nENV testkey value\nLABEL key value",
        [("LegacyKeyValueFormat", 2, LEGACY.format("ENV")), ("LegacyKeyValueFormat", 3, LEGACY.format("LABEL"))],
    ),
    ("FROM scratch AS a\nFROM a AS b\nENV testkey value\nFROM a AS c", []),
    (
        "FROM --platform=${TARGETPLATFORM} scratch",
        [
            (
                "RedundantTargetPlatform",
                1,
                "Setting platform to predefined ${TARGETPLATFORM} in FROM is redundant as this is the default behavior",
            )
        ],
    ),
    (
        "FROM --platform=linux/amd64 scratch",
        [
            (
                "FromPlatformFlagConstDisallowed",
                1,
                'FROM --platform flag should not use constant value "linux/amd64"',
            )
        ],
    ),
    ("FROM --platform=linux/amd64 scratch AS my_amd64_stage", []),
    ("FROM --platform=linux/amd64 scratch AS linux", []),
    (
        "FROM scratch\nEXPOSE 80/TcP 8080/udp\nEXPOSE 127.0.0.1:80:80 5000:5000 8000",
        [
            ("ExposeProtoCasing", 2, "Defined protocol '80/TcP' in EXPOSE instruction should be lowercase"),
            (
                "ExposeInvalidFormat",
                3,
                "EXPOSE instruction should not define an IP address or host-port mapping, found '127.0.0.1:80:80'",
            ),
            (
                "ExposeInvalidFormat",
                3,
                "EXPOSE instruction should not define an IP address or host-port mapping, found '5000:5000'",
            ),
        ],
    ),
    (
        "FROM scratch\nARG SECRET_PASSPHRASE\nENV SUPER_Secret=foo\nENV password=bar secret=baz\n"
        "ARG super_duper_secret_token=foo auth=bar\nENV apikey=bar sunflower=foo\nENV git_key=\nENV PUBLIC_KEY=\n"
        "ARG public_token\nARG SECRET_PASSPHRASE_FILE\nENV password_file=bar secret_File=baz\n"
        "ARG AUTH_MODULE_VERSION\n# check=skip=SecretsUsedInArgOrEnv // allowed\nENV password=bar\n"
        "# check=skip=all // here alone\nARG password\nARG mytoken monkey",
        [
            ("SecretsUsedInArgOrEnv", 2, SECRET.format("ARG", "SECRET_PASSPHRASE")),
            ("SecretsUsedInArgOrEnv", 3, SECRET.format("ENV", "SUPER_Secret")),
            ("SecretsUsedInArgOrEnv", 4, SECRET.format("ENV", "password")),
            ("SecretsUsedInArgOrEnv", 4, SECRET.format("ENV", "secret")),
            ("SecretsUsedInArgOrEnv", 5, SECRET.format("ARG", "auth")),
            ("SecretsUsedInArgOrEnv", 5, SECRET.format("ARG", "super_duper_secret_token")),
            ("SecretsUsedInArgOrEnv", 6, SECRET.format("ENV", "apikey")),
            ("SecretsUsedInArgOrEnv", 7, SECRET.format("ENV", "git_key")),
        ],
    ),
]


@pytest.mark.parametrize(("text", "expected"), CASES)
def test_rules_find_what_is_probably_not_meant(text: str, expected: list[tuple[str, int, str]]) -> None:
    assert warnings(text) == expected


DEFAULTS = [
    ("ARG VERSION\nFROM busybox:$VERSION", {"VERSION": "latest"}, "busybox:$VERSION"),
    ("ARG IMAGE\nFROM $IMAGE", {"IMAGE": "busybox:latest"}, "$IMAGE"),
    ('ARG SFX="box:"\nFROM busy${SFX}', {"SFX": "box:latest"}, "busy${SFX}"),
    ("ARG TAG=latest\nFROM busybox:${TAG}", {}, ""),
    ("ARG VARIANT\nFROM busybox:stable${VARIANT}", {}, ""),
    ("ARG TAG\nFROM alpine:${TAG:-3.14}", {}, ""),
    ("ARG S\nFROM scratch AS a\nFROM ${S:-a}", {"S": "a"}, ""),
]


@pytest.mark.parametrize(("text", "arguments", "image"), DEFAULTS)
def test_a_base_should_not_need_arguments(text: str, arguments: dict[str, str], image: str) -> None:
    detail = f"Default value for ARG {image} results in empty or invalid base image name"
    assert warnings(text, arguments=arguments) == ([("InvalidDefaultArgInFrom", 2, detail)] if image else [])


IGNORED = [
    ("Dockerfile", "COPY Dockerfile .", "Copy", "Dockerfile"),
    ("Dockerfile", "ADD Dockerfile /windy", "Add", "Dockerfile"),
    ("foobar", "COPY Dockerfile /foobar", "", ""),
    ("**\n!Dockerfile", "COPY ./Dockerfile .", "", ""),
    ("**\n!Dockerfile", "COPY . .", "", ""),
    (".*", "COPY . .", "", ""),
    ("*", "COPY . .", "Copy", "."),
    ("*/tmp/*", "COPY ./a/tmp/b /b", "Copy", "./a/tmp/b"),
    ("a", "COPY a* /b", "", ""),
    ("a", "COPY --from=x a /b", "", ""),
    ("a", "ADD https://x/a /b", "", ""),
]


@pytest.mark.parametrize(("ignore", "line", "verb", "path"), IGNORED)
def test_files_that_are_left_out_cannot_be_copied(ignore: str, line: str, verb: str, path: str) -> None:
    detail = f'Attempting to {verb} file "{path}" that is excluded by .dockerignore'
    assert warnings(f"FROM scratch\n{line}", ignore=ignore) == ([("CopyIgnoredFile", 2, detail)] if verb else [])


def test_descriptions_are_checked_if_that_is_asked_for() -> None:
    text = (
        "# bar this is the bar\nARG foo=bar\n# BasE this is the BasE image\nFROM scratch AS base\n"
        "# definitely a bad comment\nARG version=latest\n# definitely a bad comment\nARG foo=baz bar=qux baz=quux\n"
        "# a is the first\n# it is described\nARG a=b\n# no description\n#\nARG c\n"
        "# baz is one of them\nARG a=b baz=x\n#\nARG bit=bat\n# of something else\nCOPY a b\n"
    )
    assert warnings(text) == []
    found = warnings(f"# check=experimental=all\n{text}")
    texts = ["ARG should follow the format: `# foo <", "FROM should follow the format: `# base <"]
    texts += ["ARG should follow the format: `# version <", "ARG should follow the format: `# <arg_key> <"]
    assert [detail for _, _, detail in found] == [f"Comment for {each}description>`" for each in texts]
    only = f"# check=skip=all;experimental=InvalidDefinitionDescription\n{text}"
    assert [line for _, line, _ in warnings(only)] == [3, 5, 7, 9]


def test_platforms_of_images_are_compared() -> None:
    other = {"os": "linux", "architecture": "arm64", "config": {}}
    text = 'Base image x was pulled with platform "linux/arm64", expected "linux/amd64" for current build'
    assert warnings("FROM x", image=other) == [("InvalidBaseImagePlatform", 1, text)]
    assert warnings("FROM x", image={"os": 5, "config": {}}) == []


def test_every_stage_may_be_checked() -> None:
    text = "FROM scratch AS first\nCOPY a$foo .\nFROM scratch AS second\nCOPY a$bar ."
    assert [line for _, line, _ in warnings(text)] == [4]
    assert [line for _, line, _ in warnings(text, every_stage=True)] == [2, 4]


def test_rules_are_skipped_and_a_build_may_fail() -> None:
    body = "FROM scratch as base\ncopy Dockerfile .\n"
    found = report(f"#check=skip=ConsistentInstructionCasing;error=true\n{body}")
    assert [each.rule.name for each in found.warnings] == ["FromAsCasing"]
    assert found.error == "lint violation found for rules: FromAsCasing"
    address = "https://docs.docker.com/go/dockerfile/rule/from-as-casing/"
    assert found.warnings[0].rule.address == address
    assert report(f"#check=skip=all;error=true\n{body}") == CheckReport((), True)
    assert report(f"#check=skip=all;error=true\n{body}").error == ""
    assert report(f"#check=skip=ConsistentInstructionCasing\n{body}").error == ""
    own = {"BUILDKIT_DOCKERFILE_CHECK": "skip=ConsistentInstructionCasing;error=true"}
    assert report(f"#check=skip=all\n{body}", arguments=own).error == found.error
    silent = {"BUILDKIT_DOCKERFILE_CHECK": "skip=all"}
    assert report(f"#check=error=true\n{body}", arguments=silent).warnings == ()


def test_checks_without_images_are_those_of_the_file() -> None:
    document = parse_dockerfile("FROM scratch as base\nCMD a\nMAINTAINER b")
    assert [each.rule.name for each in check_document(document, {}).warnings] == [
        "FromAsCasing",
        "MaintainerDeprecated",
    ]


OPTIONS = [
    ("", CheckOptions()),
    ("skip=a,b", CheckOptions(frozenset({"a", "b"}))),
    (" skip = a ; error = TRUE ;", CheckOptions(frozenset({"a"}), fails=True)),
    ("experimental=all;error=0", CheckOptions(experimental=frozenset({"all"}))),
]


@pytest.mark.parametrize(("text", "expected"), OPTIONS)
def test_options_are_parted_by_semicolons(text: str, expected: CheckOptions) -> None:
    assert parse_check_options(text) == expected


@pytest.mark.parametrize("text", ["skip", "x=y", "error=maybe", "=a"])
def test_what_is_no_option_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="invalid check option"):
        parse_check_options(text)


LINES = [
    "FROM a as B", "from scratch", "CMD x", "cmd []", "ENV a b", "ARG key=1", "# check=skip=all", "# x y", "WORKDIR a",
    "EXPOSE 1:2/TCP", "MAINTAINER x", "COPY a$b c", "HEALTHCHECK NONE", "RUN \\\n\n x", "SHELL []", "ONBUILD CMD x",
]  # fmt: skip


@given(st.lists(st.sampled_from(LINES), max_size=12))
def test_any_file_that_is_evaluated_is_checked(lines: list[str]) -> None:
    text = "\n".join(["FROM x", *lines])
    try:
        found = report(text, ignore="a\n", every_stage=True)
    except InvalidInput:
        return
    assert all(0 < each.location.first <= text.count("\n") + 1 for each in found.warnings)
    assert list(found.warnings) == sorted(found.warnings, key=lambda each: (each.location, each.detail))
