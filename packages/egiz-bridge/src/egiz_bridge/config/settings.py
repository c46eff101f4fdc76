"""The configuration: one model from which file, environment and help are read.

Every key can stand in a TOML file and in the environment, which wins:
``[mqtt] client_id`` is ``EGIZ_BRIDGE_MQTT_CLIENT_ID``. Secrets are in files only.
"""

import difflib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Self

from egiz_cli import toml
from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    ValidationError,
    create_model,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from egiz_bridge import sinks
from egiz_bridge.config.secret import read_error
from egiz_bridge.config.small_file import BYTES_MAX, read_small_file
from egiz_bridge.config.tables import Http, Mqtt, Spool, Table, WithFile
from egiz_bridge.errors import ConfigError
from egiz_bridge.sinks.sink import SinkTable

ENV_PREFIX = "EGIZ_BRIDGE_"
# What Kubernetes gives every container beside a service that is named egiz-bridge.
_OF_KUBERNETES = re.compile(
    r"EGIZ_BRIDGE_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_\w+)?)"
)


def _as_list(tables: Any) -> Any:
    return [tables] if isinstance(tables, dict | SinkTable) else tables


def _shard(text: str | None) -> str | None:
    if text is not None:
        index, _, count = text.partition("/")
        if not (index.isdecimal() and count.isdecimal()):
            raise ValueError("must be I/N, as 1/2")
        if not 1 <= int(index) <= int(count):
            raise ValueError("I must be from 1 to N")
    return text


