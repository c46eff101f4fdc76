"""The configuration: one model from which file, environment and help are read.

Every key can stand in a TOML file and in the environment, which wins:
``[mqtt] client_id`` is ``EGIZ_BRIDGE_MQTT_CLIENT_ID``. Secrets are in files only.
"""

import difflib
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    ValidationError,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from egiz_bridge.config.tables import (
    AnySink,
    Archive,
    Http,
    Influxdb,
    Lines,
    Mqtt,
    Spool,
    Table,
)
from egiz_bridge.errors import ConfigError

ENV_PREFIX = "EGIZ_BRIDGE_"


def _as_list(tables: Any) -> Any:
    return [tables] if isinstance(tables, dict | Influxdb) else tables


def _shard(text: str | None) -> str | None:
    if text is not None:
        index, _, count = text.partition("/")
        if not (index.isdecimal() and count.isdecimal()):
            raise ValueError("must be I/N, as 1/2")
        if not 1 <= int(index) <= int(count):
            raise ValueError("I must be from 1 to N")
    return text


class Settings(BaseSettings):
    """All tables."""

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
    influxdb: Annotated[tuple[Influxdb, ...], BeforeValidator(_as_list)] = ()
    lines: Lines | None = None
    archive: Archive | None = None
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

    def archive_or_default(self) -> Archive | None:
        """The archive to write: without another sink, there is always one."""
        has_another = self.influxdb or self.lines
        return self.archive or (None if has_another else Archive())

    def sinks(self) -> list[AnySink]:
        """The table of each sink."""
        tables = (*self.influxdb, self.archive_or_default(), self.lines)
        return [table for table in tables if table is not None]

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
        tables: dict[str, Table | None] = {
            "mqtt": self.mqtt.for_shard(index, count),
            "lines": self.lines and self.lines.numbered(index),
            "spool": self.spool.numbered(index),
            "http": self.http.numbered(index),
        }
        if archive := self.archive_or_default():
            tables["archive"] = archive.numbered(index)
        return self.model_copy(update=tables)

    @model_validator(mode="after")
    def _names_are_unique(self) -> Self:
        names = [table.name for table in self.influxdb] + ["archive", "lines"]
        if twice := {name for name in names if names.count(name) > 1}:
            raise ValueError(
                f"influxdb.name: {', '.join(twice)} is used twice; give another"
            )
        return self


def load(path: Path | None) -> Settings:
    """Read the file, if any, and the environment.

    Raises:
        ConfigError: with one sentence for each problem.
    """
    data = _read_toml(path) if path else {}
    try:
        return Settings(**data).for_shard()
    except ValidationError as error:
        raise ConfigError([_sentence(one) for one in error.errors()]) from None


def read_secret(key: str, path: Path | None) -> str | None:
    """The secret in a file, without the newline at its end.

    Raises:
        ConfigError: naming the key and the file, never the secret.
    """
    if path is None:
        return None
    try:
        secret = path.read_text().rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError([f"{key}: cannot read {path}: {_why(error)}"]) from None
    if not secret:
        raise ConfigError([f"{key}: {path} is empty"])
    return secret


def described() -> Iterator[tuple[str, str, str]]:
    """Each key, as (key, default, meaning), in the order of the tables."""
    yield _row("shard", Settings.model_fields["shard"])
    for table, model in _TABLES.items():
        for name, field in model.model_fields.items():
            yield _row(f"{table}.{name}", field)


def _row(key: str, field: FieldInfo) -> tuple[str, str, str]:
    default = "" if field.is_required() else _default_text(field.default)
    return key, default, field.description or ""


def _default_text(default: Any) -> str:
    return ", ".join(default) if isinstance(default, tuple) else str(default or "")


def env_name(key: str) -> str:
    """The environment variable of a key: ``mqtt.url`` is ``EGIZ_BRIDGE_MQTT_URL``."""
    return ENV_PREFIX + key.replace(".", "_").upper()


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text())
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError([f"--config: cannot read {path}: {_why(error)}"]) from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError([f"{path}: not TOML: {error}"]) from None


_TABLES: dict[str, type[Table]] = {
    "mqtt": Mqtt,
    "influxdb": Influxdb,
    "lines": Lines,
    "archive": Archive,
    "spool": Spool,
    "http": Http,
}


def _sentence(error: ErrorDetails) -> str:
    # [[influxdb]] is counted: influxdb.0.url is influxdb.url to a reader.
    key = ".".join(part for part in error["loc"] if isinstance(part, str))
    message = error["msg"].removeprefix("Value error, ")
    if error["type"] == "extra_forbidden":
        return f"{key}: no such key{_guess(key)}"
    if key in _TABLES or not key:
        return message  # of a table as a whole; it names the key
    return f"{key} ({env_name(key)}): {message}"


def _guess(key: str) -> str:
    known = [name for name, _, _ in described()] + list(_TABLES)
    close = difflib.get_close_matches(key, known, n=1)
    return f"; is {close[0]} meant?" if close else ""


def _why(error: Exception) -> str:
    return getattr(error, "strerror", None) or "not UTF-8 text"
