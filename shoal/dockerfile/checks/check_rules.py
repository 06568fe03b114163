"""The rules of build checks, by the names and texts of BuildKit (docs.docker.com, "Build checks")."""

from dataclasses import dataclass

_ADDRESS = "https://docs.docker.com/go/dockerfile/rule/"


@dataclass(frozen=True, slots=True)
class CheckRule:
    """Attributes:
    is_experimental: it is off unless it is asked for.
    """

    name: str
    description: str
    page: str
    is_experimental: bool = False

    @property
    def address(self) -> str:
        """Of the page that explains it."""
        return f"{_ADDRESS}{self.page}/"


STAGE_NAME_CASING = CheckRule("StageNameCasing", "Stage names should be lowercase", "stage-name-casing")
FROM_AS_CASING = CheckRule(
    "FromAsCasing", "The 'as' keyword should match the case of the 'from' keyword", "from-as-casing"
)
NO_EMPTY_CONTINUATION = CheckRule(
    "NoEmptyContinuation",
    "Empty continuation lines will become errors in a future release",
    "no-empty-continuation",
)
CONSISTENT_INSTRUCTION_CASING = CheckRule(
    "ConsistentInstructionCasing",
    "All commands within the Dockerfile should use the same casing (either upper or lower)",
    "consistent-instruction-casing",
)
DUPLICATE_STAGE_NAME = CheckRule("DuplicateStageName", "Stage names should be unique", "duplicate-stage-name")
RESERVED_STAGE_NAME = CheckRule(
    "ReservedStageName", "Reserved words should not be used as stage names", "reserved-stage-name"
)
JSON_ARGS_RECOMMENDED = CheckRule(
    "JSONArgsRecommended",
    "JSON arguments recommended for ENTRYPOINT/CMD to prevent unintended behavior related to OS signals",
    "json-args-recommended",
)
MAINTAINER_DEPRECATED = CheckRule(
    "MaintainerDeprecated",
    "The MAINTAINER instruction is deprecated, use a label instead to define an image author",
    "maintainer-deprecated",
)
UNDEFINED_ARG_IN_FROM = CheckRule("UndefinedArgInFrom", "FROM command must use declared ARGs", "undefined-arg-in-from")
WORKDIR_RELATIVE_PATH = CheckRule(
    "WorkdirRelativePath",
    "Relative workdir without an absolute workdir declared within the build can have unexpected results if the base "
    "image changes",
    "workdir-relative-path",
)
UNDEFINED_VAR = CheckRule("UndefinedVar", "Variables should be defined before their use", "undefined-var")
MULTIPLE_INSTRUCTIONS_DISALLOWED = CheckRule(
    "MultipleInstructionsDisallowed",
    "Multiple instructions of the same type should not be used in the same stage",
    "multiple-instructions-disallowed",
)
LEGACY_KEY_VALUE_FORMAT = CheckRule(
    "LegacyKeyValueFormat",
    "Legacy key/value format with whitespace separator should not be used",
    "legacy-key-value-format",
)
INVALID_BASE_IMAGE_PLATFORM = CheckRule(
    "InvalidBaseImagePlatform",
    "Base image platform does not match expected target platform",
    "invalid-base-image-platform",
)
REDUNDANT_TARGET_PLATFORM = CheckRule(
    "RedundantTargetPlatform",
    "Setting platform to predefined $TARGETPLATFORM in FROM is redundant as this is the default behavior",
    "redundant-target-platform",
)
SECRETS_USED_IN_ARG_OR_ENV = CheckRule(
    "SecretsUsedInArgOrEnv",
    "Sensitive data should not be used in the ARG or ENV commands",
    "secrets-used-in-arg-or-env",
)
INVALID_DEFAULT_ARG_IN_FROM = CheckRule(
    "InvalidDefaultArgInFrom",
    "Default value for global ARG results in an empty or invalid base image name",
    "invalid-default-arg-in-from",
)
FROM_PLATFORM_FLAG_CONST_DISALLOWED = CheckRule(
    "FromPlatformFlagConstDisallowed",
    "FROM --platform flag should not use a constant value",
    "from-platform-flag-const-disallowed",
)
COPY_IGNORED_FILE = CheckRule(
    "CopyIgnoredFile", "Attempting to Copy file that is excluded by .dockerignore", "copy-ignored-file"
)
INVALID_DEFINITION_DESCRIPTION = CheckRule(
    "InvalidDefinitionDescription",
    "Comment for build stage or argument should follow the format: `# <arg/stage name> <description>`. If this is not "
    "intended to be a description comment, add an empty line or comment between the instruction and the comment.",
    "invalid-definition-description",
    is_experimental=True,
)
EXPOSE_PROTO_CASING = CheckRule(
    "ExposeProtoCasing", "Protocol in EXPOSE instruction should be lowercase", "expose-proto-casing"
)
EXPOSE_INVALID_FORMAT = CheckRule(
    "ExposeInvalidFormat",
    "IP address and host-port mapping should not be used in EXPOSE instruction. This will become an error in a future "
    "release",
    "expose-invalid-format",
)
