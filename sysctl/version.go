package sysctl

import (
	"fmt"
	"strconv"
	"strings"
)

// Version is a kernel version as far as it decides anything here. The zero
// Version means "no bound" in a Parameter and "unknown" in a Host.
type Version struct{ Major, Minor int }

// ParseVersion reads the leading numbers of a release such as "6.8.0-31-generic".
func ParseVersion(release string) (Version, error) {
	major, rest, ok := strings.Cut(release, ".")
	digits := len(rest) - len(strings.TrimLeft(rest, "0123456789"))
	v := Version{}
	var err1, err2 error
	v.Major, err1 = strconv.Atoi(major)
	v.Minor, err2 = strconv.Atoi(rest[:digits])
	if !ok || err1 != nil || err2 != nil || v.Major < 1 {
		return Version{}, fmt.Errorf("kernel release %q is not of the form MAJOR.MINOR", clip(release))
	}
	return v, nil
}

// Before says whether v is older than w. An unknown v is never older: a host
// that hides its release is taken for a current one.
func (v Version) Before(w Version) bool {
	if v == (Version{}) {
		return false
	}
	return v.Major < w.Major || v.Major == w.Major && v.Minor < w.Minor
}

func (v Version) String() string {
	if v == (Version{}) {
		return "unknown"
	}
	return fmt.Sprintf("%d.%d", v.Major, v.Minor)
}

// clip shortens foreign text for an error message.
func clip(s string) string {
	const most = 40
	if len(s) > most {
		return s[:most] + "..."
	}
	return s
}
