package sysctl

import (
	"errors"
	"fmt"
	"strings"
)

// ErrNotWritten is what Apply and Restore come to when lines could not be written.
var ErrNotWritten = errors.New("not everything could be written")

// Outcome is what became of one line.
type Outcome string

const (
	Written    Outcome = "written"
	WouldWrite Outcome = "would write"
	Kept       Outcome = "kept"        // not written: it would lower a value, or somebody else changed it
	Failed     Outcome = "FAILED"      // could not be written
	NotDone    Outcome = "not done"    // could have been written, but --atomic held it back
	RolledBack Outcome = "rolled back" // was written and set back, because another line failed
)

// Change is one line that Apply or Restore looked at.
type Change struct {
	Name    string  `json:"name"`
	Before  string  `json:"before"` // as the kernel printed it
	After   string  `json:"after"`  // as it was, or would be, written
	Outcome Outcome `json:"outcome"`
	Why     string  `json:"why,omitempty"`

	row Row
}

// ApplyOptions say how far Apply may go.
type ApplyOptions struct {
	DryRun bool // write nothing, not even the restore file
	Force  bool // lower values too, and change words
	Atomic bool // all lines or none
	// RestoreFile is where the values before are kept, on this process's file
	// system whatever the root.
	RestoreFile string
}

// ApplyReport is what was done, and what is left to others.
type ApplyReport struct {
	DryRun      bool     `json:"dry_run"`
	Fits        bool     `json:"fits"` // afterwards
	Changes     []Change `json:"changes"`
	Remaining   []Row    `json:"remaining"` // what falls short afterwards
	RestoreFile string   `json:"restore_file,omitempty"`
	need        Need
}

// Err is nil when every line was written and the host fits.
func (r ApplyReport) Err() error {
	for _, c := range r.Changes {
		if c.Outcome == Failed || c.Outcome == NotDone || c.Outcome == RolledBack {
			return fmt.Errorf("%w: %s", ErrNotWritten, plural(r.count(Failed, NotDone, RolledBack), "line"))
		}
	}
	if !r.Fits {
		return fmt.Errorf("%w for %s connections: %s that apply cannot change", ErrShort, Count(r.need.Conns),
			plural(int64(len(r.Remaining)), "setting"))
	}
	return nil
}

func (r ApplyReport) count(outcomes ...Outcome) (n int64) {
	for _, c := range r.Changes {
		for _, o := range outcomes {
			if c.Outcome == o {
				n++
			}
		}
	}
	return n
}

// Apply writes the settings that fall short: only what differs, and only upwards
// unless forced. Values before are kept in the restore file before the first
// write. Settings that are not files of the kernel (limits, cgroups) are left to
// who owns them and reported as remaining.
//
// The error is about the need or the restore file, and then nothing was written;
// what became of each line is in the report, whose Err sums it up.
func Apply(root Root, in Inputs, o ApplyOptions) (ApplyReport, error) {
	before, err := Check(root, in)
	if err != nil {
		return ApplyReport{}, err
	}
	r := ApplyReport{DryRun: o.DryRun, need: before.Need}
	for _, row := range before.Rows {
		if row.Target != "" {
			r.Changes = append(r.Changes, prepare(root, row, o.Force))
		}
	}
	if o.Atomic && r.count(Failed) > 0 {
		r.holdBack()
	}
	if r.count(WouldWrite) > 0 {
		write := r.write
		if o.DryRun {
			write = r.tryRestoreFile
		}
		if err := write(root, o); err != nil {
			return ApplyReport{}, err
		}
	}
	if err := r.recheck(root, in, before); err != nil {
		return ApplyReport{}, err
	}
	return r, nil
}

// prepare decides one line without writing.
func prepare(root Root, row Row, force bool) Change {
	c := Change{Name: row.Name, Before: row.Current, After: row.Target, Outcome: WouldWrite, row: row}
	if !row.rule.Raises(row.value, row.target) && !force {
		c.Outcome, c.Why = Kept, "--force lowers it"
		if row.parameter.Word {
			c.Why = "--force changes it"
		}
		return c
	}
	if err := root.Files.Writable(row.parameter.File); err != nil {
		c.Outcome, c.Why = Failed, plain(err).Error()
		if row.Who != "" {
			c.Why += "; " + row.Who
		}
	}
	return c
}

// holdBack keeps every line from being written because one cannot be.
func (r *ApplyReport) holdBack() {
	for i := range r.Changes {
		if c := &r.Changes[i]; c.Outcome == WouldWrite {
			c.Outcome, c.Why = NotDone, "--atomic: another line cannot be written"
		}
	}
}

