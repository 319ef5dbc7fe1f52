package sysctl

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
)

// ErrNothingToRestore says that no apply left anything to undo.
var ErrNothingToRestore = errors.New("nothing to restore")

// RestoreReport is what a restore did.
type RestoreReport struct {
	DryRun      bool     `json:"dry_run"`
	Changes     []Change `json:"changes"`
	RestoreFile string   `json:"restore_file"`
}

// Err is nil when every line was set back.
func (r RestoreReport) Err() error {
	var n int64
	for _, c := range r.Changes {
		if c.Outcome == Failed || c.Outcome == Kept {
			n++
		}
	}
	if n > 0 {
		return fmt.Errorf("%w: %s", ErrNotWritten, plural(n, "line"))
	}
	return nil
}

// Restore sets back what Apply changed since the host booted. A setting that
// somebody else changed after Apply is kept, unless forced; so is one that
// belongs to another network namespace. What was set back leaves the restore
// file, and the file goes with its last line.
func Restore(root Root, o ApplyOptions) (RestoreReport, error) {
	r := RestoreReport{DryRun: o.DryRun, RestoreFile: o.RestoreFile}
	file, err := openRestoreFile(o.RestoreFile, false)
	if errors.Is(err, fs.ErrNotExist) {
		return r, fmt.Errorf("%w: there is no %s", ErrNothingToRestore, o.RestoreFile)
	}
	if err != nil {
		return r, err
	}
	defer file.close()
	saved, err := file.load()
	if err != nil {
		return r, err
	}
	if len(saved.Entries) == 0 {
		return r, fmt.Errorf("%w: there is no %s", ErrNothingToRestore, o.RestoreFile)
	}
	here := identify(root)
	if saved.BootID != here.bootID {
		return r, fmt.Errorf("%w: %s is from before the host booted, or from another host, and a boot forgets such settings", ErrNothingToRestore, o.RestoreFile)
	}
	// Only settings of the table are written, at the table's paths: the file is
	// data, and a restore runs with privilege.
	table := map[string]Parameter{}
	for _, p := range Parameters() {
		if p.File != "" && p.NeverWrite == "" {
			table[p.Name] = p
		}
	}
	left := saved
	left.Entries = nil
	for _, e := range slices.Backward(saved.Entries) {
		p, known := table[e.Name]
		c := Change{Name: e.Name, After: e.Before}
		switch {
		case !known:
			c.Outcome, c.Why = Kept, "no setting of this limpet"
		case e.Netns != "" && e.Netns != here.netns:
			c.Outcome, c.Why = Kept, "belongs to another network namespace, "+e.Netns
		default:
			c = restoreLine(root, p, e, o)
		}
		if c.Outcome == Failed || c.Outcome == Kept {
			left.Entries = append([]restoreEntry{e}, left.Entries...)
		}
		r.Changes = append(r.Changes, c)
	}
	if o.DryRun {
		return r, nil
	}
	return r, file.save(left)
}

func restoreLine(root Root, p Parameter, e restoreEntry, o ApplyOptions) Change {
	_, now, err := p.read(root, Host{})
	c := Change{Name: e.Name, Before: now, After: e.Before, Outcome: WouldWrite}
	switch {
	case err != nil:
		c.Outcome, c.Why = Failed, plain(err).Error()
	case sameFields(now, e.Before):
		c.Outcome, c.Why = Written, "it is so already"
	case !sameFields(now, e.After) && (e.Was == "" || !sameFields(now, e.Was)) && !o.Force:
		c.Outcome, c.Why = Kept, fmt.Sprintf("changed since: apply wrote %s; --force sets it back", e.After)
	case o.DryRun:
		if err := root.Files.Writable(p.File); err != nil {
			c.Outcome, c.Why = Failed, plain(err).Error()
		}
	default:
		c.Outcome, c.Why = writeLine(root, p, e.Before)
	}
	return c
}
