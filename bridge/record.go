package bridge

import (
	"time"

	"github.com/limpet-gateway/limpet/internal/session"
	"github.com/twmb/franz-go/pkg/kgo"
)

// recordText holds the header values that many records share. They are only
// read.
type recordText struct {
	node     []byte
	opcode   [3][]byte
	priority [3][]byte
}

func newRecordText(node string) recordText {
	t := recordText{node: []byte(node)}
	for _, o := range []session.Opcode{session.Text, session.Binary} {
		t.opcode[o] = []byte(o.String())
	}
	for _, p := range []session.Priority{session.High, session.Medium, session.Low} {
		t.priority[p] = []byte(p.String())
	}
	return t
}

// fill makes it the record of m for topic. Its buffer already holds principal
// and payload; nothing of m is kept.
func (t *recordText) fill(it *item, m *Message, topic string) {
	it.session, it.priority = m.Session, m.Priority
	key := it.buf[:len(m.Principal):len(m.Principal)]
	text, _ := m.Session.AppendText(it.text[:0])
	opcode := t.opcode[session.Binary]
	if m.Opcode == session.Text {
		opcode = t.opcode[session.Text]
	}
	it.headers = [maxHeaders]kgo.RecordHeader{
		{Key: HeaderSession, Value: text},
		{Key: HeaderPrincipal, Value: key},
		{Key: HeaderNode, Value: t.node},
		{Key: HeaderOpcode, Value: opcode},
		{Key: HeaderPriority, Value: t.priority[m.Priority]},
	}
	it.record = kgo.Record{
		Context:   it.within(m.Trace),
		Topic:     topic,
		Key:       key,
		Value:     it.buf[len(m.Principal):],
		Headers:   it.headers[:5],
		Timestamp: time.Now(),
	}
}
