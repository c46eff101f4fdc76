"""Links that hold in the checkout and in the site."""

import posixpath
import re
from pathlib import Path

_PACKAGES = ("schema", "edge", "bridge", "sim", "infra", "cli")
_DOCUMENTS = "packages/egiz-schema/src/egiz_schema/documents/v1"
# Pages that are kept beside the code, and where the site has them.
COPIED = {
    "CONTRIBUTING.md": "develop/contributing.md",
    "CHANGELOG.md": "develop/changelog.md",
    "bench/README.md": "develop/benchmarks.md",
    f"{_DOCUMENTS}/dictionary.md": "contract/dictionary.md",
    f"{_DOCUMENTS}/rules.md": "contract/rules.md",
    **{
        f"packages/egiz-{name}/README.md": f"reference/packages/egiz-{name}.md"
        for name in _PACKAGES
    },
    **{
        f"infra/{name}/README.md": f"reference/infra/{name}.md"
        for name in ("mosquitto", "prometheus", "grafana")
    },
}
_ORIGINS = {uri: origin for origin, uri in COPIED.items()}
_LINK = re.compile(r"\[([^\]\n]*)\]\((?!\w+:|[#/])([^)#\s]+)(#[^)\s]*)?\)")


def for_site(markdown: str, uri: str, repository: Path) -> str:
    """The page `uri` with its relative links as the site needs them.

    A link to a file that is no page becomes its text: the site has no such file. A link
    that leads nowhere stays as it is, so that the build fails.
    """
    origin = _ORIGINS.get(uri, f"docs/{uri}")

    def replaced(found: re.Match[str]) -> str:
        text, target, anchor = found.groups(default="")
        path = posixpath.normpath(posixpath.join(posixpath.dirname(origin), target))
        page = _page(path)
        if page is None:
            return text if (repository / path).exists() else found[0]
        return f"[{text}]({posixpath.relpath(page, posixpath.dirname(uri))}{anchor})"

    return _LINK.sub(replaced, markdown)


def _page(path: str) -> str | None:
    """Where the site has the file or directory `path` of the repository, if it has."""
    if path.startswith("docs/"):
        return path.removeprefix("docs/")
    return COPIED.get(path) or COPIED.get(f"{path}/README.md")
