package session

import (
	"fmt"
	"unicode/utf8"
)

// MaxName is the greatest length of the name or a group, in bytes.
const MaxName = 128

// CheckName says in ASCII what is wrong with the name or a group,
// or "". Names travel in record keys and headers, in Redis, in URLs of the API
// and in logs, so they are kept to characters that need no quoting in any of
// these: letters, digits and -._~:@+=/ of ASCII. A line break, which would
// forge a line of a log, is not among them.
func CheckName(name string) string {
	switch {
	case name == "":
		return "the name is empty"
	case len(name) > MaxName:
		return fmt.Sprintf("the name has %d bytes; at most %d are allowed", len(name), MaxName)
	}
	for i := range len(name) {
		if !nameByte(name[i]) {
			_, size := utf8.DecodeRuneInString(name[i:])
			return fmt.Sprintf("the name has %+q at byte %d; letters, digits and -._~:@+=/ are allowed", name[i:i+size], i)
		}
	}
	return ""
}

func nameByte(c byte) bool {
	switch {
	case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		return true
	}
	switch c {
	case '-', '.', '_', '~', ':', '@', '+', '=', '/':
		return true
	}
	return false
}