class Settings(BaseSettings):
    """All tables; `settings_model` adds those of the sinks."""

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX,
        env_nested_delimiter="_",
        env_nested_max_split=1,
        extra="forbid",
        frozen=True,
    )

    shard: Annotated[str | None, AfterValidator(_shard)] = Field(
        default=None,
        description="I/N: be the I-th of N bridges that share mqtt.facilities; its "
        "client id, files and port get the number I",
    )
    mqtt: Mqtt = Mqtt()
    spool: Spool = Spool()
    http: Http = Http()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment wins over the file."""
        del settings_cls, dotenv_settings, file_secret_settings  # not ours
        return env_settings, init_settings

    def sinks(self) -> list[SinkTable]:
        """The table of each sink: without any, that of the default one."""
        given = [one for found in self._sink_fields().values() for one in _all(found)]
        return given or [sinks.DEFAULT()]

    def _sink_fields(self) -> dict[str, Any]:
        return {one.key: getattr(self, one.key) for one in sinks.TABLES}

    def for_shard(self) -> Self:
        """The settings of this `shard`; unchanged without one.

        Raises:
            ConfigError: there are fewer facilities than shards.
        """
        if self.shard is None:
            return self
        index, count = map(int, self.shard.split("/"))
        if count > len(self.mqtt.facilities):
            found = len(self.mqtt.facilities)
            reason = f"{count} bridges need as many to share, here are {found}"
            raise ConfigError([f"mqtt.facilities: {reason}"])
        tables: dict[str, Any] = {
            "mqtt": self.mqtt.for_shard(index, count),
            "spool": self.spool.numbered(index),
            "http": self.http.numbered(index),
        }
        for table in self.sinks():
            own = table.for_shard(index)
            tables[table.key] = (
                (*tables.get(table.key, ()), own) if table.is_repeatable else own
            )
        return self.model_copy(update=tables)

    @model_validator(mode="after")
    def _names_are_unique(self) -> Self:
        names = [one.key for one in sinks.TABLES if not one.is_repeatable]
        for one in self.sinks():
            if one.is_repeatable and one.sink_name in names:
                raise ValueError(
                    f"{one.key}.name: {one.sink_name} is used twice; give another"
                )
            names.append(one.sink_name)
        return self

    @model_validator(mode="after")
    def _files_are_different(self) -> Self:
        used = {_resolved(self.spool.path): "spool.path"}
        for one in self.sinks():
            if isinstance(one, WithFile) and str(one.path) != "-":
                key = f"{one.sink_name}.path"
                other = used.setdefault(_resolved(one.path), key)
                if other != key:
                    raise ValueError(f"{key}: is the file of {other}; give another")
        return self


def _resolved(path: Path) -> Path:
    """Whatever links lead to it."""
    return Path(os.path.realpath(path))  # a loop of links is no error here


def _all(found: Any) -> tuple[SinkTable, ...]:
    """The tables of one field: of a repeatable sink, or of another, or none."""
    if found is None:
        return ()
    return found if isinstance(found, tuple) else (found,)


def settings_model() -> type[Settings]:
    """All tables, those of the sinks in `sinks.TABLES` among them."""
    fields: dict[str, Any] = {}
    for one in sinks.TABLES:
        many = Annotated[tuple[one, ...], BeforeValidator(_as_list)]  # type: ignore[valid-type]  # known at run time only
        fields[one.key] = (many, ()) if one.is_repeatable else (one | None, None)
    return create_model("Settings", __base__=Settings, **fields)


def load(path: Path | None) -> Settings:
    """Read the file, if any, and the environment.

    Raises:
        ConfigError: with one sentence for each problem.
    """
    data = _read_toml(path) if path else {}
    if problems := _unknown_variables():
        raise ConfigError(problems)
    try:
        return settings_model()(**data).for_shard()
    except ValidationError as error:
        raise ConfigError([_sentence(one) for one in error.errors()]) from None
    except SettingsError as error:  # of a variable that holds a whole table
        raise ConfigError([f"{ENV_PREFIX}*: not JSON: {error}"]) from None


def _unknown_variables() -> list[str]:
    """A sentence for each variable of ours that is no key; a typo is not ignored."""
    keys = [key for key, _, _ in described()] + list(_tables())
    known = [env_name(key) for key in keys]
    return [
        f"{name}: no such environment variable{_nearest(name, known)}"
        for name in sorted(os.environ)
        if name.startswith(ENV_PREFIX)
        and name not in known
        and not _OF_KUBERNETES.fullmatch(name)
    ]


def described() -> Iterator[tuple[str, str, str]]:
    """Each key, as (key, default, meaning), in the order of the tables."""
    yield _row("shard", Settings.model_fields["shard"])
    for table, model in _tables().items():
        for name, field in model.model_fields.items():
            yield _row(f"{table}.{name}", field)


def _row(key: str, field: FieldInfo) -> tuple[str, str, str]:
    default = "" if field.is_required() else _default_text(field.default)
    return key, default, field.description or ""


def _default_text(default: Any) -> str:
    if isinstance(default, tuple):
        return ", ".join(map(str, default))
    return str(default or "")


def env_name(key: str) -> str:
    """The environment variable of a key: ``mqtt.url`` is ``EGIZ_BRIDGE_MQTT_URL``."""
    return ENV_PREFIX + key.replace(".", "_").upper()


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        # Some editors begin a file with a byte order mark, which TOML has not.
        data = read_small_file(path, BYTES_MAX, is_regular_only=False)
        return toml.loads(data.decode("utf-8-sig"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            [f"--config: cannot read {path}: {read_error(error)}"]
        ) from None
    except ValueError as error:  # of a number, too, that has thousands of digits
        raise ConfigError([f"{path}: not TOML: {error}"]) from None
    except RecursionError:
        raise ConfigError([f"{path}: not TOML: nested too deeply"]) from None


def _tables() -> dict[str, type[Table]]:
    of_sinks = {one.key: one for one in sinks.TABLES}
    return {"mqtt": Mqtt, **of_sinks, "spool": Spool, "http": Http}


def _sentence(error: ErrorDetails) -> str:
    # [[influxdb]] is counted: influxdb.0.url is influxdb.url to a reader.
    key = ".".join(part for part in error["loc"] if isinstance(part, str))
    message = error["msg"].removeprefix("Value error, ")
    if error["type"] == "extra_forbidden":
        return f"{key}: no such key{_guess(key)}"
    if key in _tables() or not key:
        return message  # of a table as a whole; it names the key
    return f"{key} ({env_name(key)}): {message}"


def _guess(key: str) -> str:
    return _nearest(key, [name for name, _, _ in described()] + list(_tables()))


def _nearest(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f"; is {close[0]} meant?" if close else ""
