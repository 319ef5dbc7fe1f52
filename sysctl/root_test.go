package sysctl

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A write goes into a file that is there. One that is not there is a setting that
// the kernel does not have, and nothing may appear in its place.
func TestWriteNeverCreates(t *testing.T) {
	root := modern.root(t)
	const name = "proc/sys/net/core/no_such_setting"
	if err := root.Files.Write(name, []byte("1")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("write: %v", err)
	}
	if err := root.Files.Writable(name); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("writable: %v", err)
	}
	if _, err := root.Files.Read(name); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the file was made: %v", err)
	}
}

func TestWritableChangesNothing(t *testing.T) {
	root := modern.root(t)
	before := contents(t, root, modern)
	for name := range modern {
		if err := root.Files.Writable(name); err != nil && name != "proc/self/ns/net" {
			t.Errorf("%s: %v", name, err)
		}
	}
	if d := different(before, contents(t, root, modern)); len(d) > 0 {
		t.Errorf("changed: %v", d)
	}
}

func TestReadIsBounded(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "big"), make([]byte, 2*maxFileBytes), 0o600); err != nil {
		t.Fatal(err)
	}
	b, err := Dir(dir).Read("big")
	if err != nil || len(b) != maxFileBytes {
		t.Errorf("%d bytes, %v", len(b), err)
	}
}

// inMemory is a root of a few files, for speed.
type inMemory map[string]string

func (m inMemory) Read(name string) ([]byte, error) {
	if text, ok := m[name]; ok {
		return []byte(text), nil
	}
	return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
}
func (m inMemory) Write(string, []byte) error  { return fs.ErrPermission }
func (m inMemory) Writable(string) error       { return fs.ErrPermission }
func (m inMemory) Link(string) (string, error) { return "", fs.ErrNotExist }

// Whatever stands in the files of a host: the check ends, judges every setting,
// and never takes what it cannot read for sufficient.
func FuzzCheck(f *testing.F) {
	f.Add("MemTotal: 16 kB\nMemAvailable: 9 kB", limitsText, "0::/a/b", "4096", "6.1.0", "0-3")
	f.Add("MemTotal: 99999999999999999999 kB", "Max open files", "1:memory:/../../x", "-1", "x", "9-1")
	f.Add("", "Max open files unlimited unlimited files", "::::\n0::", "18446744073709551615", "999999.1", "0-65535")
	f.Fuzz(func(t *testing.T, meminfo, limits, cgroup, number, release, cpus string) {
		files := inMemory{
			"proc/meminfo": meminfo, "proc/self/limits": limits, "proc/self/cgroup": cgroup, "sys/fs/cgroup/cgroup.controllers": "memory",
			"sys/fs/cgroup/memory.max": number, "proc/sys/kernel/osrelease": release, "sys/devices/system/cpu/online": cpus,
		}
		for _, p := range Parameters() {
			if p.File != "" {
				files[p.File] = number
			}
		}
		r, err := Check(Root{Files: files, PageSize: 4096}, assumed(Need{Conns: 1000}))
		if err != nil {
			t.Fatal(err)
		}
		b := &strings.Builder{}
		if err := r.WriteText(b); err != nil || strings.Contains(b.String(), "%!") {
			t.Fatalf("%v in\n%s", err, b)
		}
		for _, row := range r.Rows {
			if row.Verdict == "" || row.Verdict == OK && row.rule.Op == AtLeast && row.value.Numbers[0] < row.rule.Want[0] {
				t.Fatalf("%+v", row)
			}
		}
	})
}
