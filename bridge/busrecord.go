package bridge

import (
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// busRecord returns p as Record does, with what only nodes tell each other.
func (p *Push) busRecord(topic string, now time.Time) *kgo.Record {
	r := p.Record(topic, now)
	r.Headers = append(r.Headers, kgo.RecordHeader{Key: headerHops, Value: strconv.AppendInt(nil, int64(p.hops), 10)})
	if p.origin != "" {
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: headerOrigin, Value: []byte(p.origin)})
	}
	if p.spread {
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: headerPart, Value: []byte("1")})
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
	p.hops = maxHops // of a push that does not say: it moves no further
	if hops, err := strconv.Atoi(string(header(r.Headers, headerHops))); err == nil {
		p.hops = hops
	}
	return &p, nil
}
