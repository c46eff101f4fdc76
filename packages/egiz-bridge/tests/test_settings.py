import json

import pytest
from egiz_bridge.config import settings
from egiz_bridge.config.secret import read_secret
from egiz_bridge.errors import ConfigError
from egiz_bridge.mqtt.broker import brokers_of


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch, tmp_path):
    for key, _, _ in settings.described():
        monkeypatch.delenv(settings.env_name(key), raising=False)
    monkeypatch.chdir(tmp_path)


def _problems(path) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        settings.load(path)
    return caught.value.problems


def _file(tmp_path, text: str):
    path = tmp_path / "bridge.toml"
    path.write_text(text)
    return path


def test_nothing_configured_is_localhost_and_an_archive_here():
    loaded = settings.load(None)
    assert str(loaded.mqtt.url) == "mqtt://localhost:1883"
    (archive,) = loaded.sinks()
    assert archive.key == "archive"
    assert str(archive.path) == "egiz-archive.sqlite"
    assert loaded.influxdb == ()


def test_with_a_database_there_is_an_archive_only_if_asked_for(tmp_path):
    influxdb = '[influxdb]\nurl = "http://h:8086"\nbucket = "b"\n'
    alone = settings.load(_file(tmp_path, influxdb)).sinks()
    assert [table.key for table in alone] == ["influxdb"]
    both = settings.load(_file(tmp_path, influxdb + "[archive]\n")).sinks()
    assert [table.key for table in both] == ["influxdb", "archive"]


def test_every_key_can_come_from_the_environment_which_wins(tmp_path, monkeypatch):
    values = {
        "mqtt.url": "mqtts://broker:1884",
        "mqtt.client_id": "c",
        "mqtt.facilities": '["north"]',
        "mqtt.username": "u",
        "mqtt.password_file": "/p",
        "mqtt.ca_file": "/ca",
        "mqtt.certificate_file": "/c",
        "mqtt.key_file": "/k",
        "influxdb.kinds": '["telemetry"]',
        "influxdb.facilities": '["north"]',
        "influxdb.name": "main",
        "influxdb.url": "https://db:8086/",
        "influxdb.api": "v1",
        "influxdb.org": "o",
        "influxdb.bucket": "b",
        "influxdb.database": "d",
        "influxdb.token_file": "/t",
        "influxdb.retention_policy": "year",
        "influxdb.ca_file": "/ca",
        "influxdb.certificate_file": "/c",
        "influxdb.key_file": "/k",
        "influxdb.rewrite_seconds": "20",
        "line_protocol.kinds": '["status"]',
        "line_protocol.facilities": '["south"]',
        "line_protocol.path": "-",
        "archive.kinds": '["status"]',
        "archive.facilities": '["south"]',
        "archive.path": "/a",
        "archive.retention_days": "7",
        "spool.path": "/s",
        "spool.max_bytes": "2000000",
        "spool.max_age_days": "9",
        "http.listen": "127.0.0.1:1",
    }
    # `shard` is of no table: test_workers.py.
    assert ["shard", *values] == [key for key, _, _ in settings.described()]
    for key, value in values.items():
        monkeypatch.setenv(settings.env_name(key), value)
    loaded = settings.load(_file(tmp_path, '[mqtt]\nclient_id = "of the file"\n'))
    for key, value in values.items():
        table, name = key.split(".")
        (given,) = loaded.influxdb if table == "influxdb" else [getattr(loaded, table)]
        found = getattr(given, name)
        is_list = type(found) is tuple
        text = json.dumps(found) if is_list else str(found)
        assert text == value, key


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('[mqtt]\nulr = "x"', "mqtt.ulr: no such key; is mqtt.url meant?"),
        ("[mqqt]", "mqqt: no such key; is mqtt meant?"),
        ("[mqtt]\nurl = 'http://x'", "mqtt.url (EGIZ_BRIDGE_MQTT_URL): must be mqtt"),
        ("[mqtt]\nurl = 'mqtt://me:secret@h'", "mqtt.url (EGIZ_BRIDGE_MQTT_URL): must"),
        (
            "[mqtt]\nurl = 'mqtt://h:\u0661'",
            "mqtt.url (EGIZ_BRIDGE_MQTT_URL): port must",
        ),
        ("[mqtt]\nurl = 5", "mqtt.url (EGIZ_BRIDGE_MQTT_URL): must be a text"),
        ("[influxdb]\nbucket = 'b'", "influxdb.url (EGIZ_BRIDGE_INFLUXDB_URL): Field"),
        ("[influxdb]\nurl = 'http://x'", "influxdb.bucket: needed with api = 'v2'"),
        (
            "[influxdb]\nurl = 'http://x'\napi = 'v1'",
            "influxdb.database: needed with api = 'v1'",
        ),
        (
            "[archive]\nfacilities = ['North']",
            "archive.facilities (EGIZ_BRIDGE_ARCHIVE_FACILITIES): 'North' is no",
        ),
        (
            "[line_protocol]\npath='-'\nkinds = ['all']",
            "line_protocol.kinds (EGIZ_BRIDGE_LINE_PROTOCOL_KINDS)",
        ),
        (
            2 * "[[influxdb]]\nurl='http://x'\nbucket='b'\n",
            "influxdb.name: influxdb is",
        ),
        (
            "[archive]\npath = 'x.sqlite'\n[spool]\npath = './x.sqlite'",
            "archive.path: is the file of spool.path; give another",
        ),
        (
            "[archive]\npath = 'x'\n[line_protocol]\npath = 'x'",
            "archive.path: is the file of line_protocol.path",
        ),
        ("[mqtt]\nca_file = '/ca'", "mqtt.ca_file: is for TLS"),
        (
            "[influxdb]\nurl='http://x'\nbucket='b'\nca_file='/ca'",
            "influxdb.ca_file: is for TLS; url must be https://",
        ),
        (
            "[influxdb]\nurl='https://x'\nbucket='b'\nkey_file='/k'",
            "influxdb.certificate_file: needed with influxdb.key_file",
        ),
        (
            "[influxdb]\nurl='http://x'\nbucket='b'\nretention_policy='year'",
            "influxdb.retention_policy: is for api = 'v1'",
        ),
        (
            "[mqtt]\nurl = 'mqtts://h'\nkey_file = '/k'",
            "mqtt.certificate_file: needed with mqtt.key_file",
        ),
        ("[spool]\nmax_bytes = 5", "spool.max_bytes (EGIZ_BRIDGE_SPOOL_MAX_BYTES)"),
        ("[http]\nlisten = '9471'", "http.listen (EGIZ_BRIDGE_HTTP_LISTEN): must be"),
        ("[mqtt]\npassword_file = '/p'", "mqtt.username: needed with"),
        ("[archive]\nretention_days = -1", "archive.retention_days (EGIZ_BRIDGE_"),
    ],
)
def test_a_problem_starts_with_the_name_of_its_key(tmp_path, text, problem):
    (message,) = _problems(_file(tmp_path, text))
    assert message.startswith(problem)
    assert "secret" not in message


