"""The faults, one line each, and what the bridge must say of each."""

from typing import NamedTuple

from chaos import actions as do
from chaos.actions import GOOD_TOKEN, Held

BROKER, DATABASE, CLOCK, HTTP = "broker", "database", "clock", "http"
SPOOL, ARCHIVE, DISK = FILES = ("spool", "archive", "disk")

_PROXY_WORDS = "Client sent an HTTP request to an HTTPS server."


class Fault(NamedTuple):
    """What goes wrong, and what an operator must see of it.

    Attributes:
        name: in the report.
        held: begins it, and ends it.
        part: which part it is done to; faults of two parts may come together.
        problem: a regular expression for /readyz; empty: the bridge stays ready, or
            is ready again at once; nothing: it may be ready or not.
        counted: a metric that must rise; empty: none.
        within_s: how soon.
        is_shown_on: whether it is shown for 15 minutes, although it is over.
        needs_run: whether a bridge that is started meanwhile refuses, or forgets it.
        is_alone: whether no other may come meanwhile.
        is_short: whether it is one of `make test`.
    """

    name: str
    held: Held
    part: str
    problem: str | None = None
    counted: str = ""
    within_s: float = 15
    is_shown_on: bool = False
    needs_run: bool = False
    is_alone: bool = False
    is_short: bool = True


def _outage(name: str, held: Held, says: str) -> Fault:
    return Fault(name, held, DATABASE, f"influxdb: .*{says}")


def _bad_token(name: str, content: bytes, says: str) -> Fault:
    return _start_fails(_outage(name, do.token(content), says))


def _lost(name: str, held: Held, part: str) -> Fault:
    problem = f"{part}: .* while the bridge runs"
    counted = f"files_lost_total/{part}"
    return Fault(name, held, part, problem, counted, is_shown_on=True, needs_run=True)


def _damaged(name: str, held: Held, part: str) -> Fault:
    problem = f"{part}: .*renamed to"
    counted = f"files_set_aside_total/{part}"
    return Fault(name, held, part, problem, counted, is_shown_on=True, needs_run=True)


def _jump(shift: str) -> Fault:
    name, problem = f"clock jumps by {shift}", "clock: .* was set by"
    held, counted = do.clock_jumps(shift), "clock_jumps_total"
    return Fault(name, held, CLOCK, problem, counted, is_shown_on=True, needs_run=True)


def _alone(fault: Fault) -> Fault:
    return fault._replace(is_alone=True)


def _slow(fault: Fault) -> Fault:
    return fault._replace(within_s=60, is_short=False)


def _start_fails(fault: Fault) -> Fault:
    return fault._replace(needs_run=True)


_AWAY, _EMPTY = "mqtt: not subscribed: ", ".*is empty"
_WITH_BOM = b"\xef\xbb\xbf\n" + GOOD_TOKEN + b"\r\n"
# What of /readyz is shown on when it is over.
SHOWN_ON = " while the bridge runs|renamed to| was set by "

FAULTS = [
    _outage("database killed", do.database_is_killed, "HTTP 502"),
    _outage("database away", do.database_is_unreachable, "refused"),
    _slow(_outage("database hangs", do.database_hangs, "timed out")),
    _slow(_outage("database suspended", do.database_is_suspended, "")),
    Fault("database unsteady", do.database_is_unsteady, DATABASE),
    _outage("blanket 400", do.answers(400, _PROXY_WORDS), "an HTTPS server"),
    _outage("blanket 400, no words", do.answers(400), "HTTP 400"),
    _outage("blanket 422", do.answers(422, "{}"), "HTTP 422"),
    _outage("blanket 200", do.answers(200, "<html>"), "HTTP 200"),
    _slow(_outage("slow 400", do.answers(400, "", 4), "HTTP 400")),
    _slow(_outage("slow 503", do.answers(503, "", 4), "HTTP 503")),
    _outage("token wrong", do.token(b"bridge:wrong"), "HTTP 401"),
    _bad_token("token empty", b"", "is empty"),
    _bad_token("token garbage", b"\xff\x00\xfe", "UTF-8"),
    _bad_token("token of two lines", b"a:b\nc", "one line"),
    _start_fails(_outage("token removed", do.token_is_removed, "No such file")),
    Fault("token with a BOM", do.token(_WITH_BOM), DATABASE, ""),
    Fault("broker restarted", do.broker_is_restarted, BROKER, _AWAY),
    _alone(Fault("broker killed", do.broker_is_killed, BROKER, _AWAY)),
    Fault("broker away", do.broker_is_unreachable, BROKER, _AWAY),
    _slow(Fault("broker hangs", do.broker_hangs, BROKER, _AWAY)),
    # Read at the next attempt; after three short connections that is up to 16 s away.
    _start_fails(
        Fault(
            "password empty", do.password_is_empty, BROKER, _AWAY + _EMPTY, within_s=20
        )
    ),
    Fault("window small", do.window_is_small, BROKER),
    _lost("spool removed", do.spool_is_removed, SPOOL),
    _lost("spool moved", do.spool_is_moved, SPOOL),
    _lost("spool replaced", do.spool_is_replaced, SPOOL),
    _alone(_lost("spool removed in need", do.spool_with_a_backlog_is_removed, SPOOL)),
    _alone(_damaged("spool overwritten", do.spool_is_overwritten, SPOOL)),
    _start_fails(Fault("no disk: spool", do.disk_is_away("spool"), SPOOL, "spool: ")),
    _lost("archive moved", do.archive_is_moved, ARCHIVE),
    _lost("archive removed", do.archive_is_removed, ARCHIVE),
    _lost("archive replaced", do.archive_is_replaced, ARCHIVE),
    _alone(_damaged("archive overwritten", do.archive_is_overwritten, ARCHIVE)),
    Fault("no disk: archive", do.disk_is_away("archive"), ARCHIVE, "archive: "),
    Fault("disk full", do.disk_is_full, DISK, "spool: ", needs_run=True),
    _jump("+31d"),
    _jump("+20000d"),
    _jump("-2h"),
    Fault("idle connections", do.connections_are_idle, HTTP, ""),
]
