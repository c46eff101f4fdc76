#!/usr/bin/python3
"""Create the database and the three accounts of InfluxDB 1; can be repeated.

    CREDENTIALS_DIRECTORY=/etc/egiz/secrets accounts.py http://127.0.0.1:8086

egiz-influxdb.service runs it after each start of InfluxDB. It makes the database
`factory`, which keeps data for EGIZ_RETENTION (as 30d, 52w or INF; 30d by default), and

    admin          everything; used by this program alone
    bridge         may write `factory`, not read it
    grafana        may read `factory`, not write it

each with the password that the file `influxdb-USER` of CREDENTIALS_DIRECTORY holds, as
USER:PASSWORD. A changed file changes the password: to rotate one, replace the file and
restart. That of `admin` is the exception, because this program logs in with it.

The retention of a database that is there stays as it is, also if it was changed by
hand. It is changed only if EGIZ_RETENTION is another one than at the last run, which
STATE_DIRECTORY remembers.

Exit codes: 0 database and accounts exist, 1 the database refuses or does not answer
(60 s), 2 wrong usage. Needs Python 3.11 and nothing else.
"""

import base64
import http.client
import json
import os
import re
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

DATABASE = "factory"
RETENTION = re.compile(r"[1-9][0-9]*[hdw]|INF")
ACCOUNTS = {"bridge": "WRITE", "grafana": "READ"}
DAY_H, WEEK_H = 24, 168
ANSWER_WITHIN_S = 60.0
# A proxy of the environment does not reach this machine, and would read the passwords.
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class RefusedError(Exception):
    """The database refused or did not answer; the text says what to do."""


def main(arguments: list[str]) -> int:
    """Exit code."""
    if len(arguments) != 1 or arguments[0] in ("-h", "--help"):
        sys.stderr.write(__doc__ or "")
        return 0 if arguments in (["-h"], ["--help"]) else 2
    try:
        _create_all(arguments[0].rstrip("/"))
    except RefusedError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def _create_all(url: str) -> None:
    admin = _password("admin")
    _wait_for(url)
    # As long as there is no user, this statement is allowed without a login; afterwards
    # to `admin` only, and then it changes nothing.
    create = f"CREATE USER admin WITH PASSWORD {_text(admin)} WITH ALL PRIVILEGES"
    _ask(url, admin, create)
    _make_database(url, admin)
    users = {row[0] for row in _ask(url, admin, "SHOW USERS")}
    for user, right in ACCOUNTS.items():
        text = _text(_password(user))
        change = f'SET PASSWORD FOR "{user}" = {text}'
        create = f'CREATE USER "{user}" WITH PASSWORD {text}'
        _ask(url, admin, change if user in users else create)
        _ask(url, admin, f'GRANT {right} ON "{DATABASE}" TO "{user}"')


def _make_database(url: str, admin: str) -> None:
    wanted = os.environ.get("EGIZ_RETENTION", "") or "30d"
    if not RETENTION.fullmatch(wanted):
        raise RefusedError(f"EGIZ_RETENTION={wanted}: a number and h, d or w; or INF")
    state = os.environ.get("STATE_DIRECTORY", "")
    record = Path(state) / "retention" if state else None
    # Half a record, of a full disk, is none: a retention changed by hand must stay.
    last = (record.read_text() if record and record.exists() else "") or wanted
    if [DATABASE] not in _ask(url, admin, "SHOW DATABASES"):
        # Again with another one would be an error, also after a change by hand.
        _ask(url, admin, f'CREATE DATABASE "{DATABASE}" WITH DURATION {wanted}')
    elif last != wanted:
        policy = f'RETENTION POLICY "autogen" ON "{DATABASE}"'
        # Shards keep their length, and a shorter retention than that is refused; of a
        # longer one there would be hundreds.
        shard = f"SHARD DURATION {_shard_h(wanted)}h"
        _ask(url, admin, f"ALTER {policy} DURATION {wanted} {shard}")
    if record:
        _write(record, wanted)


def _shard_h(retention: str) -> int:
    """Hours of a shard, as InfluxDB has them for a new database."""
    if retention == "INF":
        return WEEK_H
    hours = int(retention[:-1]) * {"h": 1, "d": DAY_H, "w": WEEK_H}[retention[-1]]
    if hours < 2 * DAY_H:
        return 1
    return DAY_H if hours < 180 * DAY_H else WEEK_H


def _write(path: Path, text: str) -> None:
    new = path.with_suffix(".new")
    try:
        new.write_text(text)
        new.replace(path)
    except OSError as error:
        raise RefusedError(f"{path}: {error.strerror}") from error


def _password(user: str) -> str:
    directory = os.environ.get("CREDENTIALS_DIRECTORY", "")
    path = Path(directory) / f"influxdb-{user}"
    try:
        text = path.read_text().strip().removeprefix(f"{user}:")
    except OSError as error:
        raise RefusedError(f"{path}: {error.strerror}") from error
    except UnicodeDecodeError:
        raise RefusedError(f"{path} is not text") from None
    if not text:  # the database would accept it, from everybody
        raise RefusedError(f"{path} has no password in it")
    return text


def _wait_for(url: str) -> None:
    until = time.monotonic() + ANSWER_WITHIN_S
    while True:
        try:
            OPENER.open(f"{url}/ping", timeout=5).close()
        except (OSError, http.client.HTTPException) as error:
            if isinstance(error, urllib.error.HTTPError):
                error.close()
            if time.monotonic() > until:
                raise RefusedError(f"{url} does not answer: {error}") from error
            time.sleep(0.2)
        else:
            return


def _ask(url: str, password: str, statement: str) -> list[list[str]]:
    """Rows of the answer. No statement is ever part of a message: it may be secret."""
    login = base64.b64encode(f"admin:{password}".encode()).decode()
    request = urllib.request.Request(
        f"{url}/query",
        urllib.parse.urlencode({"q": statement}).encode(),
        {"Authorization": f"Basic {login}"},
    )
    try:
        with OPENER.open(request, timeout=30) as answer:
            (result,) = json.load(answer)["results"]
    except urllib.error.HTTPError as error:
        raise RefusedError(
            f"{url}: {_reason(error)}; does influxdb-admin hold the password of admin?"
        ) from error
    except OSError as error:
        raise RefusedError(f"{url} does not answer: {error}") from error
    except (http.client.HTTPException, ValueError, TypeError, KeyError):
        raise RefusedError(f"{url} is no InfluxDB 1: what listens there?") from None
    if "error" in result:
        raise RefusedError(f"{url}: {result['error']}")
    return [row for one in result.get("series", []) for row in one.get("values", [])]


def _reason(error: urllib.error.HTTPError) -> str:
    with error:
        try:
            return str(json.load(error)["error"])
        except (ValueError, TypeError, KeyError):  # it is another server
            return f"{error.code} {error.reason}"


def _text(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
