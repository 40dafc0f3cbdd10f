#!/bin/sh
# stop (engine): leaves a mark that the program is about to be ended.
. /scripts/lib.sh
fail_as_asked stop

: > /data/stopped
