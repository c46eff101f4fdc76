import io

from egiz_bridge.log import Lossy, RateLimitedLog


def test_a_cause_is_logged_at_powers_of_two_until_it_is_over():
    limited = RateLimitedLog()
    logged = [limited.due("disk") for _ in range(40)]
    assert [times for times in logged if times] == [1, 2, 4, 8, 16, 32]
    assert limited.due("other") == 1
    limited.over("disk")
    limited.over("never heard of")
    assert limited.due("disk") == 1


class _FullDisk(io.StringIO):
    def write(self, text):
        raise OSError(28, "No space left on device", text)

    def flush(self):
        raise OSError(28, "No space left on device")


def test_a_log_on_a_full_disk_loses_lines_and_ends_nothing():
    log = Lossy(_FullDisk())
    log.write("a line\n")
    log.flush()
    stream = io.StringIO()
    Lossy(stream).write("a line\n")
    assert stream.getvalue() == "a line\n"
