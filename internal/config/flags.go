package config

import "github.com/spf13/pflag"

// The switches of limpet serve that are not keys.
const (
	configFlag = "config"
	configEnv  = envPrefix + "CONFIG"
)

// AddFlags adds a flag for each key to flags, and --config. The flags keep
// what they are given as text: Load checks it together with all the rest, so
// that one run shows every fault.
func AddFlags(flags *pflag.FlagSet) {
	flags.SortFlags = false
	flags.String(configFlag, "", "YAML file with any of these keys")
	for _, key := range keys {
		v := key.bind(&Serve{})
		f := flags.VarPF(&flagText{text: key.Default, word: v.kind(), list: isList(v)}, key.Name, "", flagUsage(key))
		if v.kind() == "bool" {
			f.NoOptDefVal = "true"
		}
		f.DefValue = key.Default
	}
}

// flagUsage says what the default is where pflag would not: it takes "0" and
// "" for no default.
func flagUsage(key Key) string {
	switch {
	case key.DefaultNote == "":
		return key.Help
	case key.Default == "":
		return key.Help + " (default: " + key.DefaultNote + ")"
	default:
		return key.Help + " (default " + key.Default + ": " + key.DefaultNote + ")"
	}
}

func isList(v value) bool {
	_, ok := v.(listValue)
	return ok
}

// flagText is a pflag.Value that accepts any text.
type flagText struct {
	text string
	word string
	list bool // given again, it adds elements
	set  bool
}

func (f *flagText) String() string { return f.text }
func (f *flagText) Type() string   { return f.word }

func (f *flagText) Set(text string) error {
	if f.list && f.set {
		text = f.text + "," + text
	}
	f.text, f.set = text, true
	return nil
}

// fromFlags reads the flags that were given.
func fromFlags(flags *pflag.FlagSet) layer {
	l := layer{}
	for _, key := range keys {
		if f := flags.Lookup(key.Name); f != nil && f.Changed {
			l[key.Name] = setting{f.Value.String(), Origin{fromFlag, key.Name}}
		}
	}
	return l
}