def test_all_problems_are_reported_at_once(tmp_path):
    text = "[mqtt]\nurl = 'x://y'\n[http]\nlisten = 'z'\n"
    assert len(_problems(_file(tmp_path, text))) == 2


def test_a_missing_file_and_bad_toml_name_the_file(tmp_path):
    assert "none.toml: No such file" in _problems(tmp_path / "none.toml")[0]
    assert "bridge.toml: not TOML" in _problems(_file(tmp_path, "= 1"))[0]
    dots = ".".join("a" * 20_000)
    assert "not TOML: line 1: more than" in _problems(_file(tmp_path, dots))[0]
    deep = "a = " + "[" * 100_000
    assert "bridge.toml: not TOML: nested" in _problems(_file(tmp_path, deep))[0]


def test_a_byte_order_mark_of_an_editor_does_no_harm(tmp_path):
    path = _file(tmp_path, "\ufeff[mqtt]\nurl = 'mqtt://h:1884'\n")
    assert settings.load(path).mqtt.url[0].port == 1884


def test_a_secret_is_read_without_its_newline(tmp_path):
    path = tmp_path / "token"
    path.write_text("s3cret\n")
    assert read_secret("influxdb.token_file", path) == "s3cret"
    path.write_text("\n")
    with pytest.raises(ConfigError, match=r"influxdb\.token_file: .* is empty"):
        read_secret("influxdb.token_file", path)


def test_an_ipv6_broker_is_connected_to_without_its_brackets(tmp_path):
    loaded = settings.load(_file(tmp_path, "[mqtt]\nurl = 'mqtt://[::1]:1884'"))
    assert brokers_of(loaded.mqtt)[0].host == "::1"
    assert str(loaded.mqtt.url) == "mqtt://[::1]:1884"


@pytest.mark.parametrize(
    "written", ["'mqtt://a, mqtt://b:1884'", "['mqtt://a', 'mqtt://b:1884']"]
)
def test_a_broker_may_have_several_addresses(tmp_path, monkeypatch, written):
    loaded = settings.load(_file(tmp_path, f"[mqtt]\nurl = {written}"))
    assert str(loaded.mqtt.url) == "mqtt://a:1883, mqtt://b:1884"
    assert [str(one) for one in brokers_of(loaded.mqtt)] == ["a:1883", "b:1884"]
    monkeypatch.setenv("EGIZ_BRIDGE_MQTT_URL", "mqtt://c,mqtt://d")
    assert str(settings.load(None).mqtt.url) == "mqtt://c:1883, mqtt://d:1883"


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("'mqtt://a,mqtts://b'", "all must be mqtt://, or all mqtts://"),
        ("'mqtt://a,http://b'", "must be mqtt://host:port"),
        ("'mqtt://a,mqtt://u:secret@b'", "must not carry a user or password"),
        ("[]", "must be a text"),
        ("','", "must be a text"),
        ("[1]", "must be a text"),
    ],
)
def test_each_address_of_the_broker_is_checked(tmp_path, written, message):
    (problem,) = _problems(_file(tmp_path, f"[mqtt]\nurl = {written}"))
    assert problem.startswith("mqtt.url (EGIZ_BRIDGE_MQTT_URL): ")
    assert message in problem
    assert "secret" not in problem


