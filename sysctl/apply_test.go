package sysctl

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// million is the need of the apply tests: on the modern server it wants tcp_mem
// and some advice, and all of the required can be had.
var million = Need{Conns: 1_000_000, Rate: 12_000}

func apply(t *testing.T, root Root, n Need, o ApplyOptions) ApplyReport {
	t.Helper()
	r, err := Apply(root, assumed(n), o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func restoreFileIn(t *testing.T) string { return filepath.Join(t.TempDir(), "deep", "restore.json") }

func (r ApplyReport) change(t *testing.T, name string) Change {
	t.Helper()
	for _, c := range r.Changes {
		if c.Name == name {
			return c
		}
	}
	t.Fatalf("no line for %s in %+v", name, r.Changes)
	return Change{}
}

// read returns a setting of a fake host.
func read(t *testing.T, root Root, name string) string {
	t.Helper()
	text, err := root.text(sysctlFile(name))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// contents returns every file of a fake host.
func contents(t *testing.T, root Root, tr tree) map[string]string {
	t.Helper()
	m := map[string]string{}
	for name, text := range tr {
		if strings.HasPrefix(text, "-> ") {
			continue
		}
		b, err := root.Files.Read(name)
		if err != nil {
			t.Fatal(err)
		}
		m[name] = string(b)
	}
	return m
}

func different(a, b map[string]string) (names []string) {
	for name := range a {
		if a[name] != b[name] {
			names = append(names, name)
		}
	}
	return names
}

func TestApplyWritesUpwardsAndRestores(t *testing.T) {
	root, file := modern.root(t), restoreFileIn(t)
	before := contents(t, root, modern)
	r := apply(t, root, million, ApplyOptions{RestoreFile: file})
	if err := r.Err(); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"net.ipv4.tcp_mem": "750000 1000000 1500000", "net.ipv4.tcp_max_orphans": "1000000", "net.ipv4.tcp_migrate_req": "1",
		"net.ipv4.tcp_max_tw_buckets": "720000", "net.core.netdev_max_backlog": "2048",
		// Downwards only with --force:
		"net.ipv4.tcp_rmem": "4096\t131072\t6291456", "vm.swappiness": "60",
		// What suffices is not touched:
		"fs.file-max": "9223372036854775807",
	} {
		if got := read(t, root, name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if c := r.change(t, "net.ipv4.tcp_rmem"); c.Outcome != Kept || !strings.Contains(c.Why, "--force") {
		t.Errorf("tcp_rmem: %+v", c)
	}
	if !check(t, root, million).Fits {
		t.Error("after apply the host does not fit")
	}
	if again := apply(t, root, million, ApplyOptions{RestoreFile: file}); again.count(Written) != 0 {
		t.Errorf("a second apply writes: %+v", again.Changes)
	}

	back, err := Restore(root, ApplyOptions{RestoreFile: file})
	if err != nil || back.Err() != nil {
		t.Fatal(err, back.Err())
	}
	after := contents(t, root, modern)
	for _, name := range different(before, after) {
		if !sameFields(before[name], after[name]) {
			t.Errorf("%s: %q before, %q restored", name, before[name], after[name])
		}
	}
	if _, err := os.Stat(file); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the restore file is still there: %v", err)
	}
	if _, err := Restore(root, ApplyOptions{RestoreFile: file}); !errors.Is(err, ErrNothingToRestore) {
		t.Errorf("a second restore: %v", err)
	}
}

func TestDryRunWritesNothing(t *testing.T) {
	root, file := modern.root(t), restoreFileIn(t)
	before := contents(t, root, modern)
	r := apply(t, root, million, ApplyOptions{RestoreFile: file, DryRun: true})
	if r.count(WouldWrite) < 4 || r.count(Written) != 0 {
		t.Errorf("%+v", r.Changes)
	}
	if err := r.Err(); err != nil {
		t.Errorf("it would fit: %v", err)
	}
	if d := different(before, contents(t, root, modern)); len(d) > 0 {
		t.Errorf("changed: %v", d)
	}
	if _, err := os.Stat(filepath.Dir(file)); !errors.Is(err, fs.ErrNotExist) {
		t.Error("a dry run made the restore file's directory")
	}
}

// A dry run refuses what the real one would: a restore file that cannot be read.
// The message says how to go on.
func TestDryRunReadsTheRestoreFile(t *testing.T) {
	for text, want := range map[string]string{"": "is damaged", "[]": "is damaged", `{"version":2}`: "version 2"} {
		root := modern.root(t)
		file := filepath.Join(t.TempDir(), "restore.json")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, dry := range []bool{true, false} {
			_, err := Apply(root, assumed(million), ApplyOptions{RestoreFile: file, DryRun: dry})
			if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "move it away") {
				t.Errorf("%q, dry run %v: %v", text, dry, err)
			}
		}
	}
}

func TestForceLowers(t *testing.T) {
	root, file := modern.root(t), restoreFileIn(t)
	r := apply(t, root, million, ApplyOptions{RestoreFile: file, Force: true})
	if got := read(t, root, "net.ipv4.tcp_rmem"); got != "4096 16384 6291456" {
		t.Errorf("tcp_rmem %q", got)
	}
	if got := read(t, root, "vm.swappiness"); got != "10" {
		t.Errorf("swappiness %q", got)
	}
	// The fake file keeps the word alone, where the kernel would show all with the
	// chosen one in brackets: the line is honest about that.
	if c := r.change(t, "transparent_hugepage"); c.Outcome != Failed || !strings.Contains(c.Why, "reading it back") {
		t.Errorf("%+v", c)
	}
}

func TestUnprivilegedSaysWhichLines(t *testing.T) {
	root, file := modern.root(t), restoreFileIn(t)
	root.Files = readOnly{root.Files}
	for _, atomic := range []bool{false, true} {
		r := apply(t, root, million, ApplyOptions{RestoreFile: file, Atomic: atomic})
		if !errors.Is(r.Err(), ErrNotWritten) || r.count(Failed) < 4 {
			t.Errorf("atomic %v: %v, %+v", atomic, r.Err(), r.Changes)
		}
		if c := r.change(t, "net.ipv4.tcp_mem"); !strings.Contains(c.Why, "permission denied; root: limpet sysctl apply") {
			t.Errorf("tcp_mem: %q", c.Why)
		}
	}
	if _, err := os.Stat(filepath.Dir(file)); !errors.Is(err, fs.ErrNotExist) {
		t.Error("nothing could be written, but a restore file was begun")
	}
}

// One line cannot be opened: the rest is done, or with atomic nothing.
func TestOneLineDenied(t *testing.T) {
	for _, atomic := range []bool{false, true} {
		root, file := modern.root(t), restoreFileIn(t)
		before := contents(t, root, modern)
		root.Files = broken{Files: root.Files, opens: map[string]error{sysctlFile("net.ipv4.tcp_mem"): errors.New("read-only file system")}}
		r := apply(t, root, million, ApplyOptions{RestoreFile: file, Atomic: atomic})
		if !errors.Is(r.Err(), ErrNotWritten) {
			t.Errorf("err %v", r.Err())
		}
		if c := r.change(t, "net.ipv4.tcp_mem"); c.Outcome != Failed || !strings.Contains(c.Why, "read-only file system") {
			t.Errorf("tcp_mem %+v", c)
		}
		want := Written
		if atomic {
			want = NotDone
			if d := different(before, contents(t, root, modern)); len(d) > 0 {
				t.Errorf("atomic changed %v", d)
			}
		}
		if c := r.change(t, "net.ipv4.tcp_max_orphans"); c.Outcome != want {
			t.Errorf("atomic %v: tcp_max_orphans %s", atomic, c.Outcome)
		}
	}
}

// A line that opens but whose write fails, or is ignored: atomic sets back what
// was written before it.
func TestWriteFailsHalfWay(t *testing.T) {
	last := sysctlFile("net.ipv4.tcp_max_tw_buckets") // the last line that is raised
	for name, faults := range map[string]broken{
		"fails":   {writes: map[string]error{last: errors.New("invalid argument")}},
		"ignored": {kept: map[string]bool{last: true}},
	} {
		for _, atomic := range []bool{false, true} {
			root, file := modern.root(t), restoreFileIn(t)
			before := contents(t, root, modern)
			faults.Files = root.Files
			root.Files = faults
			r := apply(t, root, million, ApplyOptions{RestoreFile: file, Atomic: atomic})
			if c := r.change(t, "net.ipv4.tcp_max_tw_buckets"); c.Outcome != Failed || c.Why == "" {
				t.Errorf("%s: %+v", name, c)
			}
			after := contents(t, root, modern)
			_, statErr := os.Stat(file)
			if atomic {
				for _, f := range different(before, after) {
					if !sameFields(before[f], after[f]) {
						t.Errorf("%s: atomic left %s at %q", name, f, after[f])
					}
				}
				if r.count(RolledBack) < 3 || r.count(Written) != 0 || !errors.Is(statErr, fs.ErrNotExist) {
					t.Errorf("%s: %d rolled back, restore file: %v", name, r.count(RolledBack), statErr)
				}
				continue
			}
			if r.count(Written) < 3 || statErr != nil {
				t.Errorf("%s: %d written, restore file: %v", name, r.count(Written), statErr)
			}
		}
	}
}

func TestSecondApplyKeepsTheFirstValues(t *testing.T) {
	root, file := modern.root(t), restoreFileIn(t)
	apply(t, root, Need{Conns: 300_000, Rate: 12_000}, ApplyOptions{RestoreFile: file})
	apply(t, root, million, ApplyOptions{RestoreFile: file})
	if got := read(t, root, "net.ipv4.tcp_max_orphans"); got != "1000000" {
		t.Fatalf("tcp_max_orphans %s", got)
	}
	if _, err := Restore(root, ApplyOptions{RestoreFile: file}); err != nil {
		t.Fatal(err)
	}
	if got := read(t, root, "net.ipv4.tcp_max_orphans"); got != "65536" {
		t.Errorf("tcp_max_orphans restored to %s", got)
	}
}

func TestRestoreKeepsWhatOthersChanged(t *testing.T) {
	root, file := modern.root(t), restoreFileIn(t)
	apply(t, root, million, ApplyOptions{RestoreFile: file})
	orphans := sysctlFile("net.ipv4.tcp_max_orphans")
	if err := root.Files.Write(orphans, []byte("2000000")); err != nil {
		t.Fatal(err)
	}
	dry, err := Restore(root, ApplyOptions{RestoreFile: file, DryRun: true})
	if err != nil || read(t, root, "net.ipv4.tcp_migrate_req") != "1" {
		t.Fatalf("dry run: %v", err)
	}
	if !errors.Is(dry.Err(), ErrNotWritten) {
		t.Errorf("dry run: %v", dry.Err())
	}
	r, err := Restore(root, ApplyOptions{RestoreFile: file})
	if err != nil || !errors.Is(r.Err(), ErrNotWritten) {
		t.Fatalf("%v, %v", err, r.Err())
	}
	if got := read(t, root, "net.ipv4.tcp_max_orphans"); got != "2000000" {
		t.Errorf("somebody's 2000000 became %s", got)
	}
	if got := read(t, root, "net.ipv4.tcp_migrate_req"); got != "0" {
		t.Errorf("tcp_migrate_req %s", got)
	}
	// The kept line stays in the file; force sets it back.
	r, err = Restore(root, ApplyOptions{RestoreFile: file, Force: true})
	if err != nil || r.Err() != nil || len(r.Changes) != 1 || read(t, root, "net.ipv4.tcp_max_orphans") != "65536" {
		t.Errorf("forced: %v, %v, %+v", err, r.Err(), r.Changes)
	}
}

func TestRestoreFileIsData(t *testing.T) {
	root := modern.root(t)
	write := func(t *testing.T, s any) string {
		file := filepath.Join(t.TempDir(), "restore.json")
		data, err := json.Marshal(s)
		if text, ok := s.(string); ok {
			data = []byte(text)
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	entry := restoreEntry{Name: "net.core.somaxconn", Netns: "net:[4026531840]", Before: "128", After: "4096"}

	t.Run("unknown settings are not written", func(t *testing.T) {
		bad := entry
		bad.Name = "kernel.core_pattern"
		r, err := Restore(root, ApplyOptions{RestoreFile: write(t, restored{restoreVersion, "0f1e-boot", []restoreEntry{bad}})})
		if err != nil || len(r.Changes) != 1 || r.Changes[0].Outcome != Kept {
			t.Errorf("%v, %+v", err, r)
		}
	})
	t.Run("another network namespace", func(t *testing.T) {
		other := entry
		other.Netns = "net:[1]"
		r, err := Restore(root, ApplyOptions{RestoreFile: write(t, restored{restoreVersion, "0f1e-boot", []restoreEntry{other}})})
		if err != nil || r.Changes[0].Outcome != Kept || read(t, root, "net.core.somaxconn") != "4096" {
			t.Errorf("%v, %+v", err, r)
		}
	})
	t.Run("before a boot", func(t *testing.T) {
		_, err := Restore(root, ApplyOptions{RestoreFile: write(t, restored{restoreVersion, "another", []restoreEntry{entry}})})
		if !errors.Is(err, ErrNothingToRestore) || !strings.Contains(err.Error(), "before the host booted") {
			t.Errorf("%v", err)
		}
	})
	t.Run("damaged", func(t *testing.T) {
		file := write(t, "{")
		if _, err := Restore(root, ApplyOptions{RestoreFile: file}); err == nil || !strings.Contains(err.Error(), "damaged") {
			t.Errorf("%v", err)
		}
		if _, err := Apply(root, assumed(million), ApplyOptions{RestoreFile: file}); err == nil {
			t.Error("apply overwrote a restore file that it cannot read")
		}
	})
	t.Run("another version", func(t *testing.T) {
		if _, err := Restore(root, ApplyOptions{RestoreFile: write(t, restored{Version: 2, BootID: "0f1e-boot", Entries: []restoreEntry{entry}})}); err == nil {
			t.Error("version 2 is read")
		}
	})
	t.Run("an apply of an earlier boot is started over", func(t *testing.T) {
		file := write(t, restored{restoreVersion, "another", []restoreEntry{entry}})
		apply(t, modern.root(t), million, ApplyOptions{RestoreFile: file})
		f, err := openRestoreFile(file, false)
		if err != nil {
			t.Fatal(err)
		}
		defer f.close()
		s, err := f.load()
		if err != nil || s.BootID != "0f1e-boot" {
			t.Fatalf("%v, %+v", err, s)
		}
		for _, e := range s.Entries {
			if e.Name == entry.Name {
				t.Error("an entry of another boot is kept")
			}
		}
	})
	t.Run("a file that cannot be made stops apply", func(t *testing.T) {
		root := modern.root(t)
		before := contents(t, root, modern)
		if _, err := Apply(root, assumed(million), ApplyOptions{RestoreFile: "/proc/nowhere/x"}); err == nil {
			t.Error("no error")
		}
		if d := different(before, contents(t, root, modern)); len(d) > 0 {
			t.Errorf("written without a way back: %v", d)
		}
	})
}

// Where nothing can be read there is nothing to write, and nobody is told that
// all suffices.
func TestNothingToWriteIsNotEnough(t *testing.T) {
	b := &strings.Builder{}
	r := apply(t, tree{"x": "y"}.root(t), Need{Conns: 100}, ApplyOptions{RestoreFile: restoreFileIn(t)})
	if err := r.WriteText(b); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(b.String(), "Nothing was written") || strings.Contains(b.String(), "suffices") {
		t.Errorf("%s", b)
	}
}
