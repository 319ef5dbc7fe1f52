package config

import (
	"regexp"
	"strings"
)

// envPrefix starts the name of every variable that is ours.
const envPrefix = "LIMPET_"

// envName is the variable of a key: LIMPET_MAX_CONNS for max-conns.
func envName(key string) string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(key, "-", "_"))
}

// serviceLink matches the variables that Kubernetes puts into every pod for a
// Service named limpet or limpet-something (and Docker links made before it):
// LIMPET_SERVICE_HOST, LIMPET_PORT, LIMPET_PORT_8080_TCP_ADDR,
// LIMPET_API_SERVICE_PORT_HTTP. They are not ours, and must not stop a pod
// from starting. No key may have a name of this form.
var serviceLink = regexp.MustCompile(`^LIMPET(_[A-Z0-9_]+)?_(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT(_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)$`)

// fromEnviron reads the variables LIMPET_*. An empty variable is a value like
// any other; to leave a key alone, leave its variable unset.
func fromEnviron(environ []string) (layer, Faults) {
	known := map[string]string{configEnv: ""}
	for _, key := range keys {
		known[envName(key.Name)] = key.Name
	}
	l, faults := layer{}, Faults(nil)
	for _, variable := range environ {
		name, text, ok := strings.Cut(variable, "=")
		if !ok || !strings.HasPrefix(name, envPrefix) || serviceLink.MatchString(name) {
			continue
		}
		key, ok := known[name]
		switch {
		case !ok:
			meant := strings.ReplaceAll(strings.ToLower(strings.TrimPrefix(name, envPrefix)), "_", "-")
			faults = append(faults, Fault{Key: name, Value: ofNobody(text), Origin: Origin{fromEnvironment, name},
				Problem: "unknown variable" + didYouMean(meant, envName)})
		case key != "":
			l[key] = setting{text, Origin{fromEnvironment, name}}
		}
	}
	return l, faults
}
