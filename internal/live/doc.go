// Package live shows snapshots of a running gateway in a terminal: as text for
// limpet stats, and as a view that renews itself for limpet top. It knows
// neither where snapshots come from nor when: its callers ask for them.
package live
