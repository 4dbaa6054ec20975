#!/bin/sh
# Installs this folder as the machine's broker; again after every change. Run as root.
set -eu
cd "$(dirname "$0")"

to=${DESTDIR:-}@FOLDER@
unit=${DESTDIR:-}/etc/systemd/system/mosquitto.service.d
before=$(cat "$to/mosquitto.conf" "$unit/vedette.conf" 2>/dev/null | cksum)

# Mosquitto reads its files as its own user, and warns of an access list that is another's
if [ "$(id -u)" = 0 ]; then set -- -o mosquitto -g mosquitto; else set --; fi
install -d -m 750 "$@" "$to"
install -m 600 "$@" mosquitto.conf acl ca.pem cert.pem key.pem crl.pem "$to"
install -m 755 check-database.sh "$to"
install -d "$unit"
install -m 644 vedette.conf "$unit"

if [ "$before" = "$(cat "$to/mosquitto.conf" "$unit/vedette.conf" | cksum)" ]; then
    systemctl reload-or-restart mosquitto # reads access list, revocations and certificates again
else
    systemctl daemon-reload
    systemctl enable mosquitto
    systemctl restart mosquitto
fi
