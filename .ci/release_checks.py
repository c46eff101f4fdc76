"""What must hold before a release; what does not is refused, with what to do."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from release_files import (
    ROOT,
    Package,
    RefusedError,
    Version,
    changelog_problem,
    packages,
    parse_version,
)

# The contract of this checkout, whatever is installed in the environment.
CONTRACT = ROOT / "packages/egiz-schema/src"
_GATE = "from egiz_schema import cli; cli.main(['gate'])"
_OUTPUT_LINES = 20


class StepError(Exception):
    """A command of a step failed; the text is what it printed last."""


@dataclass(frozen=True, slots=True)
class Release:
    """What is released: all packages, with one version."""

    version: Version
    packages: Sequence[Package]
    is_changed: Callable[[Package], bool]

    @property
    def tag(self) -> str:
        """Name of the tag."""
        return f"v{self.version}"


def run(*command: str | Path, env: dict[str, str] | None = None) -> str:
    """Run a command at the root of the checkout; gives what it printed.

    Raises:
        StepError: it failed, or there is no such program.
    """
    try:
        done = subprocess.run(
            command,
            cwd=ROOT,
            env=os.environ | (env or {}),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            check=False,
        )
    except OSError as error:
        raise StepError(str(error)) from error
    if done.returncode:
        output = "\n".join(done.stdout.splitlines()[-_OUTPUT_LINES:])
        raise StepError(f"{' '.join(map(str, command[:2]))}: {output}")
    return done.stdout


def git(*arguments: str | Path) -> str:
    """Run git; gives what it printed, without the newline at its end."""
    return run("git", *arguments).rstrip("\n")


def checked(text: str) -> Release:
    """What to release, if nothing stands against it.

    Raises:
        RefusedError: the first thing that is not as it must be, and what to do.
    """
    version = parse_version(text)
    _check_git()
    found = packages()
    tags = [tag for tag in git("tag", "--list", "v*").splitlines() if tag]
    last = _last_release(tags)
    _check_version(version, tags, max([last, *(each.version for each in found)]))
    release = Release(version, found, lambda each: _is_changed(each, last, tags))
    _check_changelogs(release)
    _check_contract()
    return release


def _check_git() -> None:
    with _refusing("git has no name of yours: git config user.name, and user.email"):
        git("var", "GIT_COMMITTER_IDENT")
    with _refusing("HEAD is on no branch: git switch main, for example"):
        git("symbolic-ref", "--quiet", "HEAD")
    changed = [line[3:] for line in git("status", "--porcelain").splitlines()]
    if changed:
        listed = ", ".join(changed[:3]) + (", ..." if len(changed) > 3 else "")  # noqa: PLR2004  # as sliced
        fix = "commit it, or git stash --include-untracked"
        raise RefusedError(f"the tree is not clean ({listed}): {fix}")


@contextmanager
def _refusing(reason: str) -> Iterator[None]:
    """Refuse for this reason where a command fails."""
    try:
        yield
    except StepError as error:
        raise RefusedError(reason) from error


def _last_release(tags: Sequence[str]) -> Version:
    """The highest version that has a tag."""
    versions = [Version(0, 0, 0)]
    for tag in tags:
        try:
            versions.append(parse_version(tag.removeprefix("v")))
        except RefusedError:
            continue  # a tag of another kind
    return max(versions)


def _check_version(version: Version, tags: Sequence[str], written: Version) -> None:
    next_one = Version(written.major, written.minor, written.patch + 1)
    fix = f"choose a higher one, VERSION={next_one} for example"
    if f"v{version}" in tags:
        raise RefusedError(f"the tag v{version} exists already: {fix}")
    # The first release may be the version that is written, since it has no tag yet.
    if version < written or (version == written and f"v{written}" in tags):
        raise RefusedError(
            f"{version} is lower than {written}, which is written: {fix}"
        )


def _is_changed(package: Package, last: Version, tags: Sequence[str]) -> bool:
    tag = f"v{last}"
    if tag not in tags:
        return True  # it has never been released
    paths = (package.directory / "src", package.directory / "pyproject.toml")
    return bool(git("diff", "--name-only", tag, "HEAD", "--", *paths))


def _check_changelogs(release: Release) -> None:
    files = {ROOT / "CHANGELOG.md": True}
    files |= {each.changelog: release.is_changed(each) for each in release.packages}
    for path, is_changed in files.items():
        problem = changelog_problem(path, is_changed=is_changed)
        if problem:
            raise RefusedError(problem)


def _check_contract() -> None:
    try:
        run(sys.executable, "-c", _GATE, env={"PYTHONPATH": str(CONTRACT)})
    except StepError as error:
        fix = "egiz-schema gate lists it; undo it, or allow it with a reason"
        raise RefusedError(
            f"the contract would break a reader: {fix}\n{error}"
        ) from error
