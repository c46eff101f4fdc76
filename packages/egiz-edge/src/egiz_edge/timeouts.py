"""How long the device waits before it draws a conclusion, in milliseconds."""

STATUS_MS = 60000  # between two status messages when nothing changes
TRIAL_MS = 120000  # for a changed network to lead to the broker
STALL_MS = 30000  # on top of its period, until a task counts as stalled
SETTLED_MS = 60000  # of running well, until a boot counts as good
RESTART_MS = 1000  # after a task has failed
