package program

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// Require returns the path of a program that a Debian package brings. Without
// it the test ends: failed where the variable CI is true, else skipped.
func Require(t testing.TB, name, debianPackage string) string {
	t.Helper()
	if path, err := exec.LookPath(name); err == nil {
		return path
	}
	// Where Debian has servers, which is not on every user's path.
	if path, err := exec.LookPath(filepath.Join("/usr/sbin", name)); err == nil {
		return path
	}
	message := fmt.Sprintf("%s is not installed: apt-get install %s", name, debianPackage)
	if os.Getenv("CI") == "true" {
		t.Fatal(message)
	}
	t.Skip(message)
	return ""
}
