"""The configuration: one model from which file, environment and help are read.

Every key can stand in a TOML file and in the environment, which wins:
``[mqtt] client_id`` is ``EGIZ_BRIDGE_MQTT_CLIENT_ID``. Secrets are in files only.
"""

import difflib
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from egiz_schema import Kind, topics
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    UrlConstraints,
    ValidationError,
    model_validator,
)
from pydantic.networks import AnyUrl
from pydantic_core import ErrorDetails
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from egiz_bridge.errors import ConfigError

ENV_PREFIX = "EGIZ_BRIDGE_"

_PORT_MAX = 65535


# What is archived unless somebody asks for more.
ALL_READINGS: tuple[Kind, ...] = ("telemetry", "status")


def _facility(name: str) -> str:
    if not topics.is_facility(name):
        raise ValueError(f"{name!r} is no facility: words of a-z, 0-9, _ and hyphens")
    return name


def _some(kinds: tuple[Kind, ...]) -> tuple[Kind, ...]:
    if not kinds:
        raise ValueError("at least one is needed")
    return kinds


def _as_several(tables: Any) -> Any:
    return [tables] if isinstance(tables, dict | Influxdb) else tables


def _without_password(url: AnyUrl) -> AnyUrl:
    if url.username or url.password:
        raise ValueError(
            "must not carry a user or password; they have keys of their own"
        )
    return url


MqttUrl = Annotated[
    AnyUrl,
    UrlConstraints(allowed_schemes=["mqtt", "mqtts"], host_required=True),
    AfterValidator(_without_password),
]
HttpUrl = Annotated[
    AnyUrl,
    UrlConstraints(allowed_schemes=["http", "https"], host_required=True),
    AfterValidator(_without_password),
]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Mqtt(_Table):
    """The broker."""

    url: MqttUrl = Field(
        default=AnyUrl("mqtt://localhost:1883"),
        description="the broker: mqtt://host:port, or mqtts://host:port with TLS",
    )
    client_id: str = Field(
        default="egiz-bridge",
        min_length=1,
        max_length=64,
        description="names the session that the broker keeps for this bridge; "
        "two bridges must not share one",
    )
    username: str | None = Field(default=None, description="who to log in as")
    password_file: Path | None = Field(
        default=None, description="file that holds the password of username"
    )
    ca_file: Path | None = Field(
        default=None,
        description="PEM file of the authority that signed the broker's certificate; "
        "without it, those that this machine trusts",
    )
    certificate_file: Path | None = Field(
        default=None, description="PEM file that this bridge shows to the broker"
    )
    key_file: Path | None = Field(
        default=None,
        description="PEM file of its private key, if that is not in certificate_file",
    )

    @model_validator(mode="after")
    def _belongs_together(self) -> Self:
        if self.password_file and not self.username:
            raise ValueError("mqtt.username: needed with mqtt.password_file")
        if self.key_file and not self.certificate_file:
            raise ValueError("mqtt.certificate_file: needed with mqtt.key_file")
        for key in ("ca_file", "certificate_file"):
            if getattr(self, key) and self.url.scheme != "mqtts":
                raise ValueError(f"mqtt.{key}: is for TLS; mqtt.url must be mqtts://")
        return self


class SinkTable(_Table):
    """What every sink has: which messages go to it."""

    kinds: Annotated[tuple[Kind, ...], AfterValidator(_some)] = Field(
        default=ALL_READINGS,
        description="which messages it gets: telemetry, status, config, command",
    )
    facilities: tuple[Annotated[str, AfterValidator(_facility)], ...] = Field(
        default=(), description="of which facilities; none given means all"
    )


class Influxdb(SinkTable):
    """InfluxDB, or VictoriaMetrics. Give the table and it is written to.

    Several, each with a name of its own, are [[influxdb]] tables.
    """

    name: str = Field(
        default="influxdb",
        pattern=r"\A[a-z0-9_-]{1,32}\z",
        description="in metrics, logs and the spool; needed if there are several",
    )
    url: HttpUrl = Field(description="the server, as http://host:8086")
    api: Literal["v2", "v1"] = Field(
        default="v2",
        description="v2 (InfluxDB 2 and 3, VictoriaMetrics) or v1 (InfluxDB 1)",
    )
    org: str = Field(default="", description="organisation (v2)")
    bucket: str = Field(default="", description="bucket (v2, required)")
    database: str = Field(default="", description="database (v1, required)")
    token_file: Path | None = Field(
        default=None,
        description="file that holds the token (v2), or user:password (v1)",
    )

    @model_validator(mode="after")
    def _names_where_to_write(self) -> Self:
        needed = "bucket" if self.api == "v2" else "database"
        if not getattr(self, needed):
            raise ValueError(f"influxdb.{needed}: needed with api = {self.api!r}")
        return self


