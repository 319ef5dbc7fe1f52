package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// The alert rules pass their own unit tests, and speak of metrics that a
// gateway has.
func TestAlertRules(t *testing.T) {
	dir := filepath.Join("..", "..", "deploy", "prometheus")
	rules := filepath.Join(dir, "alerts.yml")
	content, err := os.ReadFile(rules)
	if err != nil {
		t.Fatal(err)
	}
	p := startProcess(t, 0)
	p.mustDial("dev1")
	text, _ := p.scrape()
	names := regexp.MustCompile(`\b(?:limpet|go_gc)_[a-z_]+[({\[ )]`).FindAllString(string(content), -1)
	if len(names) < 10 {
		t.Fatalf("found %q in the rules", names)
	}
	for _, name := range names {
		name = strings.TrimSuffix(name[:len(name)-1], "_bucket")
		if !strings.Contains(text, "# TYPE "+name+" ") {
			t.Errorf("the rules speak of %s, which a gateway does not have", name)
		}
	}
	promtool(t, "", "check", "rules", rules)
	promtool(t, "", "test", "rules", filepath.Join(dir, "alerts_test.yml"))
}
