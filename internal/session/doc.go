// Package session is the vocabulary that reactor, registry and bridge share:
// the session's id, what names may be, the opcode and priority of a message, and
// the reason for which a session ends. It holds values only: no state, I/O or goroutines.
package session
