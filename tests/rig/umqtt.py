"""Stock `umqtt.simple`, as the firmware of a board has it built in."""

import os
from pathlib import Path

from unearth import PackageFinder

_INDEX = "https://pypi.org/simple"
_RELEASE = "micropython-umqtt.simple==1.3.4"  # the last one there


def fetch(directory: Path) -> Path:
    """Unpack it into `directory`; gives the path to import from.

    pip cannot: the archive has no setup.py.
    """
    finder = PackageFinder(index_urls=[os.environ.get("PIP_INDEX_URL", _INDEX)])
    found = finder.find_best_match(_RELEASE).best
    assert found is not None, f"{_RELEASE} is not in the package index"
    assert found.link is not None
    return finder.download_and_unpack(found.link, directory)


def with_context(directory: Path) -> Path:
    """Make it that of MicroPython 1.24 and newer, which is given a TLS context."""
    simple = directory / "umqtt" / "simple.py"
    text = simple.read_text()
    for old, new in (
        ("        self.ssl_params = ssl_params\n", ""),
        ("            import ussl\n", ""),
        (
            "ussl.wrap_socket(self.sock, **self.ssl_params)",
            "self.ssl.wrap_socket(self.sock, server_hostname=self.server)",
        ),
    ):
        assert old in text
        text = text.replace(old, new)
    simple.write_text(text)
    return directory / "umqtt"
