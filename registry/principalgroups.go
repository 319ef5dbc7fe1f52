package registry

import "github.com/limpet-gateway/limpet/internal/session"

// JoinPrincipal puts every session that the principal has on this node into a
// group, and returns their number. Unlike Join it needs no Ref, so it may be
// called while sessions come and go. It fails like Join, with the number of
// those that had joined before.
func (t *Table) JoinPrincipal(principal, group []byte) (sessions int, err error) {
	if len(group) == 0 || len(group) > session.MaxName {
		return 0, ErrBadGroup
	}
	t.eachOf(principal, func(b []byte) bool {
		if err = t.join(b, group); err == nil {
			sessions++
		}
		return err == nil
	})
	return sessions, err
}

// LeavePrincipal takes the principal's sessions on this node out of a group,
// and returns how many were in.
func (t *Table) LeavePrincipal(principal, group []byte) (sessions int) {
	t.eachOf(principal, func(b []byte) bool {
		if t.leave(b, group) {
			sessions++
		}
		return true
	})
	return sessions
}
