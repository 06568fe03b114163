#!/bin/sh
# What answered: version, host name and addresses, one a line.
printf 'Content-Type: text/plain\r\n\r\n'
echo "version: $(cat /etc/hello-version)"
echo "host: $(hostname)"
ip -o addr show scope global 2>/dev/null | while read -r _ link _ address _; do
    echo "address: ${address%/*} on ${link%%@*}"
done
