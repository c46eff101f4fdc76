"""The settings: as provisioned, and as a configuration changes them."""

from egiz_edge.effective_settings import ConfigError, resolve
from egiz_edge.settings import Settings
from egiz_edge.tls import context

GIVEN = {
    "facility": "factory",
    "device_id": "oven-001",
    "broker": "localhost",
    "publish_rate_ms": 2000,
    "zones": ["2800000000000001"],
}


def _refused(config):
    try:
        resolve(config, GIVEN)
    except ConfigError as error:
        return error.args[0]
    raise AssertionError("resolved")


def test_the_defaults_are_those_of_the_requirements():
    settings = Settings(GIVEN)
    assert settings.sampling_rate_ms == 1000
    assert settings.buffer_size == 100
    assert (settings.host, settings.port) == ("localhost", 1883)
    assert settings.alerts is None


def test_a_config_replaces_all_settings_of_the_one_before():
    settings = Settings(GIVEN)
    settings.update(resolve({"sampling_rate_ms": 500, "publish_rate_ms": 9000}, GIVEN))
    assert (settings.sampling_rate_ms, settings.publish_rate_ms) == (500, 9000)
    settings.update(resolve({"publish_rate_ms": None}, GIVEN))
    assert (settings.sampling_rate_ms, settings.publish_rate_ms) == (1000, 2000)


def test_a_broker_is_a_host_and_perhaps_a_port():
    for text, found in (
        ("10.0.0.1:1884", ("10.0.0.1", 1884)),
        ("broker.local", ("broker.local", 1883)),
    ):
        resolved = resolve({"mqtt_broker": text}, GIVEN)
        assert (resolved["host"], resolved["port"]) == found
    for text in (":1883", "host:x", "host:0", "host:65536", "a:1:2", ""):
        assert _refused({"mqtt_broker": text}) == "mqtt_broker: not host:port"


def test_zones_are_in_the_order_of_their_names():
    one, two = "28ff641e8016044c", "28ff641e8016044d"
    for named in ({one: "top", two: "bottom"}, {two: "bottom", one: "top"}):
        zones = resolve({"zones": named}, GIVEN)["zones"]
        assert zones == [bytes.fromhex(two), bytes.fromhex(one)]
    assert resolve({"zones": {}}, GIVEN)["zones"] == []
    assert resolve({}, GIVEN)["zones"] == [bytes.fromhex("2800000000000001")]
    for rom in ("28ff", "28ff641e8016044", "28ff641e8016044x"):
        assert _refused({"zones": {rom: "top"}}) == f"zones.{rom}: not a ROM id"


def test_an_alert_on_what_is_not_measured_is_refused():
    text = _refused({"alerts": {"electrical_voltage_d": {"max": 1}}})
    assert text == "alerts.electrical_voltage_d: not measured here"


def test_one_message_is_always_kept():
    assert resolve({"buffer_size": 0}, GIVEN)["buffer_size"] == 1


def _credentials(config, **given):
    given.update(GIVEN)
    settings = Settings(given)
    settings.update(resolve(config, given))
    return settings.user, settings.password


def test_without_tls_a_new_broker_gets_no_stored_password():
    stored = {"user": "oven-001", "password": "secret"}
    ours = ("oven-001", "secret")
    assert _credentials({}, **stored) == ours
    assert _credentials({"mqtt_broker": "localhost:1883"}, **stored) == ours
    for broker in ("elsewhere", "localhost:1884"):
        config = {"mqtt_broker": broker}
        assert _credentials(config, **stored) == (None, None)
        allowed = _credentials(config, password_for_any_broker=True, **stored)
        assert allowed == ours
        # With TLS, the broker has shown a certificate of our authority.
        assert _credentials(config, tls={"ca": "ca.der"}, **stored) == ours


def test_without_tls_a_new_network_without_a_key_gets_no_stored_password():
    stored = {"user": "oven-001", "password": "secret", "wifi_ssid": "Factory"}
    config = {"wifi_ssid": "Elsewhere"}
    assert _credentials({"wifi_ssid": "Factory"}, **stored) == ("oven-001", "secret")
    assert _credentials(config, **stored) == (None, None)
    for more in (
        {"wifi_password": "of-this-factory"},  # who does not know it, cannot serve it
        {"password_for_any_broker": True},
        {"tls": {"ca": "ca.der"}},
    ):
        more.update(stored)
        assert _credentials(config, **more) == ("oven-001", "secret")


def test_a_configuration_cannot_have_the_password_sent_by_names_of_settings():
    stored = {"user": "oven-001", "password": "secret"}
    for name, value in (
        ("password_for_any_broker", True),
        ("tls", {"ca": "ca.der"}),
        ("broker", "elsewhere"),
        ("wifi_password", "open sesame"),
    ):
        config = {"mqtt_broker": "elsewhere", name: value}
        assert _credentials(config, **stored) == (None, None), name


def test_tls_that_cannot_be_used_is_never_a_connection_in_clear():
    for wrong in ({}, [], 0, False, "", "ca.der", {"ca": 1}, [[[]]]):
        given = {"tls": wrong}
        given.update(GIVEN)
        settings = Settings(given)
        assert "tls" in settings.unusable
        assert settings.tls
        try:
            context(settings.tls)
            reason = ""
        except OSError as error:
            reason = str(error)
        assert "tls: cannot be used" in reason, wrong


def test_an_emoji_that_is_escaped_as_two_halves_is_one_character():
    oven = "\U0001f525"
    halves = "\ud83d\udd25"
    given = {"wifi_ssid": halves * 8, "user": halves, "wifi_password": "\ud83d12345678"}
    given.update(GIVEN)
    settings = Settings(given)
    assert settings.wifi_ssid == oven * 8  # 32 bytes
    assert settings.user == oven
    assert list(settings.unusable) == ["wifi_password"]  # half a character
