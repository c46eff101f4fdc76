"""Reading a scenario: of the gallery by its name, or a file; errors say what to do."""

import json
import re
from collections.abc import Sequence
from fnmatch import fnmatchcase
from importlib import resources
from pathlib import Path
from typing import Any, get_args

import msgspec
from egiz_cli import toml
from egiz_schema import limits, orders

from egiz_sim.machines import fleet
from egiz_sim.scenario.model import (
    OF_DEVICES,
    Event,
    FailSensor,
    Scenario,
    SendCommands,
    SendConfig,
)

_GALLERY = resources.files("egiz_sim.scenario") / "gallery"
_BYTES_MAX = 1 << 20
_PLACE = re.compile(r" - at `\$\.?(.*)`$")
_EVENT = re.compile(r"^event\[(\d+|\.\.\.)\]\.?")
_TAGS = sorted(kind.__struct_config__.tag for kind in get_args(Event))


class ScenarioError(ValueError):
    """A scenario that cannot be run; one sentence names file, member and fix."""


def names() -> list[str]:
    """Of the gallery."""
    return sorted(
        each.name.removesuffix(".toml")
        for each in _GALLERY.iterdir()
        if each.name.endswith(".toml")
    )


def text_of(name: str) -> str:
    """The file of a scenario: of the gallery, or of a path.

    Raises:
        ScenarioError: if there is none.
    """
    if name in names():
        return (_GALLERY / f"{name}.toml").read_text()
    path = Path(name)
    try:
        with path.open("rb") as file:
            data = file.read(_BYTES_MAX + 1)
        if len(data) > _BYTES_MAX:
            raise ScenarioError(f"{name}: too large; at most {_BYTES_MAX:,} bytes")
        return data.decode("utf-8-sig")  # as some editors of Windows save it
    except OSError as error:
        hint = "" if path.suffix == ".toml" else "; `egiz-sim scenarios` lists names"
        raise ScenarioError(f"{name}: {error.strerror}{hint}") from None
    except UnicodeDecodeError:
        raise ScenarioError(f"{name}: not UTF-8; save it as UTF-8") from None


def read(name: str) -> Scenario:
    """A scenario of the gallery, or of a file.

    Raises:
        ScenarioError: if it cannot be used.
    """
    try:
        document = toml.loads(text_of(name))
        scenario = msgspec.convert(document, Scenario)
    except ScenarioError:
        raise
    except msgspec.ValidationError as error:
        raise ScenarioError(f"{name}: {_sentence(str(error), document)}") from None
    except ValueError as error:  # also of a number with thousands of digits
        text = str(error).partition("; use sys.")[0]
        raise ScenarioError(f"{name}: not TOML: {text}") from None
    except RecursionError:
        raise ScenarioError(f"{name}: not TOML: it is nested too deeply") from None
    if not scenario.about.isprintable():
        raise ScenarioError(f"{name}: about: write it without control characters")
    if sum(scenario.fleet.updates.values()) > 1:
        raise ScenarioError(f"{name}: fleet.updates: the shares are more than 1")
    for number, event in enumerate(scenario.event, 1):
        _check_end(event, scenario, f"{name}: event {number}")
        _check_order(event, f"{name}: event {number}")
    return scenario


def check_devices(name: str, scenario: Scenario) -> None:
    """Check that each event is about devices that there are.

    Raises:
        ScenarioError: if one is not.
    """
    made = dict(fleet(scenario.fleet.devices, scenario.fleet.seed))
    for number, event in enumerate(scenario.event, 1):
        if not isinstance(event, OF_DEVICES):
            continue
        where = f"{name}: event {number}: "
        found = chosen(event.devices, list(made))
        if not found:
            raise ScenarioError(
                f"{where}devices: {event.devices!r} is none of the {len(made)} devices,"
                f" {next(iter(made))} and others"
            )
        if isinstance(event, FailSensor):
            for device in found:
                if event.sensor not in made[device].sensors:
                    known = ", ".join(made[device].sensors)
                    raise ScenarioError(
                        f"{where}sensor: {device} has no {event.sensor!r}, but {known}"
                    )


def chosen(pattern: str, devices: Sequence[str]) -> list[str]:
    """The device ids that a pattern fits."""
    return [name for name in devices if fnmatchcase(name, pattern)]


def _sentence(text: str, document: Any) -> str:
    """Of msgspec: the place first, and what to write instead."""
    place = _PLACE.search(text)
    where = place[1] if place else ""
    says = _PLACE.sub("", text).replace("`", "'")
    says = says.replace("Object", "table").replace("'object'", "'table'")
    event = _EVENT.match(where)
    if event:
        where = f"event {int(event[1]) + 1} {where[event.end() :]}".strip()
    if where.endswith(" do") or says.endswith("'do'"):
        says += f"; do is one of {', '.join(_TAGS)}"
    elif "unknown field" in says:
        says += f"; remove it, or write one of {', '.join(_known(event, document))}"
    return f"{where}: {says}" if where else says


def _known(event: re.Match[str] | None, document: Any) -> list[str]:
    """The members of the table that has an unknown one."""
    table: Any = Scenario
    if event:
        tag = document["event"][int(event[1])]["do"]
        table = next(k for k in get_args(Event) if k.__struct_config__.tag == tag)
    elif set(document) <= {"about", "fleet", "event"}:
        table = Scenario.__annotations__["fleet"]
    return sorted(field.name for field in msgspec.structs.fields(table))


def _check_end(event: Event, scenario: Scenario, where: str) -> None:
    seconds = scenario.fleet.seconds
    if event.ends_s > seconds:
        raise ScenarioError(
            f"{where}: it is over after {event.ends_s:g} s, the run after {seconds:g};"
            " lower at_s, or raise fleet.seconds"
        )


def _check_order(event: Event, where: str) -> None:
    """Configs and commands are to be those of the contract."""
    device = "oven-001"
    try:
        if isinstance(event, SendConfig):
            _check_config(event.config, where)
            orders.check_config({**event.config, "device_id": device, "rev": 1}, device)
        elif isinstance(event, SendCommands):
            command = {"device_id": device, "id": "1", "action": event.action}
            orders.check_command(command, device)
            orders.check_arguments(event.action, dict(event.args), device)
    except ScenarioError:
        raise
    except ValueError as error:
        known = f"; an action is one of {', '.join(orders.ACTIONS)}"
        hint = known if str(error.args[-1]).startswith("action") else ""
        raise ScenarioError(f"{where}: {error.args[-1]}{hint}") from None


def _check_config(config: dict[str, Any], where: str) -> None:
    """What the operator sends is JSON, of which two members are its own."""
    for name in {"device_id", "rev"} & config.keys():
        raise ScenarioError(
            f"{where}: config.{name}: remove it; each device has its own"
        )
    try:
        text = json.dumps(config, allow_nan=False)
    except (TypeError, ValueError):
        raise ScenarioError(
            f"{where}: config: JSON has no dates, times, nan and inf; remove them"
        ) from None
    if len(text) > limits.PAYLOAD_BYTES_MAX:
        raise ScenarioError(
            f"{where}: config: at most {limits.PAYLOAD_BYTES_MAX} bytes as JSON"
        )
