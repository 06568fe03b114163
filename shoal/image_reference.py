"""Image references: parsed and normalised as Docker does.

Source: the grammar of github.com/distribution/reference (reference.go, normalize.go), with `docker.io` and `library/`
put where the user leaves them out.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from shoal.errors import InvalidInput

DEFAULT_DOMAIN = "docker.io"
DEFAULT_TAG = "latest"
_SHOWN = 100
"""Characters of a text that is no reference."""
MAX_NAME_LENGTH = 255

_LEGACY_DOMAIN = "index.docker.io"
_OFFICIAL = "library/"
_DOMAIN_PART = r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
_DOMAIN = rf"(?:{_DOMAIN_PART}(?:\.{_DOMAIN_PART})*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?"
_PATH_PART = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_TAG = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}"
_DIGEST = r"[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}"
_REFERENCE = re.compile(
    rf"(?P<domain>{_DOMAIN})/(?P<path>{_PATH_PART}(?:/{_PATH_PART})*)(?::(?P<tag>{_TAG}))?(?:@(?P<digest>{_DIGEST}))?"
)
_SHA256 = re.compile(r"sha256:[a-f0-9]{64}")
_IDENTIFIER = re.compile(r"[a-f0-9]{64}")


@dataclass(frozen=True)
class ImageReference:
    """Where an image is: `str(reference)` is the normalised form, which `parse` takes back unchanged.

    Attributes:
        domain: host of the registry, with its port where one was given: "docker.io", "registry:5000".
        path: repository in that registry, "library/nginx".
        tag: empty when none was given.
        digest: "sha256:…", empty when none was given. With a digest the tag is only for people.
    """

    domain: str
    path: str
    tag: str = ""
    digest: str = ""

    @property
    def name(self) -> str:
        """Domain and path."""
        return f"{self.domain}/{self.path}"

    @property
    def target(self) -> str:
        """What to ask the registry for: the digest, else the tag, else "latest"."""
        return self.digest or self.tag or DEFAULT_TAG

    @property
    def familiar(self) -> str:
        """The shortest form that means the same, for people."""
        path = self.path.removeprefix(_OFFICIAL)
        if self.domain != DEFAULT_DOMAIN:
            return self.name + self._ending()
        return (self.path if "/" in path else path) + self._ending()

    def with_default_tag(self) -> "ImageReference":
        """The same with the tag "latest" where it has neither tag nor digest."""
        return self if self.tag or self.digest else replace(self, tag=DEFAULT_TAG)

    def with_digest(self, digest: str) -> "ImageReference":
        """The same, pinned.

        Raises:
            InvalidInput: it is not a sha256 digest.
        """
        _check_digest(str(self), digest)
        return replace(self, digest=digest)

    def _ending(self) -> str:
        return (f":{self.tag}" if self.tag else "") + (f"@{self.digest}" if self.digest else "")

    def __str__(self) -> str:
        return self.name + self._ending()


def parse(text: str) -> ImageReference:
    """The reference that a user means by `text`.

    Raises:
        InvalidInput: one line that says which rule it breaks.
    """
    if _IDENTIFIER.fullmatch(text):
        raise _invalid(text, "64 hexadecimal digits are not a repository name; use name@sha256:…")
    domain, remainder = _split_domain(text)
    repository = remainder.partition(":")[0]
    if repository != repository.lower():
        raise _invalid(text, "the repository name must be lowercase")
    found = _REFERENCE.fullmatch(f"{domain}/{remainder}")
    if found is None:
        raise _invalid(text, "it must be in the form [registry[:port]/]name[:tag][@sha256:…]")
    if len(found["path"]) > MAX_NAME_LENGTH:
        raise _invalid(text[:40] + "…", f"the repository name is too long; the maximum is {MAX_NAME_LENGTH} characters")
    if found["digest"]:
        _check_digest(text, found["digest"])
    return ImageReference(found["domain"], found["path"], found["tag"] or "", found["digest"] or "")


def familiar_text(image: str) -> str:
    """An image of a spec as users write it: without the digest if it has a tag. What is no reference stays as it is."""
    try:
        reference = parse(image)
    except InvalidInput:  # written by another version of Shoal
        return image
    return reference.familiar.partition("@")[0] if reference.tag else reference.familiar


def domains_of(references: Iterable[str]) -> list[str]:
    """Domains of registries, each once; what is no reference is left out."""
    found: dict[str, None] = {}
    for each in references:
        try:
            found[parse(each).domain] = None
        except InvalidInput:
            continue
    return list(found)


def _split_domain(text: str) -> tuple[str, str]:
    """Host and the rest; what has no dot, port or capital before its first slash is a path on Docker Hub."""
    first, slash, rest = text.partition("/")
    if not slash:
        return DEFAULT_DOMAIN, _OFFICIAL + text
    if first == "localhost" or "." in first or ":" in first or first != first.lower():
        domain = DEFAULT_DOMAIN if first == _LEGACY_DOMAIN else first
        official = domain == DEFAULT_DOMAIN and "/" not in rest
        return domain, _OFFICIAL + rest if official else rest
    return DEFAULT_DOMAIN, text


def _check_digest(text: str, digest: str) -> None:
    algorithm = digest.partition(":")[0]
    if algorithm != "sha256":
        raise _invalid(text, f'digest algorithm "{algorithm}" is not supported; use sha256')
    if not _SHA256.fullmatch(digest):
        raise _invalid(text, "a sha256 digest must have 64 lowercase hexadecimal digits")


def _invalid(text: str, rule: str) -> InvalidInput:
    text = text if len(text) <= _SHOWN else text[:_SHOWN] + "…"
    return InvalidInput(f'"{text}" is not a valid image reference: {rule}')
