package sysctl

import "errors"

var (
	errUnread   = errors.New("could not be read")
	errNoCgroup = errors.New("no cgroup limits this process")
	// ErrShort is what a check that does not fit comes to.
	ErrShort = errors.New("the host falls short")
)
