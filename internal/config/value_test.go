package config

import (
	"math"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestParseSize(t *testing.T) {
	for text, want := range map[string]int64{
		"0": 0, "1": 1, "65536": 65536, "1B": 1, "64KiB": 64 << 10, "64 KiB": 64 << 10, "3MiB": 3 << 20, "2GiB": 2 << 30,
		"8589934591GiB": 8589934591 << 30, // the largest whole number of GiB in an int64
	} {
		if got, err := ParseSize(text); err != nil || got != want {
			t.Errorf("ParseSize(%q) = %d, %v; want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "B", "KiB", "64k", "64K", "64KB", "64kib", "-1", "+1", "1.5MiB", "1e3", "1 ", " 1", "8589934592GiB", "9223372036854775808"} {
		if got, err := ParseSize(text); err == nil {
			t.Errorf("ParseSize(%q) = %d, want an error", text, got)
		}
	}
}

func TestSizesReadBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.Int64Range(0, math.MaxInt64).Draw(t, "bytes") >> rapid.IntRange(0, 62).Draw(t, "shift")
		text := FormatSize(n)
		if got, err := ParseSize(text); err != nil || got != n {
			t.Fatalf("ParseSize(FormatSize(%d) = %q) = %d, %v", n, text, got, err)
		}
	})
}

func TestDurationsReadBack(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0s", 500 * time.Millisecond: "500ms", 10 * time.Second: "10s", 5 * time.Minute: "5m",
		90 * time.Second: "1m30s", time.Hour: "1h", time.Hour + time.Second: "1h0m1s", 10 * time.Minute: "10m", 20 * time.Hour: "20h",
	} {
		if got := formatDuration(d); got != want {
			t.Errorf("formatDuration(%d) = %q, want %q", d, got, want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		d := time.Duration(rapid.Int64Range(0, int64(1000*time.Hour)).Draw(t, "ns"))
		if got, err := time.ParseDuration(formatDuration(d)); err != nil || got != d {
			t.Fatalf("%v is written %q, which reads as %v, %v", d, formatDuration(d), got, err)
		}
	})
}

func TestValues(t *testing.T) {
	long := strings.Repeat("a", 63)
	for key, c := range map[string]struct{ good, bad []string }{
		"listen": {[]string{"127.0.0.1:0", ":8080", "[::1]:65535", "[fe80::1%eth0]:1", "localhost:80", "my_host.example.:1"},
			[]string{"", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:-1", "127.0.0.1:080", "127.0.0.1:http", "::1:80", "300.0.0.1:80", "a b:80", "http://x:80", "-a:80"}},
		"kafka": {[]string{"", "a:1", "10.0.0.1:9092,10.0.0.2:9092", "[::1]:9092"},
			[]string{"a", "a:0", ":9092", "a:1,", "a:1,,b:1", "a:1,a:1", strings.Repeat("h:1,", 65) + "h:2"}},
		"broker-listen": {[]string{"127.0.0.1:0", "127.0.0.1:9092"}, []string{"", ":0", "0.0.0.0:9092", "[::1]:9092", "localhost:9092"}},
		"broker-size":   {[]string{"0B", "0", "8MiB", "1024GiB"}, []string{"", "7MiB", "1025GiB"}},
		"node":          {[]string{"a", "gw-1", "gw_1.eu", long}, []string{"", "-a", "a-", "a b", "ä", "a/b", "a:b", long + "a"}},
		"topic-prefix":  {[]string{"", "limpet.", "prod_1-"}, []string{"a/b", "a b", strings.Repeat("a", 201)}},
		"subprotocols":  {[]string{"", "v1", "v2.limpet,v1.limpet"}, []string{"a b", "v1,", "a(b)", "v1,v1", strings.Repeat("a", 65)}},
		"proxy-trusted": {[]string{"", "10.0.0.0/8", "10.0.0.7,fd00::/8, ::1", "0.0.0.0/0", "::/0", "::ffff:10.0.0.7"},
			[]string{"10.0.0.7/8", "10.0.0.0/33", "10.0.0/8", "fd00::1/8", "fe80::1%eth0", "fe80::/10%eth0", "::ffff:10.0.0.0/104", "lb.example.com", "10.0.0.0/8,10.0.0.0/8", "*"}},
		"max-conns":     {[]string{"0", "16777216"}, []string{"", "-1", "1.5", "1e3", "16777217", "many"}},
		"deflate":       {[]string{"true", "false"}, []string{"", "yes", "1", "True"}},
		"heartbeat":     {[]string{"1s", "1h", "1m30s"}, []string{"", "0", "0s", "999ms", "61m", "25", "-1s"}},
		"drain-window":  {[]string{"0s", "0", "1h"}, []string{"", "-1s", "2h"}},
		"fd-tables":     {[]string{"auto", "shared", "per-loop"}, []string{"", "Auto", "per_loop"}},
		"gogc":          {[]string{"10", "1000"}, []string{"off", "-1", "0", "9", "1001"}},
		"memory-limit":  {[]string{"10%", "90%", "32MiB", "8GiB"}, []string{"", "off", "0", "9%", "91%", "100%", "-1%", "31MiB", "1GB"}},
		"memory-budget": {[]string{"10%", "90%", "32MiB", "8GiB"}, []string{"", "off", "0", "9%", "91%", "100%", "-1%", "31MiB", "1GB"}},
		"shed-rate":     {[]string{"1", "100000"}, []string{"", "0", "-1", "100001", "1.5"}},
		"data-dir":      {[]string{"", "/var/lib/limpet", "data"}, []string{"a\x00b", strings.Repeat("a", 4097)}},
	} {
		row := keyNamed(key)
		for _, text := range c.good {
			if problem := check(row, text); problem != "" {
				t.Errorf("%s = %q: %s", key, text, problem)
			}
		}
		for _, text := range c.bad {
			if problem := check(row, text); problem == "" {
				t.Errorf("%s = %q is accepted", key, text)
			}
		}
	}
}

func TestNodeFromHost(t *testing.T) {
	for host, want := range map[string]string{
		"gw-1": "gw-1", "gw-1.example.org": "gw-1.example.org", "": "limpet", "---": "limpet", "büro 1": "b-ro-1", "-gw-": "gw",
		strings.Repeat("a", 62) + ".b": strings.Repeat("a", 62), // cut within the dot, which may not end an id
	} {
		if got := nodeFromHost(host); got != want {
			t.Errorf("nodeFromHost(%q) = %q, want %q", host, got, want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		host := rapid.String().Draw(t, "host")
		if id := nodeFromHost(host); check(keyNamed("node"), id) != "" {
			t.Fatalf("host %q becomes %q, which is no node id", host, id)
		}
	})
}
