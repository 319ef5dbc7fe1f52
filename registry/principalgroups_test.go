package registry

import (
	"errors"
	"strings"
	"testing"

	"github.com/limpet-gateway/limpet/internal/session"
)

func TestJoinAndLeaveByPrincipal(t *testing.T) {
	table := NewTable(Config{Incarnation: 1, MaxPerPrincipal: 3, MaxGroups: 2})
	add := func(name string, slot uint32) Ref {
		added, err := table.Add([]byte(name), session.ID{Incarnation: 1, Slot: slot, Generation: 1})
		if err != nil {
			t.Fatal(err)
		}
		return added.Ref
	}
	first := add("a", 1)
	add("a", 2)
	add("b", 3)
	group := []byte("g")
	for range 2 { // joining twice is joining once
		if n, err := table.JoinPrincipal([]byte("a"), group); n != 2 || err != nil {
			t.Fatalf("a joins with %d sessions, %v; want 2", n, err)
		}
	}
	if n := table.GroupSize(group); n != 2 {
		t.Errorf("%d members, want 2", n)
	}
	table.Remove(first)
	if n := table.LeavePrincipal([]byte("a"), group); n != 1 || table.GroupSize(group) != 0 {
		t.Errorf("%d sessions left, %d are members; want 1 and none", n, table.GroupSize(group))
	}
	if n := table.LeavePrincipal([]byte("b"), group); n != 0 {
		t.Errorf("%d sessions left a group that they were not in", n)
	}
	if n, err := table.JoinPrincipal([]byte("nobody"), group); n != 0 || err != nil {
		t.Errorf("nobody joins with %d sessions, %v", n, err)
	}
	if _, err := table.JoinPrincipal([]byte("a"), []byte(strings.Repeat("x", session.MaxName+1))); !errors.Is(err, ErrBadGroup) {
		t.Errorf("a bad name: %v, want ErrBadGroup", err)
	}
	for _, g := range []string{"1", "2"} {
		if _, err := table.JoinPrincipal([]byte("b"), []byte(g)); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := table.JoinPrincipal([]byte("b"), []byte("3")); n != 0 || !errors.Is(err, ErrTooManyGroups) {
		t.Errorf("a third group: %d, %v; want ErrTooManyGroups", n, err)
	}
}
