"""egiz-bridge with a fault: `python sabotaged_bridge.py FAULT run --config FILE`."""

import sys
import threading
import time

from egiz_bridge.cli.main import main
from egiz_bridge.sinks.archive import ArchiveSink

_write = ArchiveSink.write
_AFTER_S = 60.0  # a test kills it before
_counted = 0


def _drops_one_in(many):
    def write(sink, rows):
        global _counted  # noqa: PLW0603  # of this process alone
        kept = []
        for row in rows:
            _counted += row.message.topic.endswith("/telemetry")
            if _counted % many:
                kept.append(row)
        _write(sink, kept)

    return write


def _acknowledge_before_writing(sink, rows):
    def write_later():
        time.sleep(_AFTER_S)
        _write(sink, rows)

    threading.Thread(target=write_later, daemon=True).start()


FAULTS = {
    "drops": _drops_one_in(1000),
    "drops_more": _drops_one_in(50),
    "acknowledges_first": _acknowledge_before_writing,
}

if __name__ == "__main__":
    ArchiveSink.write = FAULTS[sys.argv.pop(1)]
    main()
