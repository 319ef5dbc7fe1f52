package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"go.yaml.in/yaml/v3"
)

// fileReader is inputfile.ReadFirst at the start and inputfile.Read at a reload:
// either is done in bounded time and memory, whatever name leads to.
type fileReader func(name string) ([]byte, error)

// fromYAML reads a configuration file: one mapping of keys to scalars, or to
// sequences of scalars for lists.
//
// It walks the nodes rather than decode into a map, for three reasons: each
// fault names its line, a key given twice is seen, and a scalar stays the text
// that was written (node: 007 is not the number 7).
func fromYAML(name string, read fileReader) (layer, Faults) {
	whole := func(problem string) (layer, Faults) {
		return layer{}, Faults{{Origin: Origin{fromFile, name}, Problem: problem}}
	}
	data, err := read(name)
	if err != nil {
		return whole(fmt.Sprintf("cannot read it: %v", err))
	}
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	var document, second yaml.Node
	if err := decoder.Decode(&document); err != nil {
		if errors.Is(err, io.EOF) {
			return layer{}, nil // nothing but comments
		}
		return whole(yamlProblem(err))
	}
	if err := decoder.Decode(&second); !errors.Is(err, io.EOF) {
		return whole("want one YAML document, there is more than one")
	}
	root := document.Content[0]
	if root.Kind != yaml.MappingNode {
		return whole("want a mapping of keys to values, as \"listen: 127.0.0.1:8080\"")
	}
	return fromMapping(name, root)
}

// yamlProblem is the library's word for what is wrong. Of a reference to nothing
// it would repeat the name, which is the value of a password that begins with *.
func yamlProblem(err error) string {
	problem := strings.TrimPrefix(err.Error(), "yaml: ")
	if strings.HasPrefix(problem, "unknown anchor") {
		return "a value begins with * and refers to an anchor that is not there: quote it if it is a plain value"
	}
	return problem
}

func fromMapping(name string, root *yaml.Node) (layer, Faults) {
	known := map[string]Key{}
	for _, key := range keys {
		known[key.Name] = key
	}
	l, faults := layer{}, Faults(nil)
	for i := 0; i+1 < len(root.Content); i += 2 {
		keyNode, node := root.Content[i], root.Content[i+1]
		origin := Origin{fromFile, fmt.Sprintf("%s:%d", name, keyNode.Line)}
		fault := func(problem string) {
			faults = append(faults, Fault{keyNode.Value, shown(known[keyNode.Value], node.Value), origin, problem})
		}
		key, ok := known[keyNode.Value]
		if !ok {
			faults = append(faults, Fault{keyNode.Value, ofNobody(node.Value), origin, "unknown key" + didYouMean(keyNode.Value, asIs)})
			continue
		}
		if first, twice := l[key.Name]; twice {
			fault("given twice, first in " + first.origin.detail)
			continue
		}
		text, problem := nodeText(key, node)
		if problem != "" {
			fault(problem)
			continue
		}
		l[key.Name] = setting{text, origin}
	}
	return l, faults
}

// nodeText is the text of a scalar, or of the scalars of a sequence.
func nodeText(key Key, node *yaml.Node) (text, problem string) {
	if node.Kind == yaml.AliasNode {
		node = node.Alias
	}
	switch node.Kind {
	case yaml.ScalarNode:
		if node.Tag == "!!null" {
			return "", `has no value; write "" for an empty one`
		}
		return node.Value, ""
	case yaml.SequenceNode:
		if _, ok := key.bind(&Serve{}).(listValue); !ok {
			return "", "want one value, this is a list"
		}
		parts := make([]string, len(node.Content))
		for i, element := range node.Content {
			if element.Kind != yaml.ScalarNode {
				return "", "want a list of plain values"
			}
			parts[i] = element.Value
		}
		return strings.Join(parts, ","), ""
	default:
		return "", "want a plain value, this is a mapping"
	}
}
