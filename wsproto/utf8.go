package wsproto

import "unicode/utf8"

// validPrefix checks text that has not arrived in full (RFC 6455 section 8.1).
// n bytes are whole characters; what is left of b, three bytes at most, may
// still become one. ok is false as soon as no continuation could be UTF-8.
//
// The bulk goes through utf8.Valid, eight bytes at a time where it is ASCII.
// Only a last lead byte that lacks its followers is looked at here, and
// utf8.FullRune takes a sequence that is already wrong (E0 80, ED A0, F4 90)
// for a full one, so it fails in utf8.Valid at once, not when it completes.
// A table-driven automaton needs no look back but costs about 1 ns a byte.
func validPrefix(b []byte) (n int, ok bool) {
	n = len(b)
	for i := len(b) - 1; i >= 0 && len(b)-i < utf8.UTFMax; i-- {
		if utf8.RuneStart(b[i]) {
			if !utf8.FullRune(b[i:]) {
				n = i
			}
			break
		}
	}
	return n, utf8.Valid(b[:n])
}