// tryRestoreFile finds what would keep write from its first line, and neither
// locks nor makes anything.
func (r *ApplyReport) tryRestoreFile(_ Root, o ApplyOptions) error {
	_, err := (&restoreFile{path: o.RestoreFile}).load()
	return err
}

// write saves the way back, then writes line by line.
func (r *ApplyReport) write(root Root, o ApplyOptions) error {
	file, err := openRestoreFile(o.RestoreFile, true)
	if err != nil {
		return err
	}
	defer file.close()
	saved, err := file.load()
	if err != nil {
		return err
	}
	here := identify(root)
	saved.startOver(here)
	r.failOvertaken(root)
	if o.Atomic && r.count(Failed) > 0 {
		r.holdBack()
	}
	var begun []int // only these lines are ours to settle
	for i, c := range r.Changes {
		if c.Outcome == WouldWrite {
			saved.remember(here, c)
			begun = append(begun, i)
		}
	}
	if err := file.save(saved); err != nil {
		return err
	}
	r.RestoreFile = o.RestoreFile
	for i := range r.Changes {
		c := &r.Changes[i]
		if c.Outcome != WouldWrite {
			continue
		}
		if c.Outcome, c.Why = writeLine(root, c.row.parameter, c.After); c.Outcome == Written {
			continue
		}
		if o.Atomic {
			r.rollBack(root, i)
			break
		}
	}
	for _, i := range begun {
		c := r.Changes[i]
		if _, now, err := c.row.parameter.read(root, Host{}); err == nil {
			saved.settle(here, c, now)
		}
	}
	if len(saved.Entries) == 0 {
		r.RestoreFile = ""
	}
	return file.save(saved)
}

// failOvertaken fails the lines that somebody changed since they were judged. They
// were judged without the lock: it makes a directory, and most often there is
// nothing to write.
func (r *ApplyReport) failOvertaken(root Root) {
	for i := range r.Changes {
		c := &r.Changes[i]
		if c.Outcome != WouldWrite {
			continue
		}
		switch _, now, err := c.row.parameter.read(root, Host{}); {
		case err != nil:
			c.Outcome, c.Why = Failed, plain(err).Error()
		case !sameFields(now, c.Before):
			c.Outcome, c.Why = Failed, "somebody set it to "+now+" since it was read; run it again"
		}
	}
}

// writeLine writes a value and reads it back: some settings take a value and keep
// another.
func writeLine(root Root, p Parameter, value string) (Outcome, string) {
	if err := root.Files.Write(p.File, []byte(value+"\n")); err != nil {
		return Failed, plain(err).Error()
	}
	_, now, err := p.read(root, Host{})
	switch {
	case err != nil:
		return Failed, "written, but reading it back: " + plain(err).Error()
	case !sameFields(now, value):
		return Failed, "the kernel kept " + now
	}
	return Written, ""
}

// rollBack sets back, in reverse order, what was written before line failed.
func (r *ApplyReport) rollBack(root Root, failed int) {
	for i := failed; i >= 0; i-- {
		c := &r.Changes[i]
		if c.Outcome != Written && i != failed {
			continue
		}
		outcome, why := writeLine(root, c.row.parameter, c.Before)
		if i == failed {
			continue // it stays the failed one; the write was for a kernel that kept another value
		}
		c.Outcome, c.Why = RolledBack, "--atomic: "+r.Changes[failed].Name+" could not be written"
		if outcome != Written {
			c.Outcome, c.Why = Failed, "written, and could not be set back: "+why
		}
	}
	r.holdBack()
}

// recheck finds what falls short afterwards. A dry run takes the lines that it
// would have written for written.
func (r *ApplyReport) recheck(root Root, in Inputs, before Report) error {
	after := before
	if !r.DryRun {
		var err error
		if after, err = Check(root, in); err != nil {
			return err
		}
	}
	would := map[string]bool{}
	for _, c := range r.Changes {
		if c.Outcome == WouldWrite {
			would[c.Name] = true
		}
	}
	r.Remaining = []Row{}
	for _, row := range after.failing() {
		if !would[row.Name] {
			r.Remaining = append(r.Remaining, row)
		}
	}
	r.Fits = len(r.Remaining) == 0
	return nil
}

// sameFields compares two vectors as the kernel prints them, whatever the white
// space between the fields.
func sameFields(a, b string) bool {
	return strings.Join(strings.Fields(a), " ") == strings.Join(strings.Fields(b), " ")
}
