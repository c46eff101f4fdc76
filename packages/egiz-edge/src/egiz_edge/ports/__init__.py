"""Boards.

A port gives a `Board` with the same members, whatever the hardware. Readings are bytes
as the wire has them; the drivers decode them.

Buses:

`uart`      asyncio stream pair (reader, writer), 9600 baud 8N1
`onewire`   `convert()` starts all thermometers; `read_scratchpad(rom)` gives nine
            bytes, or none if no part answers the reset pulse; `search()` gives the ROM
            ids (8 bytes each) of those that are there, at most 32; `is_parasitic(rom)`
            says whether one has no supply. All are coroutines.
`spi`       `await read(cs_name, n)`: n bytes, read while that chip is selected;
            names are `tc_0`, `tc_1`, `tc_2`
`pins`      name -> object with `value()`: 1 when its contact is closed, else 0. Names
            are `running`, `fault`, `input_3` and `button`.

The world:

`clock`     `now_ms()` since 1970, UTC, an int; `set_ms(ms)` sets it; `is_synced()` says
            whether it was set since power-on. One that was not runs from the year 2000.
`wifi`      `configure(ssid, password)`: what to join, not kept over a reset;
            `connect()`, a coroutine, joins it or raises OSError within 15 s, and
            returns immediately if it is joined; `is_up()`; `rssi()` in dBm and
            `ip()` as text, or None; `name_servers()`: those that the network gave, as
            pairs of an address and a port. It never reconnects by itself.
`access_point()`  the board's own network, which only the portal loads: `start(ssid,
            key)` opens it, with WPA2; `stop()`; `clients()`: how many are in it;
            `address` and `ports` of the portal there, for HTTP and DNS; `scan()`: the
            networks that are near, as (name in bytes, dBm, whether it is open)

What outlives a reset:

`store`     `get(key)` gives a text or None, `put(key, text)`, `delete(key)`. Keys have
            at most 15 characters, texts 1024 bytes (ValueError). Meant for what is
            seldom written; a power cut leaves the old or the new text.
`data_directory`  path of a directory in flash, for files

Survival:

`watchdog`  `feed()`; the first call arms it; without another one within 30 s it resets
            the board
`reboot()`  resets the board; does not return
`reset_cause()`   why this boot: `power_on` (and brownout), `reboot` (ordered),
            `watchdog`, `crash` (a reset that was not ordered), `soft_reset` (from the
            console), `unknown`
`identify(on)`    lights the board's LED
`chip_id()`       what the manufacturer wrote into this chip, as hex digits; the same
                  whatever settings and firmware the board gets
"""

ROMS_MAX = 32  # a damaged line can find hundreds, for which there is no memory
_STORE_KEY_MAX = 15  # characters; what NVS can do
STORE_TEXT_MAX = 1024  # bytes


def check_stored(key, text):
    """Raise ValueError for what a store cannot keep."""
    if len(key) > _STORE_KEY_MAX or len(text.encode()) > STORE_TEXT_MAX:
        raise ValueError("store: %s is too long" % key)
