#!/bin/sh
# with-secrets.sh NAME=FILE... -- COMMAND...: run a program that takes secrets from its
# environment only. They are in that of the process, not in the container's configuration,
# which everybody who may ask Docker can read.
set -eu
while [ "$1" != -- ]; do
  name=${1%%=*} file=${1#*=}
  value=$(cat "$file")
  export "$name=$value"
  shift
done
shift
exec "$@"
