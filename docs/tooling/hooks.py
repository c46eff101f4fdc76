"""What MkDocs calls while it builds the site; mkdocs.yml names this file."""

from pathlib import Path

import alerts
import commands
import contract
import links
import settings
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

REPOSITORY = Path(__file__).parents[2]


def on_files(files: Files, config: MkDocsConfig) -> None:
    """Add the pages that are made of the programs, and those kept beside the code."""
    for origin, uri in links.COPIED.items():
        _add(files, config, uri, (REPOSITORY / origin).read_text())
    for make in (commands.pages, settings.pages, contract.pages):
        for uri, text in make(REPOSITORY).items():
            _add(files, config, uri, text)
    config.nav = _listed(config.nav, sorted(file.src_uri for file in files))


def on_page_markdown(
    markdown: str, page: Page, config: MkDocsConfig, files: Files
) -> str:
    """Make the links of a page hold in the site, too."""
    del config, files  # the same for each page
    uri = page.file.src_uri
    if uri == "runbook.md":
        markdown = alerts.with_facts(markdown, REPOSITORY)
    return links.for_site(markdown, uri, REPOSITORY)


def _add(files: Files, config: MkDocsConfig, uri: str, text: str) -> None:
    files.append(File.generated(config, uri, content=text))


def _listed(entry: object, uris: list[str]) -> list[object]:
    """The navigation with `folder/*.md` replaced by the pages that are there."""
    if isinstance(entry, dict):
        ((title, below),) = entry.items()
        whole = isinstance(below, str)
        return [{title: below if whole else _listed(below, uris)}]
    if isinstance(entry, list):
        return [item for part in entry for item in _listed(part, uris)]
    pattern = str(entry)
    if "*" not in pattern:
        return [pattern]
    return [uri for uri in uris if Path(uri).match(pattern)]
