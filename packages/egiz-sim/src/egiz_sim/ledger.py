"""The ledger of a run: every message, published and acknowledged."""

from collections.abc import Iterable
from typing import Any

from rich.console import Console
from rich.table import Table

from egiz_sim.device import Device
from egiz_sim.fleet import Fleet


def ledger(fleet: Fleet) -> dict[str, Any]:
    """What a run amounts to, ready for JSON.

    ``{"parameters", "totals", "puback_ms", "schedule_lag_ms", "devices", "balanced"}``:
    counts are messages, times are milliseconds; `balanced` is whether every message
    that was published is acknowledged.
    """
    devices = {device.device_id: _account(device) for device in fleet.devices}
    return {
        "parameters": {
            "broker": str(fleet.broker),
            "devices": fleet.plan.devices,
            "rate_hz": fleet.plan.rate_hz,
            "seconds": fleet.plan.seconds,
            "seed": fleet.plan.seed,
            "facility": fleet.plan.facility,
            "start_ms": fleet.started_ms,
        },
        "totals": {
            "published": fleet.published,
            "acknowledged": fleet.acknowledged,
            "unacknowledged": fleet.published - fleet.acknowledged,
            "resent": sum(device["resent"] for device in devices.values()),
            "reconnects": sum(device["reconnects"] for device in devices.values()),
        },
        "puback_ms": percentiles_ms(fleet.latencies_s),
        "schedule_lag_ms": percentiles_ms(fleet.lags_s),
        "devices": devices,
        "balanced": fleet.published == fleet.acknowledged,
    }


def percentiles_ms(seconds: Iterable[float]) -> dict[str, float | None]:
    """p50, p99 and max in milliseconds; None of nothing."""
    ordered = sorted(seconds)
    if not ordered:
        return {"p50": None, "p99": None, "max": None}

    def at(share: float) -> float:
        return round(
            1000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))], 3
        )

    return {"p50": at(0.5), "p99": at(0.99), "max": at(1.0)}


def show(told: dict[str, Any], console: Console) -> None:
    """Print the totals, and the devices whose accounts do not balance."""
    table = Table(title="Ledger", title_justify="left")
    for column in ("", "published", "acknowledged", "unacknowledged", "resent"):
        table.add_column(column, justify="left" if not column else "right")
    open_accounts = {
        name: device
        for name, device in told["devices"].items()
        if device["unacknowledged"]
    }
    for name, account in [("all", told["totals"]), *open_accounts.items()]:
        counts = ("published", "acknowledged", "unacknowledged", "resent")
        table.add_row(name, *(f"{_total(account[count]):,}" for count in counts))
    console.print(table)
    for name, key in (("PUBACK after", "puback_ms"), ("behind", "schedule_lag_ms")):
        figures = told[key]
        console.print(
            f"{name}: p50 {figures['p50']} ms, p99 {figures['p99']} ms,"
            f" max {figures['max']} ms"
        )


def _total(count: int | dict[str, int]) -> int:
    return count if isinstance(count, int) else sum(count.values())


def _account(device: Device) -> dict[str, Any]:
    published, acknowledged = device.account.published, device.account.acknowledged
    return {
        "published": dict(published),
        "acknowledged": dict(acknowledged),
        "unacknowledged": published.total() - acknowledged.total(),
        "resent": device.publisher.resent,
        "reconnects": max(0, device.publisher.connections - 1),
    }
