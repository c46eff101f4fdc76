"""`make release`, really carried out on a clone of this checkout."""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from datetime import UTC, datetime
from unittest import mock

import pytest
from rig.servers import REPOSITORY

PACKAGES = sorted(p.parent.name for p in REPOSITORY.glob("packages/*/pyproject.toml"))
ENTRY = "- Something that people can use.\n"
RELEASED = "packages/egiz-schema/src/egiz_schema/released/v1.json"
TOOLS = f"{REPOSITORY / '.venv/bin'}{os.pathsep}{os.environ['PATH']}"  # uv
ENV = os.environ | {
    "PATH": TOOLS,
    # The one of this checkout: else each clone installs its own.
    "MAKEFLAGS": f"HATCH={REPOSITORY / '.venv/bin/hatch'}",
    "GIT_CONFIG_GLOBAL": os.devnull,
    # A version that changes within the second of the clone has the size of the one
    # before: Python would take what it compiled of that one.
    "PYTHONDONTWRITEBYTECODE": "1",
}


class Clone:
    """A clone of the committed state, with an entry in each changelog."""

    def __init__(self, path):
        self.path = path
        origin = f"file://{REPOSITORY}"
        command = ("git", "clone", "--quiet", "--no-tags", "--depth=1", origin, path)
        subprocess.run(command, env=ENV, check=True)
        self.git("config", "user.name", "A release test")
        self.git("config", "user.email", "test@example.invalid")
        self.git("switch", "--quiet", "--force-create", "main")
        for changelog in self.changelogs():
            self.edit(changelog, "## Unreleased\n", f"## Unreleased\n\n{ENTRY}")
        self.commit("tests: an entry in each changelog")

    def changelogs(self):
        packages = (f"packages/{name}/CHANGELOG.md" for name in PACKAGES)
        return ["CHANGELOG.md", *packages]

    def git(self, *arguments):
        command = ("git", *arguments)
        done = subprocess.run(
            command, cwd=self.path, env=ENV, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    def read(self, name):
        return (self.path / name).read_text()

    def project(self, name):
        text = self.read(f"packages/{name}/pyproject.toml")
        return tomllib.loads(text)["project"]

    def edit(self, name, old, new):
        text = self.read(name)
        assert old in text
        (self.path / name).write_text(text.replace(old, new, 1))

    def commit(self, subject):
        self.git("commit", "--quiet", "--all", "--message", subject)

    def python(self, *arguments):
        return subprocess.run(
            (sys.executable, *arguments),
            cwd=self.path,
            env=ENV,
            capture_output=True,
            text=True,
            check=False,
        )

    def release(self, *arguments):
        return self.python(".ci/release.py", *arguments)

    def state(self):
        """All that a release might change."""
        shown = ("status --porcelain", "diff HEAD", "rev-parse HEAD", "tag --list")
        git = [self.git(*command.split()) for command in shown]
        return git, (self.path / "dist").exists()


@pytest.fixture
def clone(tmp_path):
    return Clone(tmp_path / "clone")


@pytest.fixture(scope="module")
def version():
    """The next minor one: 0.2.0 until that is released."""
    pattern = '__version__ = "(\\d+)\\.(\\d+)\\.\\d+"'
    source = REPOSITORY / "packages/egiz-schema/src/egiz_schema/__init__.py"
    major, minor = re.search(pattern, source.read_text()).groups()
    return f"{major}.{int(minor) + 1}.0"


def _forget_an_optional_field(clone):
    """Make the released contract one that lacks a field of today's; gives its path."""
    contract = json.loads(clone.read(RELEASED))
    fields = contract["messages"]["telemetry"]["fields"]
    path = next(p for p in fields if p.startswith("thermal.") and "[" not in p)
    for name in [name for name in fields if name.startswith(path)]:
        del fields[name]
    (clone.path / RELEASED).write_text(json.dumps(contract, indent=1))
    clone.commit("tests: a contract with one field less was released")
    return path


def test_a_release_is_built_tried_dated_committed_and_tagged(clone, version, tmp_path):
    field = _forget_an_optional_field(clone)
    before = clone.git("rev-parse", "HEAD")
    done = clone.release(version)
    assert done.returncode == 0, done.stdout + done.stderr

    assert clone.git("status", "--porcelain") == ""
    assert clone.git("log", "-1", "--format=%s") == f"repo: release {version}"
    assert clone.git("rev-parse", "HEAD^") == before
    assert clone.git("cat-file", "-t", f"v{version}") == "tag"  # annotated
    assert clone.git("rev-parse", f"v{version}^{{}}") == clone.git("rev-parse", "HEAD")
    today = datetime.now(UTC).date()
    heading = f"## Unreleased\n\n## {version} - {today}\n\n{ENTRY}"
    for changelog in clone.changelogs():
        assert clone.read(changelog).count(heading) == 1, changelog
        assert clone.read(changelog).count("## Unreleased") == 1
    released = json.loads(clone.read(RELEASED))
    assert field in released["messages"]["telemetry"]["fields"]
    _check_ranges(clone, version)
    _check_programs_of_the_checkout(clone, version)
    _check_wheels(clone, version, tmp_path / "venv")
    _check_the_next_one(clone, version)


def _check_ranges(clone, version):
    major, minor, _ = map(int, version.split("."))
    end = f"{major + 1}" if major else f"0.{minor + 1}"
    for name in PACKAGES:
        project = tomllib.loads(clone.read(f"packages/{name}/pyproject.toml"))[
            "project"
        ]
        extras = project.get("optional-dependencies", {}).values()
        required = [
            line for group in (project["dependencies"], *extras) for line in group
        ]
        for line in required:
            if line.startswith("egiz-"):
                assert line.endswith(f">={major}.{minor},<{end}"), (name, line)


def _check_programs_of_the_checkout(clone, version):
    """They read the one source: what is installed here is older than the release."""
    sources = [str(clone.path / "packages" / name / "src") for name in PACKAGES]
    for name in PACKAGES:
        project = tomllib.loads(clone.read(f"packages/{name}/pyproject.toml"))[
            "project"
        ]
        for program, entry in project.get("scripts", {}).items():
            module = entry.partition(":")[0]
            start = f"sys.argv = ['{program}', '--version']"
            code = f"from {module} import main; main()"
            printed = clone.python(
                "-c", f"import sys; sys.path[:0] = {sources}; {start}; {code}"
            )
            assert printed.stdout == f"{program} {version}\n", printed.stderr


def _check_wheels(clone, version, venv):
    wheels = sorted((clone.path / "dist").glob("*.whl"))
    built = [name.replace("-", "_") for name in PACKAGES]
    assert [w.name for w in wheels] == [
        f"{n}-{version}-py3-none-any.whl" for n in built
    ]
    sdists = sorted(path.name for path in (clone.path / "dist").glob("*.tar.gz"))
    assert sdists == [f"{name}-{version}.tar.gz" for name in built]
    uv = shutil.which("uv", path=TOOLS)
    subprocess.run((uv, "venv", "-q", "--python", sys.executable, venv), check=True)
    python = ("--python", venv / "bin/python")
    command = (uv, "pip", "install", "-q", *python, *wheels)
    subprocess.run(command, env=ENV, check=True)
    programs = sorted((venv / "bin").glob("egiz-*"))
    assert len(programs) >= 5
    for program in programs:
        printed = subprocess.check_output((program, "--version"), text=True)
        assert printed.split()[-1] == version, program


def _check_the_next_one(clone, version):
    """After a release: only what changed needs an entry, and something must have."""
    next_one = version.removesuffix("0") + "1"
    refused = clone.release("--dry-run", next_one)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "CHANGELOG.md has nothing under '## Unreleased'" in refused.stderr
    clone.edit("CHANGELOG.md", "## Unreleased\n", f"## Unreleased\n\n{ENTRY}")
    source = "packages/egiz-sim/src/egiz_sim/__init__.py"
    clone.edit(source, "A fleet", "One fleet")
    clone.commit("sim: a change without an entry")
    refused = clone.release("--dry-run", next_one)
    assert "egiz-sim/CHANGELOG.md has nothing under '## Unreleased'" in refused.stderr
    changelog = "packages/egiz-sim/CHANGELOG.md"
    clone.edit(changelog, "## Unreleased\n", f"## Unreleased\n\n{ENTRY}")
    clone.commit("sim: its entry")
    shown = clone.release("--dry-run", next_one)
    assert shown.returncode == 0, shown.stderr
    unchanged = shown.stdout.count("+Nothing changed; it is released with the other")
    assert unchanged == len(PACKAGES) - 1


def test_a_dry_run_shows_every_step_and_changes_nothing(clone, version):
    before = clone.state()
    shown = clone.release("--dry-run", version)
    assert shown.returncode == 0, shown.stderr
    assert f'+FIRMWARE_VERSION = "{version}"' in shown.stdout
    assert shown.stdout.count(f"+## {version} - ") == len(PACKAGES) + 1
    assert f"'repo: release {version}', and tag it v{version}\n" in shown.stdout
    assert clone.state() == before


def test_the_first_release_may_be_of_the_version_that_is_written(clone):
    printed = subprocess.check_output(("git", "tag", "--list"), cwd=clone.path)
    assert printed == b""
    version = clone.read("packages/egiz-schema/src/egiz_schema/__init__.py")
    (written,) = re.findall('__version__ = "(.+)"', version)
    shown = clone.release("--dry-run", written)
    assert f"would commit 'repo: release {written}'" in shown.stdout, shown.stderr


def _dirty(clone):
    clone.edit("README.md", "factory", "plant")


def _untracked(clone):
    (clone.path / "notes.txt").write_text("mine")


def _detached(clone):
    clone.git("checkout", "--quiet", "--detach")


def _without_an_entry(clone):
    changelog = "packages/egiz-infra/CHANGELOG.md"
    text = clone.read(changelog).partition("## Unreleased\n")[0]
    (clone.path / changelog).write_text(f"{text}## Unreleased\n\n### Added\n")
    clone.commit("tests: a changelog with an empty heading")


def _with_a_breach(clone):
    contract = json.loads(clone.read(RELEASED))
    fields = contract["messages"]["telemetry"]["fields"]
    fields["former"] = {"required": False, "default": None, "type": "null|number"}
    (clone.path / RELEASED).write_text(json.dumps(contract, indent=1))
    clone.commit("tests: a field of the released contract is gone")


def _with_a_static_version(clone):
    project = "packages/egiz-sim/pyproject.toml"
    clone.edit(project, 'dynamic = ["version"]', 'version = "0.1.0"')
    clone.commit("tests: two sources of the version")


def _not_utf8(clone):
    with (clone.path / "CHANGELOG.md").open("ab") as file:
        file.write(b"- 20 \xb0C\n")  # of Latin-1
    clone.commit("tests: a changelog that is not UTF-8")


REFUSED = {
    "not UTF-8": (_not_utf8, "CHANGELOG.md is not UTF-8 text: save it so"),
    "dirty tree": (_dirty, "the tree is not clean (README.md): commit it"),
    "untracked file": (_untracked, "the tree is not clean (notes.txt): commit it"),
    "no branch": (_detached, "HEAD is on no branch: git switch"),
    "no entry": (_without_an_entry, "egiz-infra/CHANGELOG.md has nothing under"),
    "breach": (_with_a_breach, "FIELD_NO_DELETE telemetry.former"),
    "two sources": (_with_a_static_version, "egiz-sim/pyproject.toml has a version of"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_ready_is_refused_and_left_as_it_is(clone, version, name):
    make, reason = REFUSED[name]
    make(clone)
    _assert_refused(clone, (version,), reason)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ((), "VERSION is missing: make release VERSION="),
        (("0.2",), "'0.2' is no version: write numbers, VERSION=0.2.0"),
        (("0.02.0",), "'0.02.0' is no version"),
        (("v0.2.0",), "'v0.2.0' is no version"),
        (("0.0.9",), "0.0.9 is lower than"),
        (("77.0.0",), "the tag v77.0.0 exists already: choose a higher one"),
        (("76.9.9",), "76.9.9 is lower than 77.0.0"),
    ],
)
def test_a_version_that_cannot_follow_is_refused(clone, arguments, reason):
    clone.git("tag", "v77.0.0")
    clone.git("tag", "vacation")  # no version
    _assert_refused(clone, arguments, reason)


def _assert_refused(clone, arguments, reason):
    before = clone.state()
    refused = clone.release(*arguments)
    assert (refused.returncode, refused.stdout) == (2, ""), refused.stdout
    assert refused.stderr.startswith("not released: ")
    assert reason in refused.stderr
    assert "Traceback" not in refused.stderr
    assert clone.state() == before


def test_a_terminal_of_ascii_changes_nothing_of_what_a_release_writes(clone, version):
    clone.edit("CHANGELOG.md", ENTRY, "- 20 µm.\n")
    clone.commit("tests: an entry that is not ASCII")
    environment = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    with mock.patch.dict(ENV, environment):
        shown = clone.release("--dry-run", version)
    assert (shown.returncode, shown.stderr) == (0, "")
    assert "dry run: nothing was changed" in shown.stdout


def test_a_build_that_fails_leaves_nothing_behind(clone, version):
    project = "packages/egiz-bridge/pyproject.toml"
    clone.edit(project, 'readme = "README.md"', 'readme = "README.rst"')
    clone.commit("tests: a package that cannot be built")
    before = clone.state()
    failed = clone.release(version)
    assert failed.returncode == 1
    assert "as it was before: build wheels and sdists: make build: " in failed.stderr
    assert "README.rst" in failed.stderr  # the build's own words
    assert clone.state() == before


@pytest.mark.parametrize("error", ["StepError('no tag')", "KeyboardInterrupt"])
def test_what_ends_a_release_after_its_commit_takes_the_commit_back(clone, error):
    before = clone.state()
    code = f"""
import sys; sys.path.insert(0, ".ci")
from release import *
path = ROOT / "README.md"
with restored_on_error([path, ROOT / "LICENSE"]):
    write({{path: "of the release", ROOT / "LICENSE": None}})
    git("commit", "--quiet", "--all", "--message", "repo: release")
    raise {error}
"""
    assert clone.python("-c", code).returncode != 0
    assert clone.state() == before


HOSTILE = "0.2.0; touch made #", "0.2.0 $$(touch made)", "`touch made`", "0.2.0 '", '"'


@pytest.mark.parametrize("version", ["0.2.0", *HOSTILE])
@pytest.mark.parametrize("dry_run", [(), ("DRY_RUN=1",)])
def test_make_release_hands_over_its_version_as_it_is(tmp_path, version, dry_run):
    hatch = tmp_path / "hatch"
    hatch.write_text("#!/bin/sh\nprintf '%s\\n' \"$@\"\n")
    hatch.chmod(0o755)
    makefile = ("make", "--file", REPOSITORY / "Makefile", "release")
    shown = subprocess.check_output(
        (*makefile, f"HATCH={hatch}", f"VERSION={version}", *dry_run),
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"]},
        text=True,
    )
    options = ["--dry-run"] if dry_run else []
    given = [*options, version.replace("$$", "$")]  # as make writes a dollar
    assert shown.splitlines() == ["run", "python", ".ci/release.py", *given]
    assert not (tmp_path / "made").exists()
