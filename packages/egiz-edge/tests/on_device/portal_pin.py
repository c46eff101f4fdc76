"""The PIN of the portal and its counter."""

from egiz_edge.portal.pin import Pin


class Store:
    """A board's; a power cut may come before any `put`."""

    def __init__(self):
        self.kept = {}
        self.writes = 0

    def get(self, key):
        return self.kept.get(key)

    def put(self, key, text):
        self.writes += 1
        self.kept[key] = text

    def delete(self, key):
        self.kept.pop(key, None)


def test_only_the_whole_pin_is_right():
    pin = Pin(Store(), "123456", False)
    for text in ("", "12345", "1234567", "123457", "023456", "abcdef", "é23456"):
        assert not pin.is_right(text)
        assert pin.is_right("123456")  # which begins the count again
    assert not pin.is_locked


def test_a_wrong_one_is_counted_before_it_is_known_to_be_wrong():
    store = Store()

    def cut(key, text):
        store.kept[key] = text
        raise OSError("the power is cut")

    store.put = cut
    for count in range(1, 4):
        try:
            Pin(store, "123456", False).is_right("000000")
        except OSError:
            assert store.kept == {"wrong_pins": str(count)}


def test_five_wrong_ones_lock_it_and_a_power_on_gives_one_try():
    store = Store()
    pin = Pin(store, "123456", True)
    for _ in range(5):
        assert not pin.is_locked
        assert not pin.is_right("000000")
    assert pin.is_locked
    assert Pin(store, "123456", False).is_locked  # a reset
    pin = Pin(store, "123456", True)
    assert not pin.is_locked
    assert not pin.is_right("000000")
    assert pin.is_locked
    assert Pin(store, "123456", True).is_right("123456")
    assert store.kept == {}


def test_a_damaged_count_locks():
    store = Store()
    store.kept["wrong_pins"] = "x"
    assert Pin(store, "123456", False).is_locked
    assert not Pin(store, "123456", True).is_locked
