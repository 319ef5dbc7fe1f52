package arch

import (
	"path"
	"slices"
	"testing"
)

// maxLines keeps a file readable in one sitting.
const maxLines = 500

// vague names say nothing about what is inside, so anything ends up there.
var vague = []string{"util", "utils", "common", "helpers", "helper", "types", "models", "pkg", "misc", "shared", "lib"}

func TestNoVagueNames(t *testing.T) {
	for _, f := range tree(t) {
		for dir := f.pkg; dir != "."; dir = path.Dir(dir) {
			if slices.Contains(vague, path.Base(dir)) {
				t.Errorf("%s: name the package for what it is about, not %q", f.name, path.Base(dir))
			}
		}
	}
}

func TestFilesStayReadable(t *testing.T) {
	for _, f := range tree(t) {
		if f.lines > maxLines {
			t.Errorf("%s has %d lines, at most %d: split it by concept", f.name, f.lines, maxLines)
		}
	}
}

// Every package says in doc.go what it is for (a command says it in main.go).
func TestEveryPackageHasDoc(t *testing.T) {
	documented, packages := map[string]bool{}, map[string]bool{}
	for _, f := range tree(t) {
		packages[f.pkg] = packages[f.pkg] || !f.test
		if base := path.Base(f.name); base == "doc.go" || base == "main.go" {
			documented[f.pkg] = true
		}
	}
	for pkg, hasCode := range packages {
		if hasCode && !documented[pkg] {
			t.Errorf("%s has no doc.go", pkg)
		}
	}
}
