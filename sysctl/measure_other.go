//go:build !linux

package sysctl

import (
	"context"
	"errors"
)

// MeasurePairs is how many loopback connections Measure opens when it may.
const MeasurePairs = 2000

// Measure needs Linux.
func Measure(context.Context, Root, int) (KernelCost, error) {
	return KernelCost{}, errors.New("measure a socket: only on Linux")
}