class Lines(SinkTable):
    """Line protocol, appended to a file. Give the table and it is written to."""

    name: ClassVar[str] = "lines"

    path: Path = Field(description="the file, or - for stdout")


class Archive(SinkTable):
    """The SQLite archive. Written to if given, or if there is no other sink."""

    name: ClassVar[str] = "archive"

    path: Path = Field(
        default=Path("egiz-archive.sqlite"), description="the SQLite file"
    )
    retention_days: int = Field(
        default=30, ge=0, description="delete what was received before; 0 keeps all"
    )


AnySink = Influxdb | Archive | Lines


class Spool(_Table):
    """What waits on this disk while a database is away, and dead letters."""

    path: Path = Field(default=Path("egiz-spool.sqlite"), description="the SQLite file")
    max_bytes: int = Field(
        default=1024**3,
        ge=1024**2,
        description="when it is full, nothing is acknowledged until there is room",
    )
    max_age_days: int = Field(
        default=30,
        ge=0,
        description="drop what has waited for longer, as the database would; 0 keeps "
        "all",
    )


class Http(_Table):
    """Where /metrics, /healthz and /readyz are served."""

    listen: Annotated[str, AfterValidator(lambda text: _address(text) and text)] = (
        Field(
            default="127.0.0.1:9471",
            description="address:port; port 0 takes any free one",
        )
    )

    @property
    def address(self) -> tuple[str, int]:
        """(host, port)."""
        return _address(self.listen)


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or int(port) > _PORT_MAX:
        raise ValueError("must be address:port, as 127.0.0.1:9471")
    return host.strip("[]"), int(port)


class Settings(BaseSettings):
    """All tables."""

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX,
        env_nested_delimiter="_",
        env_nested_max_split=1,
        extra="forbid",
        frozen=True,
    )

    mqtt: Mqtt = Mqtt()
    influxdb: Annotated[tuple[Influxdb, ...], BeforeValidator(_as_several)] = ()
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

    @model_validator(mode="after")
    def _names_are_unique(self) -> Self:
        names = [table.name for table in self.influxdb] + ["archive", "lines"]
        if twice := {name for name in names if names.count(name) > 1}:
            raise ValueError(
                f"influxdb.name: {', '.join(twice)} is taken; give another"
            )
        return self


def load(path: Path | None) -> Settings:
    """Read the file, if any, and the environment.

    Raises:
        ConfigError: with one sentence for each problem.
    """
    data = _read_toml(path) if path else {}
    try:
        return Settings(**data)
    except ValidationError as fault:
        raise ConfigError([_sentence(error) for error in fault.errors()]) from None


def read_secret(key: str, path: Path | None) -> str | None:
    """The secret in a file, without the newline at its end.

    Raises:
        ConfigError: naming the key and the file, never the secret.
    """
    if path is None:
        return None
    try:
        secret = path.read_text().rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as fault:
        raise ConfigError([f"{key}: cannot read {path}: {_why(fault)}"]) from None
    if not secret:
        raise ConfigError([f"{key}: {path} is empty"])
    return secret


def described() -> Iterator[tuple[str, str, str]]:
    """Each key, as (key, default, meaning), in the order of the tables."""
    for table, model in _TABLES.items():
        for name, field in model.model_fields.items():
            default = "" if field.is_required() else _told(field.default)
            yield f"{table}.{name}", default, field.description or ""


def _told(default: Any) -> str:
    return ", ".join(default) if isinstance(default, tuple) else str(default or "")


def env_name(key: str) -> str:
    """The environment variable of a key: ``mqtt.url`` is ``EGIZ_BRIDGE_MQTT_URL``."""
    return ENV_PREFIX + key.replace(".", "_").upper()


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text())
    except (OSError, UnicodeDecodeError) as fault:
        raise ConfigError([f"--config: cannot read {path}: {_why(fault)}"]) from None
    except tomllib.TOMLDecodeError as fault:
        raise ConfigError([f"{path}: not TOML: {fault}"]) from None


_TABLES: dict[str, type[_Table]] = {
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
    told = error["msg"].removeprefix("Value error, ")
    if error["type"] == "extra_forbidden":
        return f"{key}: no such key{_guess(key)}"
    if key in _TABLES or not key:
        return told  # of a table as a whole; it names the key
    return f"{key} ({env_name(key)}): {told}"


def _guess(key: str) -> str:
    known = [name for name, _, _ in described()] + list(_TABLES)
    close = difflib.get_close_matches(key, known, n=1)
    return f"; is {close[0]} meant?" if close else ""


def _why(fault: Exception) -> str:
    return getattr(fault, "strerror", None) or "not UTF-8 text"
