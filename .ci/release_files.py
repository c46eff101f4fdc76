"""What a release writes: versions, the siblings' ranges, dated changelogs."""

import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[1]

_VERSION = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)")
_DUNDER = r'^__version__ = "(?P<version>[^"]+)"'
_UNRELEASED = "## Unreleased\n"
_RANGE = r"(?<![\w-]){}((?:\[[\w,-]+\])?)>=[\d.]+,<[\d.]+"
_NOTHING = "\nNothing changed; it is released with the other packages.\n"

# What else names the version: the tag of the images that compose builds.
_OTHERS = {
    "infra/compose.yaml": re.compile(r"(?<=\{EGIZ_VERSION:-)[^}]+"),
    "infra/.env.example": re.compile(r"(?<=^EGIZ_VERSION=).+", re.MULTILINE),
}


class RefusedError(Exception):
    """There is no release of this; the text says why, and what to do."""


class Version(NamedTuple):
    """Of SemVer, without a pre-release."""

    major: int
    minor: int
    patch: int

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.patch}"

    @property
    def compatible(self) -> str:
        """The range of versions that promise to work together with this one."""
        end = f"{self.major + 1}" if self.major else f"0.{self.minor + 1}"
        return f">={self.major}.{self.minor},<{end}"


@dataclass(frozen=True, slots=True)
class Package:
    """One of packages/."""

    directory: Path
    name: str
    programs: tuple[str, ...]
    version_file: Path
    version_pattern: re.Pattern[str]

    @property
    def changelog(self) -> Path:
        """Its own."""
        return self.directory / "CHANGELOG.md"

    @property
    def version(self) -> Version:
        """As it is written now."""
        return parse_version(self._written().group("version"))

    def with_version(self, version: Version) -> str:
        """Text of the version's file, with another one."""
        found = self._written()
        start, end = found.span("version")
        return f"{found.string[:start]}{version}{found.string[end:]}"

    def _written(self) -> re.Match[str]:
        found = self.version_pattern.search(read(self.version_file))
        if found is None:
            name = self.version_file.relative_to(ROOT)
            raise RefusedError(f"{name} has no version: [tool.hatch.version] names it")
        return found


def read(path: Path) -> str:
    """Text of a file, whatever the terminal's encoding.

    Raises:
        RefusedError: it is not UTF-8.
    """
    try:
        return path.read_text("utf-8")
    except UnicodeDecodeError as error:
        name = path.relative_to(ROOT)
        raise RefusedError(f"{name} is not UTF-8 text: save it so") from error


def parse_version(text: str) -> Version:
    """Read a version.

    Raises:
        RefusedError: it is none, or missing.
    """
    if not text:
        raise RefusedError("VERSION is missing: make release VERSION=0.2.0")
    found = _VERSION.fullmatch(text)
    if found is None:
        raise RefusedError(f"{text!r} is no version: write numbers, VERSION=0.2.0")
    return Version(*map(int, found.groups()))


def packages() -> list[Package]:
    """Every package of the checkout.

    Raises:
        RefusedError: one does not read its version from a file of its own.
    """
    return [_package(path) for path in sorted(ROOT.glob("packages/*/pyproject.toml"))]


def _package(path: Path) -> Package:
    document: dict[str, Any] = tomllib.loads(read(path))
    project = document["project"]
    source = document.get("tool", {}).get("hatch", {}).get("version")
    if source is None or "version" not in project.get("dynamic", []):
        fix = 'write dynamic = ["version"], and its file in [tool.hatch.version]'
        raise RefusedError(f"{path.relative_to(ROOT)} has a version of its own: {fix}")
    return Package(
        directory=path.parent,
        name=project["name"],
        programs=tuple(project.get("scripts", ())),
        version_file=path.parent / source["path"],
        version_pattern=re.compile(source.get("pattern", _DUNDER), re.MULTILINE),
    )


def changelog_problem(path: Path, *, is_changed: bool) -> str | None:
    """What keeps this changelog from being dated, and what to do; None if nothing."""
    name = path.relative_to(ROOT)
    text = read(path) if path.exists() else ""
    if f"\n{_UNRELEASED}" not in text:
        return f"{name} has no line '## Unreleased': add it, and what changed below it"
    if is_changed and not _entries(_split(text)[1]):
        return f"{name} has nothing under '## Unreleased': write there what changed"
    return None


def _split(changelog: str) -> tuple[str, str, str]:
    """What is before the heading, the section below it, and the older sections."""
    before, _, rest = changelog.partition(f"\n{_UNRELEASED}")
    end = rest.find("\n## ")
    end = len(rest) if end < 0 else end + 1
    return before + "\n", rest[:end], rest[end:]


def _entries(section: str) -> bool:
    return any(line.strip() and line[0] != "#" for line in section.splitlines())


def dated(changelog: str, version: Version, today: date) -> str:
    """The changelog, with what was unreleased below a heading of this version."""
    before, section, older = _split(changelog)
    if not _entries(section):
        section = _NOTHING + ("\n" if older else "")
    return f"{before}{_UNRELEASED}\n## {version} - {today}\n{section}{older}"


def planned(
    found: Sequence[Package], version: Version, today: date
) -> dict[Path, str | None]:
    """New text of each file that a release writes; where it is the same, no entry."""
    files: dict[Path, str] = {}
    for package in found:
        files[package.version_file] = package.with_version(version)
        project = package.directory / "pyproject.toml"
        files[project] = _with_ranges(read(project), found, version)
    for path in (ROOT / "CHANGELOG.md", *(each.changelog for each in found)):
        files[path] = dated(read(path), version, today)
    for name, pattern in _OTHERS.items():
        files[ROOT / name] = pattern.sub(str(version), read(ROOT / name))
    return {path: text for path, text in files.items() if text != read(path)}


def _with_ranges(project: str, found: Sequence[Package], version: Version) -> str:
    for package in found:
        pattern = _RANGE.format(re.escape(package.name))
        project = re.sub(pattern, rf"{package.name}\1{version.compatible}", project)
    return project
