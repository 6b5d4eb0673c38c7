#!/bin/sh
# where.sh -- runs a suite where its tool is installed, else says that it is not
#
#     sh tests/where.sh TOOL COMMAND...
tool=$1
shift
suite=$*
suite=${suite##* }
. tests/lib.sh
have "$tool" && exec "$@"
lack "$suite" "$tool"
closing
