package sysctl

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/fstest"
)

// result is a benchmark result as limpet bench writes it, shortened.
func result(conns int, perConn, high, base, last float64, finished string) string {
	return fmt.Sprintf(`{"schema": "limpet-bench/1", "scenario": "idle", "complete": true, "finished": %q, "machine": {"cores": 2},
"targets": [
 {"name": "nethttp", "complete": true, "memory": {"base": {"rss": 1}, "points": [{"conns": 9000000, "memory": {"rss": 9}}], "rss": {"per_conn": 20000}}},
 {"name": "limpet", "complete": true, "memory": {"base": {"rss": %f}, "points": [{"conns": 5, "memory": {"rss": 1}}, {"conns": %d, "memory": {"rss": %f}}],
  "rss": {"per_conn": %f, "low": 1, "high": %f, "n": 5}, "simple": 600}}]}`, finished, base, conns, last, perConn, high)
}

func TestReadGatewayCost(t *testing.T) {
	const older, newer = "2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z"
	small := result(15_000, 700, 720, 20e6, 30.8e6, newer) // the line meets the axis at 20 MB
	for _, c := range []struct {
		name  string
		files map[string]string
		want  GatewayCost
	}{
		{"upper end of the interval", map[string]string{"a.json": small},
			GatewayCost{20_000_000, 720, "measured with 15,000 connections, a.json"}},
		{"the most connections", map[string]string{"a.json": small, "b.json": result(200_000, 650, 655, 20e6, 141e6, older)},
			GatewayCost{20_000_000, 655, "measured with 200,000 connections, b.json"}},
		{"of those the newest", map[string]string{"a.json": result(15_000, 900, 910, 20e6, 33e6, older), "b.json": small},
			GatewayCost{20_000_000, 720, "measured with 15,000 connections, b.json"}},
		{"warm pools are base", map[string]string{"a.json": result(100_000, 500, 0, 10e6, 75e6, older)},
			GatewayCost{25_000_000, 500, "measured with 100,000 connections, a.json"}},
		{"no line, then the difference", map[string]string{"a.json": result(1000, 0, 0, 10e6, 10.6e6, older)},
			GatewayCost{10_000_000, 600, "measured with 1,000 connections, a.json"}},
		{"others beside it do not matter", map[string]string{"a.json": small, "b.json": "{", "c.txt": "x", "d.json": `{"schema": "limpet-bench/2"}`},
			GatewayCost{20_000_000, 720, "measured with 15,000 connections, a.json"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := ReadGatewayCost(results(c.files))
			if err != nil || got != c.want {
				t.Errorf("%+v, %v; want %+v", got, err, c.want)
			}
		})
	}
}

func results(files map[string]string) fstest.MapFS {
	m := fstest.MapFS{}
	for name, text := range files {
		m[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return m
}

func TestReadGatewayCostRefuses(t *testing.T) {
	good := result(1000, 700, 710, 20e6, 21e6, "2026-01-01T00:00:00Z")
	for name, text := range map[string]string{
		"empty directory":  "",
		"broken":           "{",
		"another schema":   strings.Replace(good, "limpet-bench/1", "limpet-bench/2", 1),
		"another scenario": strings.Replace(good, `"idle"`, `"echo"`, 1),
		"not complete":     strings.Replace(good, `"complete": true, "finished"`, `"complete": false, "finished"`, 1),
		"absurd":           result(1000, 1e12, 1e12, 20e6, 21e6, "2026-01-01T00:00:00Z"),
		"negative":         strings.Replace(result(1000, -5, -4, 20e6, 21e6, "2026-01-01T00:00:00Z"), `"simple": 600`, `"simple": -3`, 1),
		"no connections":   result(0, 700, 710, 20e6, 21e6, "2026-01-01T00:00:00Z"),
	} {
		files := map[string]string{"x.json": text}
		if text == "" {
			files = nil
		}
		if got, err := ReadGatewayCost(results(files)); !errors.Is(err, ErrNoResults) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}
