#!/bin/sh
# The first process of a container ignores SIGTERM unless it says otherwise: the trap makes a stop quick.
trap 'kill "$server" 2>/dev/null; exit 0' TERM INT
echo "hello ${HELLO_VERSION:-?} on $(hostname), port ${PORT:-80}"
httpd -f -p "${PORT:-80}" -h /www &
server=$!
wait "$server"
