package sysctl

import (
	"errors"
	"io/fs"
)

// ReadGatewayCost reads the newest benchmark result.
func ReadGatewayCost(results fs.FS) (GatewayCost, error) {
	return GatewayCost{}, errors.New("no results")
}
