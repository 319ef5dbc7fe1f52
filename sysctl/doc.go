// Package sysctl says whether a host can hold a number of connections, and
// makes it so.
package sysctl
