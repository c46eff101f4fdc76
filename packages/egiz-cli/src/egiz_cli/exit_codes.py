"""The exit codes of every program, in one table."""

DONE = 0
FAILED = 1
USAGE = 2
INTERRUPTED = 130  # 128 + SIGINT, as a shell has it
PIPE_CLOSED = 141  # 128 + SIGPIPE, as a shell has it

MEANINGS = {
    DONE: "done; all is well",
    FAILED: "the answer is no, or something that it needs failed",
    USAGE: "wrong usage: an option, an argument, the configuration or a file",
    INTERRUPTED: "interrupted with Ctrl-C before it was done",
    PIPE_CLOSED: "nothing reads its output any more, as after `| head -1`",
}
