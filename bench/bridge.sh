#!/bin/sh
# usage: bridge.sh TEST_BINARY, in the repository's root
#
# The figures of the bridge, which are benchmarks of cmd/limpet: messages per
# second into Kafka, and how long a push takes. What other programs of the
# machine take of its cores shows in the latencies more than the gateway does.
# So the pushes run twice: as they come, and, where that is allowed, with
# gateway, broker and clients at a real-time priority, which leaves the rest of
# the machine what they do not need. The load before each run is printed.
set -eu
binary=$(realpath "$1")
cd cmd/limpet

run() {
	echo
	echo "\$ $*"
	echo "load of the machine before: $(cut -d' ' -f1-3 /proc/loadavg)"
	"$@" 2>&1 | grep -v -e '^PASS' -e '^goos' -e '^goarch' -e '^pkg'
}

shown() { sed "s|$binary|cmd/limpet.test|"; }

bench="-test.run ^\$ -test.timeout 10m"
{
	echo "$(nproc) cores, $(uname -sr), $(go version | cut -d' ' -f3)"
	# shellcheck disable=SC2086 # several arguments
	run "$binary" $bench -test.bench '^BenchmarkUplink' -test.benchtime 1000000x
	# shellcheck disable=SC2086
	run "$binary" $bench -test.bench '^BenchmarkPush' -test.benchtime 6000x -test.count 2
	if chrt -r 1 true 2>/dev/null; then
		# shellcheck disable=SC2086
		run chrt -r 1 "$binary" $bench -test.bench '^BenchmarkPush' -test.benchtime 6000x -test.count 2
	else
		echo "a real-time priority is not allowed here"
	fi
} | shown
