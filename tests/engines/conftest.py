"""What the tests on engines share."""

import contextlib
import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest
from rig.plugin import Launch
from rig.servers import Server

from engines.conservation import Fleet

_S = TypeVar("_S", bound=Server)


@pytest.fixture
def stack() -> Iterator[contextlib.ExitStack]:
    """What is started for a test: `stack.callback(server.kill)`."""
    with contextlib.ExitStack() as stack:
        yield stack


@pytest.fixture
def started(stack: contextlib.ExitStack) -> Callable[[_S], _S]:
    """`started(server)`: it runs until the test ends."""

    def start(server: _S) -> _S:
        stack.callback(server.kill)
        server.start()
        return server

    return start


@pytest.fixture
def fleet(launch: Launch, tmp_path: Path) -> Callable[..., Fleet]:
    """`fleet(url)`: devices that publish from now on."""
    return functools.partial(Fleet, launch, tmp_path)
