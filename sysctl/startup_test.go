package sysctl

import (
	"slices"
	"strings"
	"testing"
)

func TestStartup(t *testing.T) {
	root := modern.root(t)
	before := contents(t, root, modern)
	falls, err := Startup(root, Need{Conns: 1_000_000, Rate: 12_000})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for i, f := range falls {
		names = append(names, f.Name)
		if strings.ContainsAny(f.Line, "\n\r") || !strings.HasPrefix(f.Line, f.Name) {
			t.Errorf("not one readable line: %q", f.Line)
		}
		if i > 0 && f.Required && !falls[i-1].Required {
			t.Errorf("%s is required and comes after advice", f.Name)
		}
	}
	if len(falls) == 0 || falls[0].Name != "net.ipv4.tcp_mem" || !falls[0].Required || !slices.Contains(names, "vm.swappiness") {
		t.Errorf("%v", names)
	}
	const want = "net.ipv4.tcp_mem is 191,565 255,422 383,130, needs >= 750,000 1,000,000 1,500,000 " +
		"(one message queued on each: 1,000,000 x 1 page = 1,000,000 pages of 4.00 KiB = 3.81 GiB at pressure); " +
		"change: limpet sysctl apply; limpet sysctl render --format sysctl keeps it over a reboot"
	if falls[0].Line != want {
		t.Errorf("got  %s\nwant %s", falls[0].Line, want)
	}
	if d := different(before, contents(t, root, modern)); len(d) > 0 {
		t.Errorf("it changed the host: %v", d)
	}
}

func TestStartupOnASmallNeedIsQuiet(t *testing.T) {
	falls, err := Startup(modern.root(t), Need{Conns: 10_000})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range falls {
		if f.Required {
			t.Errorf("10,000 connections: %s", f.Line)
		}
	}
}

func TestStartupOfNothingReadable(t *testing.T) {
	falls, err := Startup(tree{"proc/version": "x"}.root(t), Need{Conns: 1000})
	if err != nil || len(falls) == 0 {
		t.Fatalf("%v, %v", falls, err)
	}
	if line := falls[0].Line; !strings.Contains(line, "is not known") {
		t.Errorf("%s", line)
	}
	if _, err := Startup(modern.root(t), Need{}); err == nil {
		t.Error("no connections are a need")
	}
}
