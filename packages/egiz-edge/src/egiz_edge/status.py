"""The status message; in memory only while one is written."""

from egiz_schema.limits import WIRE_VERSION

from egiz_edge import payloads
from egiz_edge.report import FIRMWARE_VERSION

# What the device can do besides measuring: the actions of actions.py.
_CAN = (
    '["reboot","identify","sample_now","reset_energy","factory_reset","ota","rollback",'
    '"portal"]'
)


def message(report, state, outcomes, codes):
    """As bytes.

    Args:
        report: the `Report`.
        state: `online` or `offline`.
        outcomes: JSON members on the last config and the last command.
        codes: fault codes beside those of the last telemetry message.
    """
    board, text = report.board, payloads.text
    health = report.health()
    codes = list(codes) + list(report.faults)
    if codes:
        health.append(payloads.names("fault_codes", codes))
    members = [
        payloads.member("schema", text("%d" % WIRE_VERSION)),
        payloads.member("firmware_version", text(FIRMWARE_VERSION)),
        payloads.group("health", health),
    ]
    if board.clock.is_synced():
        members.append('"timestamp":%d,"ms":%d' % divmod(_stamp_ms(report), 1000))
    members.append(payloads.member("reset_cause", text(report.cause)))
    members.append(payloads.member("board", text(board.chip_id())))
    members.append(payloads.member("can", _CAN))
    ip = board.wifi.ip()
    if ip is not None:
        members.append(payloads.member("ip", text(ip)))
    if report.sensors:
        members.append(payloads.names("sensors", report.sensors))
    members.extend(outcomes)
    return payloads.status(report.device_id, state, report.boot, members)


def _stamp_ms(report):
    """Now, or a little later: two of one instant are one point in a database."""
    now_ms = report.board.clock.now_ms()
    if 0 <= report.last_ms - now_ms < 1000:  # else the clock was set back
        now_ms = report.last_ms + 1
    report.last_ms = now_ms
    return now_ms
