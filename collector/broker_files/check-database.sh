#!/bin/sh
# Puts aside a database that Mosquitto cannot read, such as a full disk leaves: it would not start.
#
# usage: check-database.sh FOLDER
#
# Mosquitto itself is the judge: one that nobody can reach opens the database and is killed before
# it could write. What is put aside is in mosquitto.db.bad, one file, so that it fills no disk.
# Devices send again what was queued in it, and say again that they are online.
set -eu

database=$1/mosquitto.db
[ -r "$database" ] || exit 0

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
{
    echo "listener 0 $work/socket"
    echo "allow_anonymous true"
    echo "persistence true"
    echo "persistence_location $1/"
    echo "autosave_interval 0"
    # or it would give up root before it can make the socket
    if [ "$(id -u)" = 0 ]; then echo "user root"; fi
} >"$work/probe.conf"

mosquitto -c "$work/probe.conf" 2>"$work/log" &
probe=$!
tries=0
while kill -0 "$probe" 2>/dev/null && [ ! -S "$work/socket" ] && [ "$tries" -lt 300 ]; do
    tries=$((tries + 1))
    sleep 0.1
done
kill -KILL "$probe" 2>/dev/null || true
wait "$probe" 2>/dev/null || true

if grep -q "Couldn't open database" "$work/log"; then
    mv "$database" "$database.bad"
    echo "$database cannot be read: put aside as $database.bad" >&2
fi
