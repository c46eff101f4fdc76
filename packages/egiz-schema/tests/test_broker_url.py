"""One parser reads every broker address, and never shows a password."""

import string
from urllib.parse import quote

import pytest
from egiz_schema import BrokerUrl, parse_broker_url
from egiz_schema.orders import split_host_port
from hypothesis import given
from hypothesis import strategies as st

SECRET = "Xq7Secret"

CHARACTERS = string.ascii_letters + string.digits + "_-"
PARTS = st.text(CHARACTERS, min_size=1, max_size=63)
IPS = st.ip_addresses().map(str)
KNOWN_HOSTS = st.lists(PARTS, min_size=1, max_size=3).map(".".join) | IPS
HOSTS = st.text(CHARACTERS + ".", min_size=1, max_size=253) | IPS
PORTS = st.integers(1, 65535)
TEXTS = st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=40)


@given(
    st.sampled_from(["mqtt", "mqtts"]),
    KNOWN_HOSTS,
    PORTS,
    st.none() | st.tuples(TEXTS.filter(bool), st.none() | TEXTS),
)
def test_every_address_that_is_written_is_read_back(scheme, host, port, credentials):
    username, password = credentials or (None, None)
    userinfo = "" if username is None else quote(username, safe="")
    if password is not None:
        userinfo += ":" + quote(password, safe="")
    written = f"[{host}]" if ":" in host else host
    url = f"{scheme}://{userinfo}{'@' if credentials else ''}{written}:{port}"
    expected = BrokerUrl(scheme, host, port, username, password)
    assert parse_broker_url(url) == expected
    assert parse_broker_url(url + "/") == expected
    assert parse_broker_url(str(expected)) == BrokerUrl(scheme, host, port)


@pytest.mark.parametrize("host", [".", "a..b", ".a", "a" * 64, "a." + "b" * 64])
def test_a_host_that_no_look_up_accepts_is_refused(host):
    with pytest.raises(ValueError, match="1 to 63 characters"):
        parse_broker_url(f"mqtt://{host}:1")


@given(st.text() | st.text(":/@[]%?#.mqtsab019 \n\0\u0661", max_size=30))
def test_any_text_gives_an_address_or_a_sentence(text):
    for candidate in (text, "mqtt://" + text):
        try:
            url = parse_broker_url(candidate)
        except ValueError as error:
            assert 10 < len(str(error)) < 120  # noqa: PT017  # other texts are addresses
        else:
            assert url.host
            assert 1 <= url.port <= 65535


@given(HOSTS, st.none() | PORTS)
def test_host_and_port_are_read_back(host, port):
    written = f"[{host}]" if ":" in host else host
    text = written if port is None else f"{written}:{port}"
    assert split_host_port(text) == (host, port)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("mqtt://h", ("mqtt", "h", 1883, None, None)),
        ("mqtts://h", ("mqtts", "h", 8883, None, None)),
        ("MQTT://h", ("mqtt", "h", 1883, None, None)),
        ("mqtt://[::1]", ("mqtt", "::1", 1883, None, None)),
        ("mqtts://[fe80::1]:1", ("mqtts", "fe80::1", 1, None, None)),
        ("mqtt://user@h:65535", ("mqtt", "h", 65535, "user", None)),
        ("mqtt://user:pa:ss@h", ("mqtt", "h", 1883, "user", "pa:ss")),
        ("mqtt://user:p@ss@h", ("mqtt", "h", 1883, "user", "p@ss")),
        ("mqtt://user:@h", ("mqtt", "h", 1883, "user", "")),
        ("mqtt://u%40x:a%3Ab%2F@h", ("mqtt", "h", 1883, "u@x", "a:b/")),
    ],
)
def test_an_address_is_read(text, expected):
    url = parse_broker_url(text)
    found = (url.scheme, url.host, url.port, url.username, url.password)
    assert found == expected


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", "mqtt://host:port"),
        ("h:1883", "mqtt://host:port"),
        ("http://h", "mqtt://host:port"),
        ("mqtt:h", "mqtt://host:port"),
        ("mqtt://", "no host"),
        ("mqtt://:1883", "no host"),
        (f"mqtt://user:{SECRET}@", "no host"),
        (f"mqtt://user:{SECRET}", "port must be"),
        (f"mqtt://user:{SECRET}@h:0", "port must be 1 to 65535"),
        (f"mqtt://user:{SECRET}@h:65536", "port must be 1 to 65535"),
        (f"mqtt://user:{SECRET}@h:-1", "port must be"),
        (f"mqtt://user:{SECRET}@h:+1", "port must be"),
        (f"mqtt://user:{SECRET}@h:", "port must be"),
        (f"mqtt://user:{SECRET}@h:1_0", "port must be"),
        (f"mqtt://user:{SECRET}@h:" + "9" * 1000, "port must be"),
        (f"mqtt://user:{SECRET}@h:\u0661\u0662", "port must be"),
        (f"mqtt://user:{SECRET}@h:²", "port must be"),
        (f"mqtt://user:{SECRET}@h h", "space"),
        (f" mqtt://user:{SECRET}@h", "space"),
        (f"mqtt://user:{SECRET}@h\n", "control character"),
        (f"mqtt://user:{SECRET}@h\0", "control character"),
        (f"mqtt://user:{SECRET}%00@h", "%00"),
        (f"mqtt://user:{SECRET}%zz@h", "%25"),
        (f"mqtt://user:{SECRET}%ff@h", "UTF-8"),
        (f"mqtt://user:{SECRET}/x@h", "%2F"),
        (f"mqtt://user:{SECRET}@h/topic", "after the port"),
        (f"mqtt://:{SECRET}@h", "no user"),
        (f"mqtt://user:{SECRET}@fábrica", "host must be"),
        (f"mqtt://user:{SECRET}@::1", "brackets"),
        (f"mqtt://user:{SECRET}@[::1", "IPv6"),
        (f"mqtt://user:{SECRET}@[::1]1883", "after ]"),
        (f"mqtt://user:{SECRET}@[1::2::3]", "IPv6"),
        (f"mqtt://user:{SECRET}@[10.0.0.1]", "IPv6"),
        ("mqtt://" + "h" * 254, "host must be"),
        (f"mqtt://user:{SECRET * 300}@h", "too long"),
    ],
)
def test_a_wrong_address_is_refused_with_the_fix_and_without_the_password(text, named):
    with pytest.raises(ValueError, match=r"\w") as caught:
        parse_broker_url(text)
    assert named in str(caught.value)
    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_password_is_never_shown():
    url = parse_broker_url(f"mqtt://user:{SECRET}@h")
    assert SECRET not in repr(url)
    assert SECRET not in str(url)
    assert SECRET not in f"{url}"


@pytest.mark.parametrize("text", ["", ":1", "h:", "h:0", "[x", "a b", "::1", "[::1]x"])
def test_a_refusal_of_a_config_fits_into_a_status(text):
    with pytest.raises(ValueError, match=r"\w") as caught:
        split_host_port(text)
    assert len("mqtt_broker: " + str(caught.value)) <= 64
