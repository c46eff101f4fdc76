"""Boards.

A port gives a `Board` with the same members, whatever the hardware:

`uart`      asyncio stream pair (reader, writer), 9600 baud 8N1
`onewire`   `convert()`, `read_scratchpad(rom)`: both coroutines
`pins`      name -> object with `value()`, 0 or 1
`clock`     `now_ms()` since 1970 UTC, `is_synced()`
`wifi`      `connect()` (coroutine), `rssi()` in dBm or None
`store`     `get(key)`, `put(key, value)`: small values that outlive a reset
"""
