package config

import (
	"fmt"
	"strings"

	"github.com/limpet-gateway/limpet/internal/inputfile"
)

// Changes says what a reload came to, by the names of keys in the order of the
// documents. Each key is in one of the lists.
type Changes struct {
	Changed   []string // have new values now
	Restart   []string // have new values in the sources, which a restart would bring into force
	Unchanged []string
}

// File is the name of the configuration file, "" for none.
func (l *Loaded) File() string { return l.file }

// Again reads the sources once more: the file as it is now, and over it the
// environment and the flags of this process, which do not change. l stays what
// it is. A pipe has been read at the start, so it is refused. The error is of
// type Faults.
func (l *Loaded) Again() (*Loaded, error) {
	return fromSources(l.file, inputfile.Read, l.env, nil, l.flags)
}

// Merge returns l with those values of next that a reload may change. The
// others stay in force as they are in l, and are named. It fails, with Faults,
// where values that stay and values that come are wrong together. Neither l nor
// next is changed.
func (l *Loaded) Merge(next *Loaded) (*Loaded, Changes, error) {
	merged := &Loaded{Serve: l.Serve, origins: map[string]Origin{}, file: l.file, env: l.env, flags: l.flags}
	var changes Changes
	for _, key := range keys {
		before, after := key.bind(&l.Serve).text(), key.bind(&next.Serve).text()
		merged.origins[key.Name] = next.origins[key.Name]
		switch {
		case before == after:
			changes.Unchanged = append(changes.Unchanged, key.Name)
		case !key.Live:
			merged.origins[key.Name] = l.origins[key.Name]
			changes.Restart = append(changes.Restart, key.Name)
		default:
			changes.Changed = append(changes.Changed, key.Name)
			if err := key.bind(&merged.Serve).set(after); err != nil {
				panic(fmt.Sprintf("config: %s is in force and cannot be set: %v", key.Name, err))
			}
		}
	}
	if faults := merged.disagreements(nil); len(faults) != 0 {
		// next was right in itself, so keys that stay are what does not fit.
		for i := range faults {
			faults[i].Problem += fmt.Sprintf(" (with the values in force; of %s there are new ones, which need a restart)", strings.Join(changes.Restart, ", "))
		}
		return nil, Changes{}, faults
	}
	return merged, changes, nil
}

// Fault is a fault of a value that passed its check and cannot be used all the
// same. It panics for a key that is not in the table.
func (l *Loaded) Fault(key, problem string) Fault {
	row := keyNamed(key)
	return Fault{key, shown(row, row.bind(&l.Serve).text()), l.origins[key], problem}
}
