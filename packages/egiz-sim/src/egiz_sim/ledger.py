"""The ledger of a run: every message, published and acknowledged."""

from collections.abc import Iterable
from typing import Any

from rich.console import Console
from rich.table import Table

from egiz_sim.device import Device
from egiz_sim.fleet import Fleet


def ledger(fleet: Fleet) -> dict[str, Any]:
    """What became of every message of a run, ready for JSON.

    ``{"parameters", "totals", "puback_ms", "schedule_lag_ms", "sha256", "devices",
    "balanced"}``: counts are messages, times are milliseconds; `sha256` is of the
    readings, as they were measured; `balanced` is whether every message that was
    published is acknowledged.
    """
    devices = {device.device_id: _counts(device) for device in fleet.devices}
    return {
        "parameters": _parameters(fleet),
        "totals": {
            "published": fleet.published,
            "acknowledged": fleet.acknowledged,
            "unacknowledged": fleet.published - fleet.acknowledged,
            "dropped": fleet.dropped,
            "resent": sum(device["resent"] for device in devices.values()),
            "reconnects": sum(device["reconnects"] for device in devices.values()),
        },
        "puback_ms": percentiles_ms(fleet.latencies_s),
        "schedule_lag_ms": percentiles_ms(fleet.lags_s),
        "sha256": fleet.digest,
        "devices": devices,
        "balanced": fleet.published == fleet.acknowledged,
    }


def _parameters(fleet: Fleet) -> dict[str, Any]:
    return {
        "broker": str(fleet.broker),
        "devices": fleet.plan.devices,
        "rate_hz": fleet.plan.rate_hz,
        "seconds": fleet.plan.seconds,
        "seed": fleet.plan.seed,
        "facility": fleet.plan.facility,
        "start_ms": fleet.started_ms,
        "ramp_s": fleet.plan.ramp_s,
        "sensor_faults": fleet.plan.sensor_faults,
        "updates": dict(fleet.plan.updates),
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


def show(report: dict[str, Any], console: Console) -> None:
    """Print the totals, and the devices with an unacknowledged message."""
    table = Table(title="Ledger", title_justify="left")
    counts = ("published", "acknowledged", "unacknowledged", "dropped", "resent")
    for column in ("", *counts):
        table.add_column(column, justify="left" if not column else "right")
    unbalanced = {
        name: device
        for name, device in report["devices"].items()
        if device["unacknowledged"]
    }
    for name, part in [("all", report["totals"]), *unbalanced.items()]:
        table.add_row(name, *(f"{_total(part[count]):,}" for count in counts))
    console.print(table)
    for name, key in (("PUBACK after", "puback_ms"), ("behind", "schedule_lag_ms")):
        figures = report[key]
        console.print(
            f"{name}: p50 {figures['p50']} ms, p99 {figures['p99']} ms,"
            f" max {figures['max']} ms"
        )
    console.print(
        f"connections that were made again: {report['totals']['reconnects']:,}"
    )
    if brief := [n for n, one in report["devices"].items() if one["brief"] > 1]:
        console.print(
            f"{len(brief):,} devices, as {brief[0]}, lost connections within seconds:"
            " does another client have the same ids? Two runs at one broker do.",
            soft_wrap=True,
        )
    console.print(f"readings: sha256 {report['sha256']}", soft_wrap=True)


def _total(count: int | dict[str, int]) -> int:
    return count if isinstance(count, int) else sum(count.values())


def _counts(device: Device) -> dict[str, Any]:
    published, acknowledged = device.counts.published, device.counts.acknowledged
    return {
        "published": dict(published),
        "acknowledged": dict(acknowledged),
        "unacknowledged": published.total() - acknowledged.total(),
        "dropped": device.dropped,
        "resent": device.publisher.resent + device.counts.resent,
        "sha256": device.digest.hexdigest(),
        "reconnects": max(0, device.publisher.connections - 1),
        "brief": device.publisher.brief,
    }
