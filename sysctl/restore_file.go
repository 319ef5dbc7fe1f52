package sysctl

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"
)

// DefaultRestoreFile is where apply keeps the values before.
const DefaultRestoreFile = "/var/lib/limpet/sysctl-restore.json"

// restoreVersion is the format of the file.
const restoreVersion = 1

// restored is the content of a restore file: for each setting the value before
// the first apply and the one that the last apply wrote.
type restored struct {
	Version int            `json:"version"`
	BootID  string         `json:"boot_id"` // values do not outlive a boot, nor do entries
	Entries []restoreEntry `json:"entries"`
}

type restoreEntry struct {
	Name string `json:"name"`
	// Netns is the network namespace that a netns setting belongs to, "" for one
	// of the host.
	Netns  string `json:"netns,omitempty"`
	Before string `json:"before"`
	After  string `json:"after"`
	// Was is what stood there when an apply set out to write After, until it has:
	// should it die on the way, that is still there.
	Was string `json:"was,omitempty"`
}

// place is where values are valid.
type place struct{ bootID, netns string }

func identify(root Root) place {
	var p place
	p.bootID, _ = root.text("proc/sys/kernel/random/boot_id")
	p.netns, _ = root.Files.Link("proc/self/ns/net")
	return p
}

func (p place) of(scope Scope) string {
	if scope == ScopeNetns {
		return p.netns
	}
	return ""
}

// startOver drops entries of an earlier boot: the kernel has forgotten them.
func (s *restored) startOver(here place) {
	if s.BootID != here.bootID {
		*s = restored{BootID: here.bootID}
	}
}

func (s *restored) find(here place, c Change) int {
	return slices.IndexFunc(s.Entries, func(e restoreEntry) bool { return e.Name == c.Name && e.Netns == here.of(c.row.Scope) })
}

// remember keeps the oldest value before, so that two applies are undone by one
// restore.
func (s *restored) remember(here place, c Change) {
	if i := s.find(here, c); i >= 0 {
		s.Entries[i].Was, s.Entries[i].After = c.Before, c.After
		return
	}
	s.Entries = append(s.Entries, restoreEntry{Name: c.Name, Netns: here.of(c.row.Scope), Before: c.Before, After: c.After})
}

// settle ends what remember began, by what stands there now: a line that is as
// before the first apply needs no entry; any other value is ours, be it what was
// written, what an earlier apply wrote, or what the kernel made of it.
func (s *restored) settle(here place, c Change, now string) {
	i := s.find(here, c)
	switch {
	case i < 0:
	case sameFields(s.Entries[i].Before, now):
		s.Entries = slices.Delete(s.Entries, i, i+1)
	default:
		s.Entries[i].Was, s.Entries[i].After = "", now
	}
}

// restoreFile is a restore file whose directory is locked: the file itself is
// replaced by renaming, so a lock on it would be lost.
type restoreFile struct {
	path string
	dir  *os.File
}

// openRestoreFile locks the file's directory, and makes it when create is true.
func openRestoreFile(path string, create bool) (*restoreFile, error) {
	if path == "" {
		return nil, errors.New("no restore file named")
	}
	if create {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return nil, fmt.Errorf("restore file: %w; nothing was written, --restore-file names another place", err)
		}
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return nil, fmt.Errorf("restore file: %w", err)
	}
	if err := unix.Flock(int(dir.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		dir.Close()
		return nil, fmt.Errorf("restore file %s: another apply or restore runs: %w", path, err)
	}
	return &restoreFile{path: path, dir: dir}, nil
}

// close also ends the lock.
func (f *restoreFile) close() { f.dir.Close() }

const moveAway = "move it away to go on without the way back that it keeps"

// load reads the file; a missing one is empty.
func (f *restoreFile) load() (restored, error) {
	data, err := os.ReadFile(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		return restored{}, nil
	}
	if err != nil {
		return restored{}, fmt.Errorf("restore file: %w", err)
	}
	var s restored
	if err := json.Unmarshal(data, &s); err != nil {
		return s, fmt.Errorf("restore file %s is damaged: %w; %s", f.path, err, moveAway)
	}
	if s.Version != restoreVersion {
		return s, fmt.Errorf("restore file %s has version %d, this limpet reads %d; %s", f.path, s.Version, restoreVersion, moveAway)
	}
	return s, nil
}

// save replaces the file at once and on disk, or removes it when nothing is left.
func (f *restoreFile) save(s restored) error {
	if len(s.Entries) == 0 {
		if err := os.Remove(f.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("restore file: %w", err)
		}
		return nil
	}
	s.Version = restoreVersion
	data, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return fmt.Errorf("restore file: %w", err)
	}
	t, err := os.CreateTemp(filepath.Dir(f.path), ".sysctl-restore-*")
	if err != nil {
		return fmt.Errorf("restore file: %w", err)
	}
	_, err = t.Write(append(data, '\n'))
	err = errors.Join(err, t.Sync(), t.Close())
	if err == nil {
		err = os.Rename(t.Name(), f.path)
	}
	if err != nil {
		_ = os.Remove(t.Name())
		return fmt.Errorf("restore file: %w", err)
	}
	return nil
}
