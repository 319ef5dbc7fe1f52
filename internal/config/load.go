package config

import (
	"fmt"
	"os"
	"regexp"
	"strings"

	"github.com/knadh/koanf/providers/confmap"
	"github.com/knadh/koanf/v2"
	"github.com/spf13/pflag"

	"github.com/limpet-gateway/limpet/internal/inputfile"
)

// setting is the text that one source gives for one key.
type setting struct {
	text   string
	origin Origin
}

// layer is what one source gives, by the name of the key.
type layer map[string]setting

// Loaded is an effective configuration together with where it came from.
type Loaded struct {
	Serve
	origins map[string]Origin

	// What a reload needs again.
	file       string // name of the configuration file; "" for none
	env, flags layer
}

// Load merges the flags (registered by AddFlags and parsed), the environment
// (in the form of os.Environ), the file that --config or LIMPET_CONFIG names,
// which may be a pipe, and the defaults. Its error is of type Faults.
func Load(flags *pflag.FlagSet, environ []string) (*Loaded, error) {
	env, envFaults := fromEnviron(environ)
	return fromSources(fileName(flags, environ), inputfile.ReadFirst, env, envFaults, fromFlags(flags))
}

func fromSources(name string, read fileReader, env layer, envFaults Faults, flags layer) (*Loaded, error) {
	file, faults := layer{}, Faults(nil)
	if name != "" {
		file, faults = fromYAML(name, read)
	}
	faults = append(faults, envFaults...)
	loaded, more := merge(defaults(), file, env, flags)
	if faults = append(faults, more...); len(faults) != 0 {
		return nil, faults
	}
	loaded.file, loaded.env, loaded.flags = name, env, flags
	return loaded, nil
}

// fileName is the configuration file; an empty one is none.
func fileName(flags *pflag.FlagSet, environ []string) string {
	if f := flags.Lookup(configFlag); f != nil && f.Changed {
		return f.Value.String()
	}
	for _, variable := range environ {
		if name, ok := strings.CutPrefix(variable, configEnv+"="); ok {
			return name
		}
	}
	return ""
}

func defaults() layer {
	l := layer{}
	for _, key := range keys {
		l[key.Name] = setting{key.Default, Origin{fromDefault, key.DefaultNote}}
	}
	host, err := os.Hostname()
	if err != nil {
		host = "" // no name is as good as none: nodeFromHost has a word for it
	}
	l["node"] = setting{nodeFromHost(host), l["node"].origin}
	return l
}

// merge checks every setting of every layer and lays the layers, given from
// the weakest to the strongest, over each other.
func merge(layers ...layer) (*Loaded, Faults) {
	var faults Faults
	loaded := &Loaded{origins: map[string]Origin{}}
	effective := koanf.New(".")
	for _, l := range layers {
		texts := map[string]any{}
		for _, key := range keys {
			s, ok := l[key.Name]
			if !ok {
				continue
			}
			if problem := check(key, s.text); problem != "" {
				faults = append(faults, Fault{key.Name, shown(key, s.text), s.origin, problem})
				continue
			}
			texts[key.Name] = s.text
			loaded.origins[key.Name] = s.origin
		}
		if err := effective.Load(confmap.Provider(texts, ""), nil); err != nil {
			panic(fmt.Sprintf("config: a map of texts cannot be merged: %v", err))
		}
	}
	for _, key := range keys {
		if err := key.bind(&loaded.Serve).set(effective.String(key.Name)); err != nil && len(faults) == 0 {
			panic(fmt.Sprintf("config: %s passed its check and cannot be set: %v", key.Name, err))
		}
	}
	return loaded, append(faults, loaded.disagreements(faults)...)
}

// check returns what is wrong with text as a value of key, or "".
func check(key Key, text string) string {
	if key.Secret && text == Hidden || strings.HasSuffix(text, "?"+Hidden) {
		return "this is what --print-config shows in place of a secret, not the secret"
	}
	if err := key.bind(&Serve{}).set(text); err != nil {
		return err.Error()
	}
	return ""
}

// Hidden is shown in place of a secret.
const Hidden = "(hidden)"

// shown is a value that was given, good or bad, as it may be repeated.
func shown(key Key, text string) string {
	if key.Secret && text != "" {
		return Hidden
	}
	return withoutCredentials(text)
}

// withoutCredentials hides what somebody may have given of a user name and
// password, though no key allows them: all before the last @, whether or not it
// is a URL that can be read. Of a URL it hides the query as well, in which
// services take keys, and the fragment.
func withoutCredentials(text string) string {
	return urlQuery.ReplaceAllString(userInfo.ReplaceAllString(text, "$1"+Hidden+"@"), "$1$2"+Hidden)
}

var (
	userInfo = regexp.MustCompile(`(?s)^([A-Za-z][A-Za-z0-9+.-]*://)?.*@`)
	urlQuery = regexp.MustCompile(`(?s)(://[^?#]*)([?#]).+`)
)
