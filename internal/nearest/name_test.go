package nearest

import "testing"

func TestName(t *testing.T) {
	names := []string{"listen", "max-conns", "heartbeat", "heartbeat-grace", "fd-tables", "LIMPET_NODE"}
	for name, want := range map[string]string{
		"listen": "listen", "Listen": "listen", "lisen": "listen", "hartbeat": "heartbeat", "max-con": "max-conns",
		"fdtables": "fd-tables", "limpet_nod": "LIMPET_NODE", "heartbeatgrace": "heartbeat-grace",
		"": "", "colour": "", "zzz": "", "l": "",
	} {
		if got := Name(name, names); got != want {
			t.Errorf("Name(%q) = %q, want %q", name, got, want)
		}
	}
}

func TestDistance(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{
		{"", "", 0}, {"", "abc", 3}, {"abc", "", 3}, {"abc", "abc", 0}, {"abc", "abd", 1}, {"abc", "bc", 1},
		{"abc", "xabc", 1}, {"ab", "ba", 2}, {"kitten", "sitting", 3}, {"saturday", "sunday", 3},
	} {
		if got := distance(c.a, c.b); got != c.want {
			t.Errorf("distance(%q, %q) = %d, want %d", c.a, c.b, got, c.want)
		}
	}
}
