package sysctl

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"
)

var update = flag.Bool("update", false, "write the golden files and the README's section")

func render(t *testing.T, root Root, n Need, o RenderOptions) string {
	t.Helper()
	var b bytes.Buffer
	if err := Render(&b, root, assumed(n), o); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// The goldens: one million connections on a modern server, and the same server
// with everything rendered.
func TestRenderGolden(t *testing.T) {
	need := Need{Conns: 1_000_000, Rate: 12_000}
	for name, o := range map[string]RenderOptions{
		"sysctl":     {Format: FormatSysctl},
		"sysctl-all": {Format: FormatSysctl, All: true},
		"limits":     {Format: FormatLimits},
		"systemd":    {Format: FormatSystemd},
		"docker":     {Format: FormatDocker},
		"k8s":        {Format: FormatK8s},
		"markdown":   {Format: FormatMarkdown},
	} {
		t.Run(name, func(t *testing.T) {
			got := render(t, modern.root(t), need, o)
			file := filepath.Join("testdata", "render", name+".golden")
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("differs from %s; go test ./sysctl -update writes it (-want +got):\n%s", file, diff)
			}
		})
	}
}

var sysctlLine = regexp.MustCompile(`(?m)^([a-z0-9_.]+) = ([0-9 ]+)$`)

// A rendered sysctl file makes the host fit: its lines are applied to the fake
// host by hand and the check is asked again.
func TestRenderedSysctlFileFits(t *testing.T) {
	for name, tr := range map[string]tree{"modern": modern, "old": old} {
		for _, all := range []bool{false, true} {
			need := Need{Conns: 300_000, Rate: 12_000, Tables: TablesShared}
			root := tr.root(t)
			text := render(t, root, need, RenderOptions{Format: FormatSysctl, All: all})
			lines := sysctlLine.FindAllStringSubmatch(text, -1)
			if len(lines) < 5 {
				t.Fatalf("%s: %d lines in\n%s", name, len(lines), text)
			}
			for _, line := range lines {
				if line[1] == "net.ipv4.tcp_tw_recycle" {
					t.Errorf("%s: tcp_tw_recycle is set", name)
				}
				if err := root.Files.Write(sysctlFile(line[1]), []byte(line[2])); err != nil && name != "old" {
					t.Errorf("%s: %v", name, err)
				}
			}
			for _, row := range check(t, root, need).Rows {
				if isSysctl(row.parameter) && (row.Verdict == Short || row.Verdict == Advised) {
					t.Errorf("%s, all %v: %s is still %s: %s, needs %s", name, all, row.Name, row.Verdict, row.Current, row.Needed)
				}
			}
		}
	}
}

// Every value in every file has its reason and source above it.
func TestRenderGivesReasons(t *testing.T) {
	for _, f := range []Format{FormatSysctl, FormatLimits, FormatSystemd, FormatDocker, FormatK8s} {
		text := render(t, modern.root(t), Need{Conns: 1_000_000}, RenderOptions{Format: f})
		reasons := 0
		for _, line := range strings.Split(text, "\n") {
			trimmed := strings.TrimSpace(line)
			switch {
			case strings.HasPrefix(trimmed, "# Source: "):
				reasons++
			case f == FormatSysctl && sysctlLine.MatchString(line), strings.HasPrefix(trimmed, "Limit"), strings.HasPrefix(trimmed, "- name: net."),
				strings.HasPrefix(trimmed, "net."), strings.HasPrefix(trimmed, "soft: "):
				if reasons == 0 {
					t.Errorf("%s: no reason above %q", f, line)
				}
				reasons = 0
			}
		}
	}
}

