"""The form of the portal: decoded, merged and checked."""

from egiz_edge.portal import form

OLD = {
    "wifi_ssid": "Factory",
    "wifi_password": "a password",
    "device_id": "oven-001",
    "facility": "bakery",
    "broker": "10.0.0.2",
    "user": "oven-001",
    "password": "secret",
    "zones": ["28000000000000ff"],
    "tls": {"ca": "/ca.der"},
}
AS_SHOWN = {
    "network": "Factory",
    "device_id": "oven-001",
    "facility": "bakery",
    "broker": "10.0.0.2",
    "user": "oven-001",
}


def _changed(old=OLD, **fields):
    given = dict(AS_SHOWN)
    given.update(fields)
    return form.settings(given, old)


def test_a_form_is_decoded_as_browsers_encode_it():
    body = b"network=B%C3%BCro+%3C2%3E&key=a%26b%3Dc%2B&pin=&other"
    expected = {"network": "Büro <2>", "key": "a&b=c+", "pin": "", "other": ""}
    assert form.fields(body) == expected
    for damaged in (b"a=%", b"a=%4", b"a=%zz", b"a=%ff", b"%=1"):
        try:
            form.fields(damaged)
        except ValueError:
            continue
        raise AssertionError(damaged)


def test_empty_fields_keep_what_was_there_and_what_the_form_does_not_know_stays():
    new, wrong = _changed()
    assert wrong == set()
    assert new == dict(OLD, port=1883)


def test_a_password_does_not_follow_to_another_network_user_or_broker():
    assert "wifi_password" not in _changed(network="Open")[0]
    assert "password" not in _changed(broker="10.0.0.3")[0]
    assert "password" not in _changed(broker="10.0.0.2:1884")[0]
    assert "password" not in _changed(user="another")[0]
    new, _ = _changed(user="")
    assert "user" not in new
    assert "password" not in new
    assert _changed(broker="10.0.0.3", password="new")[0]["password"] == "new"
    assert _changed(network="", other="Hidden", key="another key")[0][
        "wifi_password"
    ] == ("another key")


def test_a_password_alone_can_be_changed():
    assert _changed(key="another key")[0] == dict(
        OLD, port=1883, wifi_password="another key"
    )
    assert _changed(password="new")[0] == dict(OLD, port=1883, password="new")


def test_a_network_without_a_password_now_loses_the_one_that_was_kept():
    assert _changed(open="on")[0].get("wifi_password") is None
    assert _changed(open="on", key="another key")[0]["wifi_password"] == "another key"
    assert _changed(open="")[0]["wifi_password"] == "a password"


def test_the_port_of_a_broker_stays_with_it():
    old = dict(OLD, port=8883)
    assert _changed(old, broker="10.0.0.2:8883")[0]["port"] == 8883
    assert _changed(old, broker="10.0.0.2")[0]["port"] == 8883
    assert _changed(old, broker="10.0.0.3")[0]["port"] == 1883
    for text in ("10.0.0.2:", "10.0.0.2:0", "10.0.0.2:65536", "10.0.0.2:-1", "a:1:2"):
        assert _changed(old, broker=text)[1] == {"broker"}, text


def test_a_certificate_names_the_device():
    old = dict(OLD, tls={"ca": "/ca.der", "cert": "/cert.der", "key": "/key.der"})
    assert _changed(old, device_id="oven-002")[0]["device_id"] == "oven-001"
    assert _changed(device_id="oven-002")[0]["device_id"] == "oven-002"


def test_without_settings_each_field_that_is_missing_is_named():
    new, wrong = form.settings({}, {})
    assert wrong == {"network", "device_id", "facility", "broker"}
    assert new == {"port": 1883}
