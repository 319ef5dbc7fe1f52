package config

import "regexp"

var (
	// priorityRule is the form of bridge.ParsePriorityRules.
	priorityRule = regexp.MustCompile(`^(prefix:([^\\]|\\x[0-9a-fA-F]{2}|\\\\)+=(high|medium|low)|json:[^"\\]+)$`)
	// tokenForm is that of RFC 6750 section 2.1.
	tokenForm = regexp.MustCompile(`^[A-Za-z0-9._~+/-]{16,512}=*$`)
)

func priorityRules(field *[]string) value {
	return list{field, "rule,...", `prefix:TEXT=high|medium|low, with \xNN for any byte, or json:FIELD`, priorityRule.MatchString}
}

// redisForm leaves the details to the client library.
var redisForm = regexp.MustCompile(`^rediss?://[^\s]+$`)

func redisURL(field *string) value {
	want := "redis://HOST:PORT, or rediss:// for TLS"
	return checked(field, "url", want, asIs, func(text string) (string, bool) {
		return text, text == "" || redisForm.MatchString(text)
	})
}

func bearerToken(field *string) value {
	want := "16 to 512 letters, digits and -._~+/, with = at the end only"
	return checked(field, "text", want, asIs, func(text string) (string, bool) {
		return text, text == "" || tokenForm.MatchString(text)
	})
}