func TestComposeFragment(t *testing.T) {
	var file struct {
		Services map[string]struct {
			Sysctls map[string]string
			Ulimits struct{ Nofile struct{ Soft, Hard int64 } }
		}
	}
	if err := yaml.Unmarshal([]byte(render(t, modern.root(t), Need{Conns: 1_000_000, Rate: 12_000}, RenderOptions{Format: FormatDocker})), &file); err != nil {
		t.Fatal(err)
	}
	s := file.Services["limpet"]
	want := map[string]string{
		"net.core.somaxconn": "4096", "net.ipv4.tcp_max_syn_backlog": "4096", "net.ipv4.tcp_migrate_req": "1",
		"net.ipv4.tcp_rmem": "4096 16384 6291456", "net.ipv4.tcp_max_tw_buckets": "720000",
	}
	if diff := cmp.Diff(want, s.Sysctls); diff != "" {
		t.Errorf("sysctls (-want +got):\n%s", diff)
	}
	if s.Ulimits.Nofile.Soft != 1_001_024 || s.Ulimits.Nofile.Hard != 1_001_024 {
		t.Errorf("nofile %+v", s.Ulimits.Nofile)
	}
}

func TestPodFragment(t *testing.T) {
	var pod struct {
		Spec struct {
			SecurityContext struct {
				Sysctls []struct{ Name, Value string }
			} `yaml:"securityContext"`
			Containers []struct {
				Name      string
				Resources struct{ Limits struct{ Memory string } }
			}
		}
	}
	text := render(t, modern.root(t), Need{Conns: 1_000_000}, RenderOptions{Format: FormatK8s})
	if err := yaml.Unmarshal([]byte(text), &pod); err != nil {
		t.Fatal(err)
	}
	if len(pod.Spec.SecurityContext.Sysctls) < 4 || len(pod.Spec.Containers) != 1 {
		t.Fatalf("%+v", pod)
	}
	memory := pod.Spec.Containers[0].Resources.Limits.Memory
	mib, err := strconv.ParseInt(strings.TrimSuffix(memory, "Mi"), 10, 64)
	if total := check(t, modern.root(t), Need{Conns: 1_000_000, Tables: TablesShared}).Estimate.Total; err != nil || mib != mebibytes(total) {
		t.Errorf("memory limit %q, the estimate is %d MiB", memory, mebibytes(total))
	}
	for _, s := range pod.Spec.SecurityContext.Sysctls {
		for _, p := range Parameters() {
			if p.Name == s.Name && p.Scope != ScopeNetns {
				t.Errorf("%s is of scope %s: no pod can set it", s.Name, p.Scope)
			}
			// The kubelet refuses a pod whose unsafe settings it does not allow.
			if p.Name == s.Name && p.KubeSafe == "" && !regexp.MustCompile(`--allowed-unsafe-sysctls=\S*`+regexp.QuoteMeta(p.Name)).MatchString(text) {
				t.Errorf("%s is unsafe and not in the kubelet's list", s.Name)
			}
		}
	}
}

func TestParseFormat(t *testing.T) {
	for _, f := range Formats() {
		if got, err := ParseFormat(string(f)); err != nil || got != f {
			t.Errorf("%s: %v, %v", f, got, err)
		}
	}
	if _, err := ParseFormat("yaml"); err == nil || !strings.Contains(err.Error(), "sysctl, limits, systemd, docker, k8s, markdown") {
		t.Errorf("%v", err)
	}
	if err := Render(&bytes.Buffer{}, modern.root(t), assumed(Need{Conns: 1}), RenderOptions{Format: "yaml"}); err == nil {
		t.Error("an unknown format is rendered")
	}
}

// Every row of the table says what goes wrong, where that is written, and names
// a file or a fact; names are unique.
func TestTableIsComplete(t *testing.T) {
	h, in := referenceInputs()
	f := newFacts(h, in.Need, in.Kernel, in.Gateway)
	seen := map[string]bool{}
	for _, p := range Parameters() {
		if p.Name == "" || p.Unit == "" || p.Scope == "" || len(p.Reason) < 20 || p.Source == "" || p.rule == nil {
			t.Errorf("%q is incomplete", p.Name)
		}
		if (p.File == "") == (p.current == nil) {
			t.Errorf("%s: either a file or a fact", p.Name)
		}
		if seen[p.Name] {
			t.Errorf("%s is there twice", p.Name)
		}
		seen[p.Name] = true
		if math := p.rule(f).Math; math == "" || strings.Contains(math, "%!") {
			t.Errorf("%s: arithmetic %q", p.Name, math)
		}
		if p.NetnsSince != (Version{}) && p.Scope != ScopeNetns {
			t.Errorf("%s is no netns setting", p.Name)
		}
	}
}
