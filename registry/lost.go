package registry

import "context"

// LostSession is a session whose node died with it.
type LostSession struct {
	Principal string
	Session   Session
	Node      string // stable id of the node that held it
}

// LostSink emits a "lost" event for each session that a dead node held. The
// directory calls it on the one node that clears up after the dead one, in
// batches, from one goroutine; for sessions whose principals came back elsewhere
// before that, also on the nodes to which they came.
//
// Lost returns nil once every event is safe. The directory forgets the entries
// only then; after an error it calls again with the same sessions. So each
// event is emitted at least once, and exactly once unless the clearing node
// dies or fails half-way. A consumer can tell a repetition by the session id,
// and a late event by its epoch. The slice is borrowed.
type LostSink interface {
	Lost(ctx context.Context, lost []LostSession) error
}
