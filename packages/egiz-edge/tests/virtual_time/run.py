"""Runs the firmware in virtual time, after clock.py, and prints its live heap.

The host puts two numbers on top: MINUTES of virtual time to run, and EVERY how many
of them the live heap is printed.
"""

# ruff: noqa: F821  # the names of clock.py and of the host are above


def main(directory, minutes, every):
    """Run it, and print the live heap in bytes."""
    from egiz_edge.main import load  # noqa: PLC0415  # see the imports above

    app = load(directory, directory + "/data", 0, "")
    asyncio.run(_watch(app, minutes, every))


async def _watch(app, minutes, every):
    running = asyncio.create_task(app.run())
    for minute in range(every, minutes + 1, every):
        # Between two samples: little is under way then.
        await asyncio.sleep(minute * 60 + 0.4 - virtual.passed / 1000)
        gc.collect()
        acked = app.uplink.acked
        print("heap", minute, gc.mem_alloc(), acked["telemetry"], acked["status"])
    app.stop()
    await running
    print("ended", len(app.outbox))


main(sys.argv[1], MINUTES, EVERY)
