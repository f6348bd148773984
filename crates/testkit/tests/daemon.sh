#!/bin/sh
# Behaves like the daemon as far as a test's keeper of daemons can tell.
if [ "$1" != serve ]; then echo "$@ in $XDG_DATA_HOME with ${SECRET:-none}"; exit 3; fi
if grep -q broken "$3"; then echo "unknown key: broken" >&2; exit 1; fi
echo "callsheet is listening on $ADDRESS"
echo "config: $(cat "$3") rest: $4" >&2
exec sleep 600
