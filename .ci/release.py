"""Release all packages with one version: `make release VERSION=0.2.0`.

What is not as it must be is refused before anything is written (exit code 2). If a
step fails, every file, commit and tag is as it was before (exit code 1). RELEASING.md
says who releases and when.
"""

import argparse
import difflib
import io
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from release_checks import CONTRACT, Release, StepError, checked, git, run
from release_files import ROOT, RefusedError, planned, read

EXIT_FAILED = 1
EXIT_REFUSED = 2

_FREEZE = (
    "import sys; from pathlib import Path; from egiz_schema import contract;"
    "contract.freeze(Path(sys.argv[1]))"
)


def frozen_contract() -> str:
    """What goes into the contract's `released/`."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "v1.json"
        env = {"PYTHONPATH": str(CONTRACT)}
        run(sys.executable, "-c", _FREEZE, path, env=env)
        return path.read_text("utf-8")


def build_packages(release: Release) -> None:
    """Build a wheel and an sdist of each package into dist/."""
    run("make", "build")
    for package in release.packages:
        stem = f"{package.name.replace('-', '_')}-{release.version}"
        for name in (f"{stem}.tar.gz", f"{stem}-py3-none-any.whl"):
            if not (ROOT / "dist" / name).is_file():
                raise StepError(f"make build left no dist/{name}: is it in hatch.toml?")


def try_wheels(release: Release) -> None:
    """Install all wheels in a clean environment, and ask each program its version."""
    path = os.pathsep.join((str(ROOT / ".venv/bin"), os.environ.get("PATH", "")))
    uv = shutil.which("uv", path=path) or "uv"
    with tempfile.TemporaryDirectory() as directory:
        run(uv, "venv", "--quiet", "--python", sys.executable, directory)
        programs = Path(directory) / "bin"
        python = programs / "python"
        wheels = sorted((ROOT / "dist").glob("*.whl"))
        run(uv, "pip", "install", "--quiet", "--python", python, *wheels)
        code = "import egiz_schema; print(egiz_schema.__version__)"
        answers = {"egiz_schema": run(python, "-I", "-c", code)}
        for package in release.packages:
            for name in package.programs:
                answers[name] = run(programs / name, "--version")
    for name, answer in answers.items():
        if str(release.version) not in answer.split():
            raise StepError(f"{name} says {answer.strip()!r}, not {release.version}")


def commit(release: Release, paths: Sequence[Path]) -> None:
    """Commit these files."""
    git("add", "--", *paths)
    git("commit", "--quiet", "--message", f"repo: release {release.version}")


def tag(release: Release) -> None:
    """Tag the commit, annotated."""
    message = f"OpenEgiz ingestion layer {release.version}"
    git("tag", "--annotate", release.tag, "--message", message)


@contextmanager
def restored_on_error(paths: Sequence[Path]) -> Iterator[None]:
    """Whatever ends the block early, files and branch are as they were before it."""
    start = git("rev-parse", "HEAD")
    before = {path: path.read_bytes() for path in paths}
    try:
        yield
    except BaseException:  # Ctrl-C as well
        git("reset", "--quiet", "--soft", start)
        for path, content in before.items():
            path.write_bytes(content)
        git("reset", "--quiet")
        shutil.rmtree(ROOT / "dist", ignore_errors=True)
        raise


def write(files: dict[Path, str | None]) -> None:
    """Write each file its new text; None removes it."""
    for path, text in files.items():
        if text is None:
            path.unlink()
        else:
            path.write_text(text, "utf-8")


def carry_out(release: Release, files: dict[Path, str | None]) -> None:
    """Do each step; the first that fails undoes all of them.

    Raises:
        StepError: with the step that failed.
    """
    steps: dict[str, Callable[[], None]] = {
        f"write {len(files)} files": lambda: write(files),
        "build wheels and sdists": lambda: build_packages(release),
        "install the wheels and run their programs": lambda: try_wheels(release),
        "commit": lambda: commit(release, list(files)),
        f"tag {release.tag}": lambda: tag(release),
    }
    with restored_on_error(list(files)):
        for name, step in steps.items():
            print(f"{name} ...", flush=True)
            try:
                step()
            except (StepError, OSError) as error:
                raise StepError(f"{name}: {error}") from error


def show(release: Release, files: dict[Path, str | None]) -> None:
    """Print what a release would do."""
    for path, text in files.items():
        name = str(path.relative_to(ROOT))
        lines = difflib.unified_diff(
            read(path).splitlines(),
            (text or "").splitlines(),
            name,
            name if text is not None else "removed",
            n=0,
            lineterm="",
        )
        print("\n".join(lines))
    programs = ", ".join(name for each in release.packages for name in each.programs)
    print(f"\nwould build {', '.join(each.name for each in release.packages)}")
    print(f"would install them in a clean environment and run {programs}")
    print(f"would commit 'repo: release {release.version}', and tag it {release.tag}")
    print("dry run: nothing was changed")


def main() -> int:
    """Release, or say why not; gives the exit code."""
    parser = argparse.ArgumentParser("release.py", description=__doc__)
    parser.add_argument("version", nargs="?", default="", metavar="VERSION")
    parser.add_argument(
        "--dry-run", action="store_true", help="show it, change nothing"
    )
    given = parser.parse_args()
    # What the terminal cannot show is escaped.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        release = checked(given.version)
        today = datetime.now(UTC).date()
        files = planned(release.packages, release.version, today) | _contract_files()
        if given.dry_run:
            show(release, files)
            return 0
        carry_out(release, files)
    except RefusedError as error:
        print(f"not released: {error}", file=sys.stderr)
        return EXIT_REFUSED
    except StepError as error:
        print(f"not released, everything is as it was before: {error}", file=sys.stderr)
        return EXIT_FAILED
    print(f"released {release.version}: RELEASING.md says how to publish it")
    return 0


def _contract_files() -> dict[Path, str | None]:
    """The frozen contract; what was allowed to break the one before goes with it."""
    directory = CONTRACT / "egiz_schema/released"
    files: dict[Path, str | None] = {}
    frozen = frozen_contract()
    if frozen != read(directory / "v1.json"):
        files[directory / "v1.json"] = frozen
    if (directory / "allow.toml").exists():
        files[directory / "allow.toml"] = None
    return files


if __name__ == "__main__":
    sys.exit(main())
