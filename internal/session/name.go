package session

import (
	"fmt"
	"unicode/utf8"
)

// MaxPrincipal is the greatest length of a principal's name in bytes.
const MaxPrincipal = 128

// CheckPrincipal says in ASCII what is wrong with a name of a principal or a group, or
// "". Names travel in record keys and headers, in Redis, in URLs of the API
// and in logs, so they are kept to characters that need no quoting in any of
// these: letters, digits and -._~:@+=/ of ASCII. A line break, which would
// forge a line of a log, is not among them.
func CheckPrincipal(name string) string {
	switch {
	case name == "":
		return "the name of a principal is empty"
	case len(name) > MaxPrincipal:
		return fmt.Sprintf("the name of a principal has %d bytes; at most %d are allowed", len(name), MaxPrincipal)
	}
	for i := range len(name) {
		if !principalByte(name[i]) {
			_, size := utf8.DecodeRuneInString(name[i:])
			return fmt.Sprintf("the name of a principal has %+q at byte %d; letters, digits and -._~:@+=/ are allowed", name[i:i+size], i)
		}
	}
	return ""
}

func principalByte(c byte) bool {
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
