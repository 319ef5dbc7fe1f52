package listing

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/limpet-gateway/limpet/internal/api/client"
	"github.com/limpet-gateway/limpet/internal/session"
	"github.com/limpet-gateway/limpet/registry"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func serve(t *testing.T, handler http.Handler) Remote {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return Remote{client.API{Addr: server.Listener.Addr().String()}}
}

// What a node serves is what a reader sees: names of any bytes, and more of
// them than one buffer holds.
func TestListing(t *testing.T) {
	table := registry.NewTable(registry.Config{Incarnation: 7})
	want := map[string]registry.Session{}
	add := func(name string, slot uint32) registry.Ref {
		id := session.ID{Incarnation: 7, Slot: slot, Generation: 1}
		added, err := table.Add([]byte(name), id)
		if err != nil {
			t.Fatal(err)
		}
		want[name] = registry.Session{ID: id, Epoch: added.Epoch}
		return added.Ref
	}
	ref := add("\xffnot text", 1)
	for i := range uint32(2000) {
		add(fmt.Sprint("dev", i), 2+i)
	}
	if err := table.Join(ref, []byte("room")); err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("GET "+SessionsPath, Sessions(table))
	mux.Handle("GET "+GroupsPath, Groups(table))
	remote := serve(t, mux)
	got := map[string]registry.Session{}
	if err := remote.Walk(t.Context(), func(name string, s registry.Session) { got[name] = s }); err != nil {
		t.Fatal(err)
	}
	if !maps.Equal(got, want) {
		t.Errorf("%d sessions are read, %d are there", len(got), len(want))
	}
	groups := map[string]int{}
	if err := remote.WalkGroups(t.Context(), func(name string, members int) { groups[name] = members }); err != nil {
		t.Fatal(err)
	}
	if !maps.Equal(groups, map[string]int{"room": 1}) {
		t.Errorf("groups %v", groups)
	}
}

func TestListingWithoutAnEnd(t *testing.T) {
	remote := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"principal":"YW5u","session":"00000000000000070000000100000001","epoch":1}`+"\n")
	}))
	seen := 0
	if err := remote.Walk(t.Context(), func(string, registry.Session) { seen++ }); !errors.Is(err, errCutOff) || seen != 1 {
		t.Errorf("%d sessions, %v", seen, err)
	}
	remote = serve(t, http.NotFoundHandler())
	if err := remote.WalkGroups(t.Context(), func(string, int) {}); err == nil || !strings.Contains(err.Error(), "404") {
		t.Errorf("%v", err)
	}
}
