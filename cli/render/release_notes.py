"""What is told when programs of several releases run beside each other, as during an upgrade."""

from collections import Counter
from collections.abc import Iterable


def mixed_releases(what: str, releases: Iterable[str]) -> str:
    """A line that says how many are of which release; empty: all are of one.

    Args:
        what: are of these releases, in the plural: "managers".
        releases: of each; one without a release is not counted.
    """
    counts = Counter(release for release in releases if release)
    if len(counts) < 2:
        return ""
    parts = [f"{release} ({count})" for release, count in sorted(counts.items())]
    return f"{what} run different releases: {', '.join(parts)}; upgrade all of them to the newest"
