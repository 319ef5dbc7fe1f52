package config

import (
	"bufio"
	"fmt"
	"io"
	"strings"

	"go.yaml.in/yaml/v3"
)

// WriteYAML writes the effective configuration as a file that --config reads
// back to the same values, with the source of each as a comment. Secrets are
// hidden, and have to be put back by hand.
func (l *Loaded) WriteYAML(w io.Writer) error {
	out := bufio.NewWriter(w)
	fmt.Fprintln(out, "# Effective configuration of limpet serve.")
	section := ""
	for _, key := range keys {
		if key.Section != section {
			section = key.Section
			fmt.Fprintf(out, "\n# %s\n", section)
		}
		line, err := yamlLine(key, key.bind(&l.Serve))
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "%-36s # %s\n", line, l.origins[key.Name])
	}
	return out.Flush()
}

func yamlLine(key Key, v value) (string, error) {
	var node any = v.text()
	switch lv, ok := v.(listValue); {
	case key.Secret && v.text() != "":
		node = Hidden
	case v.kind() == "url": // has no user name, and may have an @ in its path
		node = urlQuery.ReplaceAllString(v.text(), "$1$2"+Hidden)
	case ok:
		elements := lv.elements()
		sequence := &yaml.Node{Kind: yaml.SequenceNode, Style: yaml.FlowStyle}
		for _, e := range elements {
			sequence.Content = append(sequence.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: e})
		}
		node = sequence
	case v.kind() == "number" || v.kind() == "bool":
		node = &yaml.Node{Kind: yaml.ScalarNode, Value: v.text()}
	}
	text, err := yaml.Marshal(map[string]any{key.Name: node})
	if err != nil {
		return "", fmt.Errorf("print %s: %w", key.Name, err)
	}
	return strings.TrimSuffix(string(text), "\n"), nil
}

// Markdown returns the configuration table for README.md.
func Markdown() string {
	var b strings.Builder
	b.WriteString("| key | default | allowed | meaning |\n|---|---|---|---|\n")
	for _, key := range keys {
		def := key.DefaultNote
		if key.Default != "" {
			def = "`" + key.Default + "`"
			if key.DefaultNote != "" {
				def += ": " + key.DefaultNote
			}
		}
		cell := func(text string) string { return strings.ReplaceAll(text, "|", `\|`) }
		live := ""
		if key.Live {
			live = " ↻"
		}
		fmt.Fprintf(&b, "| `%s`%s | %s | %s | %s |\n", key.Name, live, cell(def), cell(key.bind(&Serve{}).allowed()), cell(key.Help))
	}
	return b.String()
}
