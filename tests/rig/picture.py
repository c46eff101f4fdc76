"""A page as a picture for docs: `python -m rig.picture PAGE PICTURE.png [WIDTH]`."""

import sys
import tempfile
from pathlib import Path

from rig.browser import Browser


def main(page: Path, picture: Path, width: int = 1000) -> None:
    """Open a page of this machine, and write all of it as PNG."""
    with tempfile.TemporaryDirectory() as directory:
        browser = Browser(Path(directory) / "browser", 1)
        try:
            browser.resize(width, scale=1)
            browser.open(page.resolve().as_uri())
            browser.screenshot(picture)
        finally:
            browser.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), *map(int, sys.argv[3:]))
