package sysctl

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Marks around the generated section of README.md.
const (
	sectionBegin = "<!-- tuning:begin -->"
	sectionEnd   = "<!-- tuning:end -->"
)

// updateSection replaces what stands between the markers in a document by the
// generated section. It fails when the markers are not there exactly once, in
// order.
func updateSection(t *testing.T, document []byte) ([]byte, error) {
	t.Helper()
	begin, end := []byte(sectionBegin), []byte(sectionEnd)
	if bytes.Count(document, begin) != 1 || bytes.Count(document, end) != 1 || bytes.Index(document, begin) > bytes.Index(document, end) {
		return nil, fmt.Errorf("the document must hold %s and %s once each, in this order", sectionBegin, sectionEnd)
	}
	section := render(t, Root{}, Need{}, RenderOptions{Format: FormatMarkdown})
	var out bytes.Buffer
	out.Write(document[:bytes.Index(document, begin)+len(begin)])
	out.WriteString("\n" + section)
	out.Write(document[bytes.Index(document, end):])
	return out.Bytes(), nil
}

// The README's tuning section is what the table says.
func TestReadmeSection(t *testing.T) {
	const file = "../README.md"
	have, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	want, err := updateSection(t, have)
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(file, want, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(string(want), string(have)); diff != "" {
		t.Errorf("the tuning section is not the table's, run make docs (-want +got):\n%s", diff)
	}
}

func TestUpdateSection(t *testing.T) {
	out, err := updateSection(t, []byte("before\n"+sectionBegin+"\nold\n"+sectionEnd+"\nafter\n"))
	if err != nil {
		t.Fatal(err)
	}
	text := string(out)
	if !strings.HasPrefix(text, "before\n"+sectionBegin+"\n") || !strings.HasSuffix(text, sectionEnd+"\nafter\n") || strings.Contains(text, "\nold\n") {
		t.Errorf("got %q", text)
	}
	if again, err := updateSection(t, out); err != nil || !bytes.Equal(again, out) {
		t.Errorf("a second update changes it (%v)", err)
	}
	for _, bad := range []string{"", sectionBegin, sectionEnd + sectionBegin, sectionBegin + sectionEnd + sectionEnd} {
		if _, err := updateSection(t, []byte(bad)); err == nil {
			t.Errorf("%q is updated", bad)
		}
	}
}
