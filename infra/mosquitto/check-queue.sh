#!/bin/sh
# Before the broker starts, as its user: can it read the sessions and queues that it saved?
# Mosquitto starts without a file that it may not read, and soon saves over it; with one that
# a power failure damaged it never starts.
file=${1:-/var/lib/mosquitto/mosquitto.db}
broker=${2:-/usr/sbin/mosquitto}
directory=$(dirname "$file")
stop() {
  printf '%s: %s; not started, so that no queue is lost: %s\n' "$1" "$2" "$3" >&2
  exit 1
}
own="chown -R $(id -un): $directory"

{ [ -d "$directory" ] && [ -x "$directory" ] && [ -w "$directory" ]; } ||
  stop "$directory" 'is no directory that the broker can write to' "$own"
# A link that leads nowhere, too.
[ -e "$file" ] || [ -L "$file" ] || exit 0
{ [ -f "$file" ] && [ -r "$file" ]; } || stop "$file" 'is no file that the broker can read' "$own"

# A second broker reads it, which listens nowhere and is ended before it saves anything.
# With a second name of the file: 2.1 follows no link, and replaces what it cannot read.
rm -rf "$directory"/.check.*
scratch=$(mktemp -d "$directory/.check.XXXXXX") || exit 0
trap 'rm -rf "$scratch"' EXIT
ln "$file" "$scratch/mosquitto.db" || exit 0
printf 'listener 0 %s/socket\nallow_anonymous false\nuser %s\npersistence true\npersistence_location %s/\n' \
  "$scratch" "$(id -un)" "$scratch" >"$scratch/conf"
: >"$scratch/log"
"$broker" -c "$scratch/conf" >"$scratch/log" 2>&1 &
while kill -0 $! 2>/dev/null && ! grep -q ' running$' "$scratch/log"; do sleep 0.05; done
kill -KILL $! 2>/dev/null
wait $! 2>/dev/null

case $(cat "$scratch/log") in
  *'Unsupported persistent database format'*)
    stop "$file" 'was saved by a newer broker' 'install that one again, or move the file away' ;;
  *"Couldn't open database"* | *'file is empty'*)
    damaged=$file.damaged-$(date +%Y%m%d-%H%M%S)
    mv "$file" "$damaged" || exit 1
    printf '%s is damaged, by a power failure or a full disk: it is %s now. The broker starts without it:
sessions, what waited in their queues, and retained messages are lost; bridge and devices begin new sessions\n' \
      "$file" "$damaged" >&2 ;;
esac
