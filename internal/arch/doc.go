// Package arch holds the rules about the shape of the source tree, as tests:
// which package may import which and why the others may not, where each
// adapter to a foreign library lives, which names say nothing, and how long a
// file may be. It has no code of its own.
package arch
