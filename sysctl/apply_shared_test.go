package sysctl

import (
	"errors"
	"strings"
	"testing"
)

func TestTwoAppliesDoNotMix(t *testing.T) {
	file := restoreFileIn(t)
	first, err := openRestoreFile(file, true)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Apply(modern.root(t), assumed(million), ApplyOptions{RestoreFile: file}); err == nil || !strings.Contains(err.Error(), "another apply or restore runs") {
		t.Errorf("%v", err)
	}
	first.close()
	apply(t, modern.root(t), million, ApplyOptions{RestoreFile: file})
}

func TestApplyLeavesOthersTheirs(t *testing.T) {
	r := apply(t, old.root(t), Need{Conns: 100_000, Rate: 2_000, Tables: TablesShared}, ApplyOptions{RestoreFile: restoreFileIn(t)})
	if !errors.Is(r.Err(), ErrShort) {
		t.Errorf("err %v", r.Err())
	}
	names := map[string]bool{}
	for _, row := range r.Remaining {
		names[row.Name] = true
	}
	if !names["RLIMIT_NOFILE hard"] || !names["cgroup pids limit"] || names["net.core.somaxconn"] {
		t.Errorf("remaining: %v", names)
	}
	b := &strings.Builder{}
	if err := r.WriteText(b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"written     net.core.somaxconn", "128 -> ", "Still short of 100,000 connections", "LimitNOFILE=101024", "limpet sysctl restore"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%q is not in:\n%s", want, b)
		}
	}
}

// An apply for more connections dies between its restore file and its first
// write: what the apply before it wrote is still there, and restore knows it.
func TestRestoreAfterAnApplyThatDied(t *testing.T) {
	root, file := modern.root(t), restoreFileIn(t)
	apply(t, root, Need{Conns: 300_000, Rate: 12_000}, ApplyOptions{RestoreFile: file})
	if got := read(t, root, "net.ipv4.tcp_max_orphans"); got != "300000" {
		t.Fatalf("tcp_max_orphans %s", got)
	}
	// Killed by the first write, after the restore file: no line is settled.
	dying := Root{Files: dies{root.Files}, PageSize: root.PageSize}
	func() {
		defer func() { _ = recover() }()
		_, _ = Apply(dying, assumed(million), ApplyOptions{RestoreFile: file})
	}()
	r, err := Restore(root, ApplyOptions{RestoreFile: file})
	if err != nil || r.Err() != nil {
		t.Fatalf("%v, %v: %+v", err, r.Err(), r.Changes)
	}
	if got := read(t, root, "net.ipv4.tcp_max_orphans"); got != "65536" {
		t.Errorf("tcp_max_orphans restored to %s", got)
	}
}

// A kernel that takes a value and keeps a third one: the line failed, yet the
// host has changed, so the way back must stay.
func TestWayBackFromAValueThatTheKernelCut(t *testing.T) {
	const name = "net.ipv4.tcp_max_orphans"
	root, file := modern.root(t), restoreFileIn(t)
	cut := Root{Files: broken{Files: root.Files, cuts: map[string]string{sysctlFile(name): "131072"}}, PageSize: root.PageSize}
	r := apply(t, cut, million, ApplyOptions{RestoreFile: file})
	if c := r.change(t, name); c.Outcome != Failed || !strings.Contains(c.Why, "kernel kept 131072") {
		t.Errorf("%+v", c)
	}
	back, err := Restore(root, ApplyOptions{RestoreFile: file})
	if err != nil || back.Err() != nil {
		t.Fatalf("%v, %v: %+v", err, back.Err(), back.Changes)
	}
	if got := read(t, root, name); got != "65536" {
		t.Errorf("%s restored to %s", name, got)
	}
}

// A line that a later apply only looks at says nothing about who changed it.
func TestApplyDoesNotAdoptWhatOthersChanged(t *testing.T) {
	const name = "vm.swappiness"
	root, file := modern.root(t), restoreFileIn(t)
	apply(t, root, Need{Conns: 300_000, Rate: 12_000}, ApplyOptions{RestoreFile: file, Force: true})
	if err := root.Files.Write(sysctlFile(name), []byte("40")); err != nil {
		t.Fatal(err)
	}
	if c := apply(t, root, million, ApplyOptions{RestoreFile: file}).change(t, name); c.Outcome != Kept {
		t.Fatalf("%+v", c)
	}
	if _, err := Restore(root, ApplyOptions{RestoreFile: file}); err != nil {
		t.Fatal(err)
	}
	if got := read(t, root, name); got != "40" {
		t.Errorf("somebody's %s of 40 became %s", name, got)
	}
}

// Upwards is by what a choice allows: tcp_tw_reuse 2 is for loopback alone, 1 for
// every address.
func TestTimeWaitReuseIsRaisedFromLoopback(t *testing.T) {
	const name = "net.ipv4.tcp_tw_reuse"
	need := Need{Conns: 10_000, Outbound: 10_000}
	root := modern.root(t)
	apply(t, root, need, ApplyOptions{RestoreFile: restoreFileIn(t)})
	if got := read(t, root, name); got != "1" {
		t.Errorf("%s is %s", name, got)
	}
	// A host that refuses to overcommit does so on purpose.
	root = modern.with(tree{"proc/sys/vm/overcommit_memory": "2"}).root(t)
	if c := apply(t, root, need, ApplyOptions{RestoreFile: restoreFileIn(t)}).change(t, "vm.overcommit_memory"); c.Outcome != Kept {
		t.Errorf("%+v", c)
	}
}

// The restore file is this process's, so a relative name is below its directory,
// for reading as for writing.
func TestRestoreFileWithARelativeName(t *testing.T) {
	root := modern.root(t)
	t.Chdir(t.TempDir())
	for _, n := range []int64{300_000, 1_000_000} {
		apply(t, root, Need{Conns: n, Rate: 12_000}, ApplyOptions{RestoreFile: "state/restore.json"})
	}
	if r, err := Restore(root, ApplyOptions{RestoreFile: "state/restore.json"}); err != nil || r.Err() != nil {
		t.Fatalf("%v, %v", err, r.Err())
	}
	if got := read(t, root, "net.ipv4.tcp_max_orphans"); got != "65536" {
		t.Errorf("tcp_max_orphans restored to %s", got)
	}
}

// overtakes is a root where somebody else raises a setting after it was judged
// and before the lock is held.
type overtakes struct {
	Files
	name, value string
}

func (o overtakes) Writable(name string) error {
	if name == o.name {
		return o.Write(name, []byte(o.value))
	}
	return o.Files.Writable(name)
}

func TestApplyThatWasOvertakenLowersNothing(t *testing.T) {
	const name = "net.ipv4.tcp_max_orphans"
	for _, atomic := range []bool{false, true} {
		root := modern.root(t)
		root.Files = overtakes{root.Files, sysctlFile(name), "5000000"}
		r := apply(t, root, million, ApplyOptions{RestoreFile: restoreFileIn(t), Atomic: atomic})
		if c := r.change(t, name); c.Outcome != Failed || !strings.Contains(c.Why, "5000000 since") {
			t.Errorf("%+v", c)
		}
		if got := read(t, root, name); got != "5000000" {
			t.Errorf("%s is %s", name, got)
		}
		if n := r.count(Written); atomic && n > 0 || !atomic && n < 3 {
			t.Errorf("atomic %v: %d written", atomic, n)
		}
	}
}
