// Package ci holds the tests of the scripts that continuous integration runs
// (.ci). It has no code of its own.
package ci
