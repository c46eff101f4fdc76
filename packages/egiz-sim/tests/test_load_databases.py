"""What the observer of a load finds in each database, written here line by line."""

import asyncio
import time
import urllib.error
import urllib.request

import pytest
from egiz_sim.load.observer import Observer, ObserverError
from egiz_sim.load.stores import archive, database
from rig.process import free_port
from rig.waiting import eventually

BOOT = 1_795_000_000
# Number = seq * 2 devices + device; message 4 of the first device is stored twice.
EXPECTED = [0, 1, 2, 3, 4, 5, 6, 7, 8, 8, 9]


def lines(now_ms, facility="load", boot=BOOT, devices=("oven-001", "silo-001")):
    """Five messages of each device; the last of the first device is there twice."""
    made = []
    for number, name in enumerate(devices):
        tags = f"facility={facility},device_id={name},device_type=oven"
        for at, seq in enumerate([0, 1, 2, 3, 4, 4] if number == 0 else range(5)):
            fields = f"boot={boot}i,seq={seq}i,thermal_setpoint=1.5"
            made.append(f"telemetry,{tags} {fields} {now_ms + at}")
    return made


def observed(store, write):
    """Numbers of the messages that the observer sees, in the order of seeing."""
    seen = []

    async def observe():
        order = {"facility": "load", "boot": BOOT}
        order["devices"] = ["oven-001", "silo-001"]
        observer = Observer(
            store.module, store.order | order, lambda number, _: seen.append(number)
        )
        try:
            await observer.start()
            await asyncio.to_thread(write)
            await asyncio.to_thread(eventually, lambda: len(seen) >= len(EXPECTED))
            await observer.stop()
        finally:
            await observer.kill()

    asyncio.run(observe())
    return seen


def written(server):
    """The messages of this load, and others that are not of it."""
    now_ms = time.time_ns() // 1_000_000
    made = lines(now_ms) + lines(now_ms, facility="factory")
    made += lines(now_ms - 5000, boot=BOOT - 1)
    made += lines(now_ms, devices=("mixer-001", "mixer-002"))
    made.append(
        "telemetry,facility=load,device_id=oven-001,device_type=oven"
        f" thermal_setpoint=1.5 {now_ms + 100}"
    )
    server.write("\n".join(made).encode())


def test_each_message_is_found_once_in_influxdb_1(influxdb):
    url = f"influxdb1://{influxdb.host}:{influxdb.port}/{influxdb.database}"
    seen = observed(database(url, None), lambda: written(influxdb))
    assert sorted(seen) == EXPECTED


def test_each_message_is_found_once_in_victoriametrics(victoriametrics):
    class Writer:
        @staticmethod
        def write(made):
            url = f"{victoriametrics.url}/api/v2/write?precision=ms"
            urllib.request.urlopen(url, made, timeout=10).close()
            victoriametrics.get("/internal/force_flush")

    url = f"victoriametrics://{victoriametrics.host}:{victoriametrics.port}"
    assert sorted(observed(database(url, None), lambda: written(Writer))) == EXPECTED


@pytest.mark.parametrize(
    "url",
    [
        "influxdb1://127.0.0.1:{}/factory",
        "influxdb2://127.0.0.1:{}/egiz/factory",
        "victoriametrics://127.0.0.1:{}",
    ],
)
def test_a_database_that_is_not_there_is_a_reason(url, caplog):
    store = database(url.format(free_port()), "secret")
    with pytest.raises(ObserverError, match="the database cannot be read") as caught:
        observed(store, lambda: None)
    assert "secret" not in str(caught.value)
    assert "Traceback" not in str(caught.value)
    assert caplog.records == []  # nothing else is on the terminal


@pytest.mark.parametrize(
    "url",
    [
        *("", "x", "http://h/db", "influxdb1://h", "influxdb1://h/a/b"),
        *("influxdb2://h/only-org", "victoriametrics://h/path", "influxdb1:///db"),
        *(
            "influxdb1+ftp://h/db",
            "influxdb1://u:password@h/db",
            "influxdb2://h/o/b?x=1",
        ),
        *("influxdb1://h:99999/db", "influxdb1://[/db", "influxdb1://h:0x/db"),
    ],
)
def test_what_is_no_database_is_an_error_without_the_secret(url):
    with pytest.raises(ValueError, match=r".") as caught:
        database(url, None)
    assert "password" not in str(caught.value)


def test_urls_of_databases_are_read(tmp_path):
    assert database("influxdb2+https://h/my%20org/b", "t").order == {
        "kind": "influxdb2",
        "url": "https://h:8086",
        "username": None,
        "secret": "t",
        "org": "my org",
        "bucket": "b",
    }
    assert database("victoriametrics://[::1]:1", None).order["url"] == "http://[::1]:1"
    # The root of a name is in no certificate.
    assert (
        database("influxdb1+https://h.lan./b", "t").order["url"] == "https://h.lan:8086"
    )
    assert database("influxdb1://h.lan./b", "t").order["url"] == "http://h.lan.:8086"
    assert archive(tmp_path / "a").order == {"path": str(tmp_path / "a")}
