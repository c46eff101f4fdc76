"""The password of a Wi-Fi, as WPA2 has it: up to 63 bytes, or a key in hexadecimal."""

from egiz_edge.settings_check import problems


def _is_right(password):
    given = {"facility": "bakery", "device_id": "oven-001", "broker": "broker.lan"}
    given["wifi_password"] = password
    return problems(given) == {}


def test_a_password_of_8_to_63_bytes_is_right():
    for password in ("12345678", "x" * 63, "ä" * 31 + "x"):
        assert _is_right(password), password
    for password in ("1234567", "ä" * 3, 12345678):
        assert not _is_right(password), password


def test_of_64_bytes_it_is_a_key_in_hexadecimal_digits():
    for key in ("0123456789abcdef" * 4, "09AFaf78" * 8):
        assert _is_right(key), key
    for key in ("x" * 64, "ä" * 32, "0" * 63 + "g", "0" * 63 + " ", "0" * 65):
        assert not _is_right(key), key
