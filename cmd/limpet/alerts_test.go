package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
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
	names := regexp.MustCompile(`\b(?:limpet|go_gc)_[a-z_]+[({\[ )]`).FindAllString(string(content), -1)
	if len(names) < 10 {
		t.Fatalf("found %q in the rules", names)
	}
	// Some metrics are there only once their subject is, as a partition's lag.
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		text, _ := p.scrape()
		missing := slices.DeleteFunc(slices.Clone(names), func(name string) bool {
			return strings.Contains(text, "# TYPE "+strings.TrimSuffix(name[:len(name)-1], "_bucket")+" ")
		})
		if len(missing) == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the rules speak of %q, which a gateway does not have", missing)
		}
	}
	promtool(t, "", "check", "rules", rules)
	promtool(t, "", "test", "rules", filepath.Join(dir, "alerts_test.yml"))
}
