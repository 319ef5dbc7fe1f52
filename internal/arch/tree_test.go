package arch

import (
	"bufio"
	"bytes"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

const (
	root   = "../.."
	module = "github.com/limpet-gateway/limpet"
)

// goFile is one Go file of this module.
type goFile struct {
	name    string   // relative to the root, as reactor/engine.go
	pkg     string   // its directory, as reactor
	test    bool     // name ends in _test.go
	imports []string // import paths
	lines   int
}

// tree reads every Go file of this module. Nested modules, test data and
// directories that begin with a dot or are made by the build are left out.
func tree(t *testing.T) []goFile {
	t.Helper()
	var files []goFile
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		if d.IsDir() {
			_, statErr := os.Stat(filepath.Join(name, "go.mod"))
			nested := rel != "." && statErr == nil
			if base := d.Name(); nested || rel != "." && (base[0] == '.' || base == "testdata" || base == "bin") {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(rel, ".go") {
			return nil
		}
		f, err := readGoFile(name, rel)
		files = append(files, f)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 10 {
		t.Fatalf("only %d Go files found below %s: the tests look at the wrong place", len(files), root)
	}
	return files
}

func readGoFile(name, rel string) (goFile, error) {
	source, err := os.ReadFile(name)
	if err != nil {
		return goFile{}, err
	}
	parsed, err := parser.ParseFile(token.NewFileSet(), name, source, parser.ImportsOnly)
	if err != nil {
		return goFile{}, err
	}
	f := goFile{name: rel, pkg: path.Dir(rel), test: strings.HasSuffix(rel, "_test.go")}
	for _, spec := range parsed.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return goFile{}, err
		}
		f.imports = append(f.imports, imported)
	}
	for scan := bufio.NewScanner(bytes.NewReader(source)); scan.Scan(); {
		f.lines++
	}
	return f, nil
}

// within reports whether pkg is dir or below it.
func within(pkg, dir string) bool { return pkg == dir || strings.HasPrefix(pkg, dir+"/") }
