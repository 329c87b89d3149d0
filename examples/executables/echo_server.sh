#!/usr/bin/env bash
# An echo server that speaks to fleetiq-wrap, with socat. Run: echo_server.sh PORT
socat "TCP4-LISTEN:$1,bind=127.0.0.1,fork,reuseaddr" EXEC:/bin/cat &
coproc wrap { socat - "UNIX-CONNECT:$FLEETIQ_SOCKET"; }
echo '{"event": "ready"}' >&"${wrap[1]}"
while read -r line <&"${wrap[0]}"; do
    echo "event: $line"
    case $line in
        *'"stop"'*) exit 0 ;;
    esac
done
