package api

import (
	"errors"
	"fmt"
	"net/http"
)

// Reloaded is what a reload of the configuration came to, by the names of keys.
// Each key is in one of the lists.
type Reloaded struct {
	File      string   `json:"file"`      // that was read; "" where there is none
	Changed   []string `json:"changed"`   // have new values now
	Restart   []string `json:"restart"`   // have new values that only a restart brings into force
	Unchanged []string `json:"unchanged"` // are as they were
}

// Fault is one thing that is wrong with a configuration. Secrets are hidden.
type Fault struct {
	Key     string `json:"key,omitempty"` // "" for a whole file
	Value   string `json:"value,omitempty"`
	Source  string `json:"source"`
	Problem string `json:"problem"`
}

// Faults are why a configuration was not loaded, all of them.
type Faults []Fault

func (f Faults) Error() string {
	if len(f) == 1 {
		return "1 fault in the configuration; everything stays as it was"
	}
	return fmt.Sprintf("%d faults in the configuration; everything stays as it was", len(f))
}

// ErrConflict is wrapped by V1's errors about what cannot be done in the state
// that the gateway is in.
var ErrConflict = errors.New("not now")

// reload answers POST /v1/reload.
func (v *v1) reload(w http.ResponseWriter, r *http.Request) {
	done, err := v.node.Reload(r.Context())
	var faults Faults
	switch {
	case errors.As(err, &faults):
		writeDocument(w, http.StatusUnprocessableEntity, "application/problem+json", struct {
			Problem
			Faults Faults `json:"faults"`
		}{Problem{
			Type: "urn:limpet:problem:configuration", Title: "The configuration has faults",
			Status: http.StatusUnprocessableEntity, Detail: faults.Error(),
		}, faults})
	case err != nil:
		fail(w, err)
	default:
		for _, list := range []*[]string{&done.Changed, &done.Restart, &done.Unchanged} {
			if *list == nil {
				*list = []string{} // an empty list, not null
			}
		}
		WriteJSON(w, http.StatusOK, done)
	}
}
