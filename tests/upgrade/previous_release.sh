#!/bin/sh
# Make the release before this one, as tests run it beside this one, in build/previous/venv: a wheel of the commit that
# tests/upgrade/PREVIOUS names, with the libraries of this tree's own environment. Does nothing when it is there.
#
# The commit is taken from this clone's history, or fetched where the clone has none of it; without a repository it is
# taken from build/previous/source-COMMIT.tar (tests/debian13/run.sh puts it there).
set -eu
top=$(cd "$(dirname "$0")/../.." && pwd)
out=$top/build/previous
python=${PYTHON:-$top/.venv/bin/python}
commit=$(cat "$top/tests/upgrade/PREVIOUS")
source=$out/source-$commit.tar
packages="shoal manager agent cli engine console deploy"

fail() { echo "previous_release.sh: $*" >&2; exit 1; }

archive() {
  git -C "$top" cat-file -e "$commit^{commit}" 2>/dev/null || git -C "$top" fetch --quiet --depth 1 origin "$commit" ||
    fail "commit $commit is not in this clone and cannot be fetched; get the history (git fetch --unshallow)"
  # shellcheck disable=SC2086  # a list of words is meant
  git -C "$top" archive --output "$source" "$commit" pyproject.toml README.md LICENSE $packages
}

mkdir -p "$out"
exec 9> "$out/lock"
flock 9
stamp="$commit $("$python" -c 'import sys; print(sys.executable, sys.version)' | tr '\n' ' ')$(sha256sum < "$0")"
test "$(cat "$out/stamp" 2>/dev/null)" != "$stamp" || exit 0
test ! -e "$top/.git" || archive
test -e "$source" || fail "there is neither a repository nor $source"
rm -rf "$out/tree" "$out/venv" "$out"/*.whl
mkdir "$out/tree"
tar -xf "$source" -C "$out/tree"
# Its version says what it is: listings tell it from this one.
sed -i "s/^version = \"\(.*\)\"/version = \"\1+$(echo "$commit" | cut -c1-8)\"/" "$out/tree/pyproject.toml"
"$python" -m pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir "$out" "$out/tree"
"$python" -m venv --without-pip "$out/venv"
"$python" -m pip --python "$out/venv/bin/python" install --quiet --disable-pip-version-check --no-deps --no-index "$out"/shoal-*.whl
# After its own packages; a path in a .pth file has no .pth files of its own, so this tree stays out.
"$python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))' > \
  "$(echo "$out"/venv/lib/python3.*/site-packages)/libraries.pth"
rm -rf "$out/tree"
echo "$stamp" > "$out/stamp"
