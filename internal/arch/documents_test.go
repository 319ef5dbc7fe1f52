package arch

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// quoted finds what a document sets as code.
var quoted = regexp.MustCompile("`([^`\n]+)`")

// The table of packages names every package, itself or with the one that it
// is below, and none that is not there.
func TestArchitectureNamesEveryPackage(t *testing.T) {
	var rows []string
	_, table, _ := strings.Cut(document(t, "ARCHITECTURE.md"), "\n## Packages\n")
	table, _, _ = strings.Cut(table, "\nArrows point one way")
	for line := range strings.Lines(table) {
		if !strings.HasPrefix(line, "| `") {
			continue
		}
		first, _, _ := strings.Cut(line[2:], " | ")
		parent := ""
		for _, name := range quoted.FindAllStringSubmatch(first, -1) {
			if pkg := name[1]; parent != "" { // | `internal/config`, `api` |
				rows = append(rows, parent+"/"+pkg)
			} else {
				rows = append(rows, pkg)
				parent = filepath.Dir(pkg)
			}
		}
	}
	if len(rows) < 10 {
		t.Fatalf("only %d packages found in the table: %v", len(rows), rows)
	}
	packages := map[string]bool{}
	for _, f := range tree(t) {
		packages[f.pkg] = true
	}
	for pkg := range packages {
		if !slices.ContainsFunc(rows, func(row string) bool { return within(pkg, row) }) {
			t.Errorf("ARCHITECTURE.md does not say what %s is", pkg)
		}
	}
	for _, row := range rows {
		if !packages[row] {
			t.Errorf("ARCHITECTURE.md speaks of a package %s, which is not there", row)
		}
	}
}

// Files that documents name exist: in code by their path, in links too.
func TestDocumentsNameFilesThatExist(t *testing.T) {
	file := regexp.MustCompile(`^[\w.-]+(/[\w.-]+)+\.(go|lua|json|yml|md|sh|txt)$`)
	link := regexp.MustCompile(`\]\(([^)#:]+)\)`)
	for _, name := range []string{"ARCHITECTURE.md", "README.md", "CHANGELOG.md", "bench/report/SCHEMA.md"} {
		text := document(t, name)
		var named []string
		for _, code := range quoted.FindAllStringSubmatch(text, -1) {
			if file.MatchString(code[1]) {
				named = append(named, code[1])
			}
		}
		for _, target := range link.FindAllStringSubmatch(text, -1) {
			named = append(named, target[1])
		}
		for _, path := range named {
			if _, err := os.Stat(filepath.Join(root, path)); err != nil {
				t.Errorf("%s names %s: %v", name, path, err)
			}
		}
	}
}

// A doc.go that names files of its package names files that exist.
func TestPackagesNameFilesThatExist(t *testing.T) {
	file := regexp.MustCompile(`\b([\w-]+/)*[\w-]+\.(go|lua)\b`)
	for _, f := range tree(t) {
		if filepath.Base(f.name) != "doc.go" {
			continue
		}
		comment, _, _ := strings.Cut(document(t, f.name), "\npackage ")
		for _, named := range file.FindAllString(comment, -1) {
			if _, err := os.Stat(filepath.Join(root, f.pkg, named)); err != nil {
				t.Errorf("%s names %s: %v", f.name, named, err)
			}
		}
	}
}

func document(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
