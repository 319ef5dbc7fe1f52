package config

import "github.com/limpet-gateway/limpet/internal/nearest"

// didYouMean names the key that name was probably meant to be, in the form
// that write gives it, as a phrase to append to a fault; or it returns "".
func didYouMean(name string, write func(key string) string) string {
	names := make([]string, len(keys))
	for i, key := range keys {
		names[i] = key.Name
	}
	best := nearest.Name(name, names)
	if best == "" {
		return ""
	}
	return "; did you mean " + write(best) + "?"
}
