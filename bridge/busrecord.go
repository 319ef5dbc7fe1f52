package bridge

import (
	"fmt"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/limpet-gateway/limpet/internal/tracing"
)

// busRecord returns p as Record does, with what only nodes tell each other.
func (p *Push) busRecord(topic string, now time.Time) *kgo.Record {
	r := p.Record(topic, now)
	if p.Trace.On() {
		r.Context = p.Trace.Context()
		r.Headers = appendTrace(r.Headers, p.Trace)
	}
	r.Headers = append(r.Headers, kgo.RecordHeader{Key: headerHops, Value: strconv.AppendInt(nil, int64(p.hops), 10)})
	if p.origin != "" {
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: headerOrigin, Value: []byte(p.origin)})
	}
	if p.spread {
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: headerPart, Value: []byte("1")})
	}
	if p.node != 0 {
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: headerFor, Value: fmt.Appendf(nil, "%016x", p.node)})
	}
	return r
}

// parseBusRecord reads what busRecord wrote.
func parseBusRecord(r *kgo.Record) (*Push, error) {
	p, err := ParsePush(r)
	if err != nil {
		return nil, err
	}
	p.origin = string(header(r.Headers, headerOrigin))
	p.spread = header(r.Headers, headerPart) != nil
	p.Trace = tracing.Continue(traceHeaders(r))
	if node := header(r.Headers, headerFor); node != nil {
		if p.node, err = strconv.ParseUint(string(node), 16, 64); err != nil {
			return nil, fmt.Errorf("%w: %s: %.40q: want 16 hexadecimal digits", ErrBadPush, headerFor, node)
		}
	}
	p.hops = maxHops // of a push that does not say: it moves no further
	if hops, err := strconv.Atoi(string(header(r.Headers, headerHops))); err == nil {
		p.hops = hops
	}
	return &p, nil
}
