package main

import "errors"

// Exit codes of every subcommand.
const (
	exitFailed   = 1 // it ran and the answer is no, or it failed
	exitBadUsage = 2 // flags, arguments or configuration are wrong
)

// exitError carries an exit code that differs from exitFailed.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string { return e.err.Error() }
func (e *exitError) Unwrap() error { return e.err }

// badUsage marks err as the caller's mistake, exit code 2.
func badUsage(err error) error { return &exitError{exitBadUsage, err} }

func exitCode(err error) int {
	var e *exitError
	if errors.As(err, &e) {
		return e.code
	}
	return exitFailed
}
