"""How many connections this process may have."""

import resource

import click

_FILES_BESIDE_SOCKETS = 64


def allow_sockets(count: int) -> None:
    """Raise the soft limit of open files, or say who can."""
    wanted = count + _FILES_BESIDE_SOCKETS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard not in (-1, resource.RLIM_INFINITY) and hard < wanted:
        raise click.UsageError(
            f"--devices {count} needs {wanted} open files, and this account may have"
            f" {hard}: raise it with `ulimit -Hn` or LimitNOFILE"
        )
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
