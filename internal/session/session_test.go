package session

import (
	"errors"
	"strings"
	"testing"
)

func TestIDText(t *testing.T) {
	id := ID{Incarnation: 0x0123456789abcdef, Slot: 0xdeadbeef, Generation: 7}
	const text = "0123456789abcdefdeadbeef00000007"
	if got := id.String(); got != text {
		t.Fatalf("String() = %q, want %q", got, text)
	}
	back, err := ParseID(text)
	if err != nil || back != id {
		t.Fatalf("ParseID(%q) = %v, %v", text, back, err)
	}
	for _, bad := range []string{"", "0", text + "0", "zz" + text[2:]} {
		if got, err := ParseID(bad); !errors.Is(err, ErrBadID) || !got.IsZero() {
			t.Errorf("ParseID(%q) = %v, %v; want ErrBadID", bad, got, err)
		}
	}
}

func TestEveryReasonIsComplete(t *testing.T) {
	words := map[string]CloseReason{}
	for _, r := range Reasons() {
		word, code := r.String(), r.Code()
		if word == "" {
			t.Errorf("reason %d has no word", r)
		}
		if other, ok := words[word]; ok {
			t.Errorf("reasons %d and %d share the word %q", r, other, word)
		}
		words[word] = r
		// RFC 6455 section 7.4: only these ranges may be sent.
		if code != 0 && !(code >= 1000 && code <= 1013 && code != 1004 && code != 1005 && code != 1006) && !(code >= 4000 && code <= 4999) {
			t.Errorf("%s: code %d must not be sent", word, code)
		}
	}
	if got := CloseReason(200).Code(); got != 1011 {
		t.Errorf("unknown reason has code %d, want 1011", got)
	}
}

func TestParseNames(t *testing.T) {
	for _, p := range []Priority{Low, Medium, High} {
		if got, err := ParsePriority(p.String()); err != nil || got != p {
			t.Errorf("ParsePriority(%q) = %v, %v", p, got, err)
		}
	}
	for _, o := range []Opcode{Text, Binary} {
		if got, err := ParseOpcode(o.String()); err != nil || got != o {
			t.Errorf("ParseOpcode(%q) = %v, %v", o, got, err)
		}
	}
	if _, err := ParsePriority("urgent"); err == nil {
		t.Error("ParsePriority accepted an unknown word")
	}
	if _, err := ParseOpcode("ping"); err == nil {
		t.Error("ParseOpcode accepted a control opcode")
	}
}

// What is wrong with a name goes into HTTP answers and logs, so it is ASCII and
// has no control characters, whatever the name is.
func TestWrongPrincipals(t *testing.T) {
	for name, want := range map[string]string{
		"":                             "is empty",
		"a b":                          `" " at byte 1`,
		"a\r\nSet: b":                  `"\r" at byte 1`,
		"dev-\u00e9":                   `"\u00e9" at byte 4`,
		"\xff\xfe":                     `"\xff" at byte 0`,
		strings.Repeat("x", MaxName+1): "129 bytes",
	} {
		got := CheckName(name)
		if !strings.Contains(got, want) {
			t.Errorf("%q: %q; want ...%s...", name, got, want)
		}
		for _, c := range []byte(got) {
			if c < ' ' || c > '~' {
				t.Errorf("%q: %q is not printable ASCII", name, got)
			}
		}
	}
	if fault := CheckName(strings.Repeat("x", MaxName)); fault != "" {
		t.Errorf("%s", fault)
	}
}
