package main

import (
	"runtime"
	"testing"
)

func TestSpareProcessor(t *testing.T) {
	before := runtime.GOMAXPROCS(2)
	defer runtime.GOMAXPROCS(before)
	for _, c := range []struct{ loops, want int }{{1, 2}, {2, 3}, {3, 3 + 1}, {3, 4}, {60, 5}} {
		if spareProcessor(c.loops); runtime.GOMAXPROCS(0) != c.want {
			t.Errorf("%d loops: %d processors, want %d", c.loops, runtime.GOMAXPROCS(0), c.want)
		}
	}
}
