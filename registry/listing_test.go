package registry

import (
	"bufio"
	"encoding/json"
	"net/http/httptest"
	"testing"
)

func TestListing(t *testing.T) {
	table := newTestTable(1)
	added := mustAdd(t, table, "\xffnot text", 7)
	mustAdd(t, table, "ann", 8)
	_ = table.Join(added.Ref, []byte("room"))
	answer := httptest.NewRecorder()
	table.SessionsHandler().ServeHTTP(answer, httptest.NewRequest("GET", "/", nil))
	got := map[string]ListedSession{}
	for lines := bufio.NewScanner(answer.Body); lines.Scan(); {
		var s ListedSession
		if err := json.Unmarshal(lines.Bytes(), &s); err != nil {
			t.Fatal(err)
		}
		got[string(s.Principal)] = s
	}
	if s := got["\xffnot text"]; s.Session != id(7) || s.Epoch != added.Epoch {
		t.Errorf("listed as %+v", s)
	}
	if _, ended := got[""]; !ended || len(got) != 3 {
		t.Errorf("%d lines, the end among them: %v", len(got), ended)
	}
	answer = httptest.NewRecorder()
	table.GroupsHandler().ServeHTTP(answer, httptest.NewRequest("GET", "/", nil))
	if want := "{\"group\":\"cm9vbQ==\",\"members\":1}\n{}\n"; answer.Body.String() != want {
		t.Errorf("groups listed as %q, want %q", answer.Body, want)
	}
}
