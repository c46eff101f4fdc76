"""The tables of the configuration, and what each key means."""

from pathlib import Path
from typing import Annotated, Any, Self, TypeVar

import msgspec
from egiz_schema import BrokerUrl, explain, parse_broker_url, topics
from egiz_schema.broker_url import check_host_name
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    UrlConstraints,
    field_validator,
    model_validator,
)
from pydantic.networks import AnyUrl
from pydantic_settings import NoDecode

_PORT_MAX = 65535
# Of MQTT (1.5.4): two bytes say the length.
STRING_BYTES_MAX = 65_535
DAYS_MAX = 36_500  # a century; 0 is for ever
_Url = TypeVar("_Url", AnyUrl, BrokerUrl)


def checked_host(host: str) -> str:
    """As it is; raises ValueError for what cannot be looked up."""
    check_host_name(host)
    return host


def _with_host(url: AnyUrl) -> AnyUrl:
    checked_host(str(url.host))
    return url


def _without_query(url: AnyUrl) -> AnyUrl:
    if url.query is not None or url.fragment is not None:
        raise ValueError("must not carry a query (?...): other keys say where to write")
    return url


def _facility(name: str) -> str:
    if not topics.is_facility(name):
        raise ValueError(f"{name!r} is no facility: {explain('bad_facility')}")
    return name


def _without_password(url: _Url) -> _Url:
    if url.username or url.password:
        raise ValueError(
            "must not carry a user or password; they have keys of their own"
        )
    return url


def _packed(text: str) -> str:
    if len(text.encode()) > STRING_BYTES_MAX:
        raise ValueError(f"has more than {STRING_BYTES_MAX:,} bytes")
    return text


class BrokerUrls(tuple[BrokerUrl, ...]):
    """The addresses of one broker, or of the nodes of a cluster."""

    __slots__ = ()

    def __str__(self) -> str:
        return ", ".join(map(str, self))


def _broker_urls(value: object) -> BrokerUrls:
    texts = _listed(value)
    if not isinstance(texts, list | tuple) or not texts:
        raise ValueError("must be a text: mqtt://host:port")
    urls = BrokerUrls(map(_broker_url, texts))
    if len({url.scheme for url in urls}) > 1:
        raise ValueError("all must be mqtt://, or all mqtts://")
    return urls


def _broker_url(text: object) -> BrokerUrl:
    if not isinstance(text, str):
        raise ValueError("must be a text: mqtt://host:port")  # noqa: TRY004  # pydantic's
    return _without_password(parse_broker_url(text))


MqttUrls = Annotated[
    BrokerUrls,
    NoDecode,  # a text in the environment, not JSON
    PlainValidator(_broker_urls),
]
HttpUrl = Annotated[
    AnyUrl,
    UrlConstraints(allowed_schemes=["http", "https"], host_required=True),
    AfterValidator(_without_password),
    AfterValidator(_with_host),
    AfterValidator(_without_query),
]


def _listed(value: object) -> object:
    """A list may be written in one line: the environment has no other way."""
    if not isinstance(value, str):
        return value
    if value.lstrip().startswith("["):
        return msgspec.json.decode(value)
    return [part.strip() for part in value.split(",") if part.strip()]


# Of a list in the environment: names with commas between them, or JSON.
IN_ONE_LINE = (NoDecode, BeforeValidator(_listed))
FacilityName = Annotated[str, AfterValidator(_facility)]
FacilityNames = Annotated[tuple[FacilityName, ...], *IN_ONE_LINE]


class Table(BaseModel):
    """A table: no unknown keys, no changes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @field_validator("*")
    @classmethod
    def _without_nul(cls, value: Any) -> Any:
        if isinstance(value, str | Path) and "\0" in str(value):
            raise ValueError("must not hold a NUL character")
        return value


class Mqtt(Table):
    """The broker."""

    url: MqttUrls = Field(
        default=BrokerUrls([parse_broker_url("mqtt://localhost:1883")]),
        description="the broker: mqtt://host:port, or mqtts://host:port with TLS; "
        "several, with commas, are tried in turn",
    )
    client_id: str = Field(
        default="egiz-bridge",
        min_length=1,
        max_length=64,
        description="names the session that the broker keeps for this bridge; "
        "two bridges must not share one",
    )
    facilities: FacilityNames = Field(
        default=(),
        description="subscribe to these only, which --workers and shard divide; "
        "none given means all",
    )
    username: Annotated[str, AfterValidator(_packed)] | None = Field(
        default=None, description="the account to log in with"
    )
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

    def for_shard(self, index: int, count: int) -> Self:
        """The `index`-th of `count` parts."""
        part = {
            "client_id": f"{self.client_id}-{index}",
            "facilities": self.facilities[index - 1 :: count],
        }
        return self.model_copy(update=part)

    @model_validator(mode="after")
    def _belongs_together(self) -> Self:
        if self.password_file and not self.username:
            raise ValueError("mqtt.username: needed with mqtt.password_file")
        if self.key_file and not self.certificate_file:
            raise ValueError("mqtt.certificate_file: needed with mqtt.key_file")
        for key in ("ca_file", "certificate_file"):
            if getattr(self, key) and self.url[0].scheme != "mqtts":
                raise ValueError(f"mqtt.{key}: is for TLS; mqtt.url must be mqtts://")
        return self


class WithFile(Table):
    """A table with a file."""

    path: Path

    def numbered(self, index: int) -> Self:
        """The same with a file of its own; stdout is shared."""
        if str(self.path) == "-":
            return self
        own = self.path.with_stem(f"{self.path.stem}-{index}")
        return self.model_copy(update={"path": own})


class Spool(WithFile):
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
        le=DAYS_MAX,
        description="drop what has waited for longer, as the database would; a time "
        "without a running bridge does not count; 0 keeps all",
    )


class Http(Table):
    """Where /metrics, /healthz and /readyz are served."""

    listen: Annotated[str, AfterValidator(lambda text: _address(text) and text)] = (
        Field(
            default="127.0.0.1:9471",
            description="address:port; port 0 selects any free one",
        )
    )

    @property
    def address(self) -> tuple[str, int]:
        """(host, port)."""
        return _address(self.listen)

    def numbered(self, index: int) -> Self:
        """The same on the `index`-th port from here."""
        host, _, port = self.listen.rpartition(":")
        own = int(port) and int(port) + index - 1
        return self.model_copy(update={"listen": f"{host}:{own}"})


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    is_url = any(mark in host for mark in "/@")  # it may hold a password
    if not host or is_url or not port.isdecimal() or int(port) > _PORT_MAX:
        raise ValueError("must be address:port, as 127.0.0.1:9471")
    return checked_host(host.strip("[]")), int(port)
