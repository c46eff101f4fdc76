"""Timeouts and periods of the device, in milliseconds."""

TRIAL_MS = 120000  # for a changed network to lead to the broker
STALL_MS = 30000  # on top of its period, until a task counts as stalled
BLOCKED_MS = 10000  # that a TLS handshake or an erase of flash may block all tasks
CONFIRM_MS = 60000  # of running well, until a boot is confirmed
RESTART_MS = 1000  # after a task has failed