@pytest.mark.parametrize(
    ("content", "secret"),
    [
        (b"\xef\xbb\xbfabc\n", "abc"),  # an editor's byte order mark
        (b"abc\r\n", "abc"),
        (b"abc\n\n\r\n", "abc"),
        (b"\n\nabc\n", "abc"),  # blank lines around it
        (b" a b \n", " a b "),
        ("bridge:па\n".encode(), "bridge:па"),
        ("\ufefföäü€\r\n".encode(), "öäü€"),
    ],
)
def test_a_secret_is_what_an_editor_or_a_paste_meant(tmp_path, content, secret):
    (tmp_path / "token").write_bytes(content)
    assert read_secret("influxdb.token_file", tmp_path / "token") == secret


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"s3cret\ndef\n", "must be one line"),
        (b"s3cret\r\n\r\ndef", "must be one line"),
        (b"s3cret\x00", "must be one line of text"),
        (b"s3cret\xff\xe9\n", "not UTF-8 text"),
        ("s3cret\n".encode("utf-16"), "not UTF-8 text"),
        (b"\xef\xbb\xbf\r\n", "is empty"),
    ],
)
def test_a_secret_that_cannot_be_used_is_refused_and_not_shown(
    tmp_path, content, problem
):
    (tmp_path / "token").write_bytes(content)
    with pytest.raises(ConfigError, match=r"influxdb\.token_file: ") as caught:
        read_secret("influxdb.token_file", tmp_path / "token")
    assert problem in str(caught.value)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    "text", ["north,south", " north, south ,", '["north", "south"]', "north,south,"]
)
def test_a_list_in_the_environment_needs_no_json(monkeypatch, text):
    monkeypatch.setenv("EGIZ_BRIDGE_MQTT_FACILITIES", text)
    monkeypatch.setenv("EGIZ_BRIDGE_ARCHIVE_FACILITIES", text)
    monkeypatch.setenv("EGIZ_BRIDGE_ARCHIVE_KINDS", "telemetry,command")
    loaded = settings.load(None)
    assert loaded.mqtt.facilities == ("north", "south")
    assert loaded.archive.facilities == ("north", "south")
    assert loaded.archive.kinds == ("telemetry", "command")


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("ARCHIV_PATH", "/a", "no such environment variable; is EGIZ_BRIDGE_ARCHIVE_"),
        ("MQTT_ULR", "x", "no such environment variable; is EGIZ_BRIDGE_MQTT_URL"),
        ("XYZ", "x", "no such environment variable"),
        ("MQTT_FACILITIES", "north,South", "'South' is no facility"),
        ("MQTT_FACILITIES", '["north', "mqtt.facilities"),
        ("MQTT", "x", "not JSON"),
    ],
)
def test_a_variable_that_cannot_be_used_is_refused_in_a_sentence(
    monkeypatch, name, value, problem
):
    monkeypatch.setenv(f"EGIZ_BRIDGE_{name}", value)
    (message,) = _problems(None)
    assert problem in message


def test_the_variables_of_a_service_of_kubernetes_are_not_ours(monkeypatch):
    for name in ("SERVICE_HOST", "SERVICE_PORT", "SERVICE_PORT_HTTP", "PORT"):
        monkeypatch.setenv(f"EGIZ_BRIDGE_{name}", "tcp://10.0.0.1:9471")
    monkeypatch.setenv("EGIZ_BRIDGE_PORT_9471_TCP_ADDR", "10.0.0.1")
    assert settings.load(None).http.address == ("127.0.0.1", 9471)


@pytest.mark.parametrize("command", ["run", "check"])
def test_a_start_with_wrong_settings_names_file_key_and_what_to_write(
    tmp_path, launch, command
):
    config = _file(tmp_path, "[mqtt]\nurl = 'broker'\n")
    process = launch("egiz-bridge", command, "--config", str(config))
    assert process.wait() == 2
    first, second = process.output().splitlines()
    assert first == f"Settings of {config} and the environment cannot be used:"
    assert second.startswith(
        "mqtt.url (EGIZ_BRIDGE_MQTT_URL): must be mqtt://host:port"
    )


def test_a_start_without_a_file_names_the_environment(launch):
    process = launch("egiz-bridge", "run", env={"EGIZ_BRIDGE_MQTT_URL": "broker"})
    assert process.wait() == 2
    first = process.output().splitlines()[0]
    assert first == "Settings of the environment cannot be used:"
