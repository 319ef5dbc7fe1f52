package config

import (
	"strings"

	"github.com/spf13/pflag"
)

// Usage lists the flags under the sections of the table; flags that are not
// keys come first. Lines are wrapped at width columns.
func Usage(flags *pflag.FlagSet, width int) string {
	sections := []string{"General"}
	byName := map[string]string{}
	for _, key := range keys {
		byName[key.Name] = key.Section
		if sections[len(sections)-1] != key.Section {
			sections = append(sections, key.Section)
		}
	}
	sets := map[string]*pflag.FlagSet{}
	for _, section := range sections {
		sets[section] = pflag.NewFlagSet(section, pflag.ContinueOnError)
		sets[section].SortFlags = false
	}
	flags.VisitAll(func(f *pflag.Flag) {
		section, ok := byName[f.Name]
		if !ok {
			section = sections[0]
		}
		sets[section].AddFlag(f)
	})
	var b strings.Builder
	for _, section := range sections {
		if sets[section].HasFlags() {
			b.WriteString(section + ":\n" + sets[section].FlagUsagesWrapped(width) + "\n")
		}
	}
	return b.String()
}
