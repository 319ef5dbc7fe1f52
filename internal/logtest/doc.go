// Package logtest is a log for tests: what parts under test write from their
// goroutines, and a test reads meanwhile. Only tests import it.
package logtest
