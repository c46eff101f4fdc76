#!/bin/sh
# with-secrets.sh NAME=FILE... -- COMMAND...: run a program that reads secrets from its
# environment only. They are in the environment of the process, not in the configuration of
# the container, which every user of Docker can read.
set -eu
while [ "$1" != -- ]; do
  name=${1%%=*} file=${1#*=}
  value=$(cat "$file")
  export "$name=$value"
  shift
done
shift
exec "$@"
