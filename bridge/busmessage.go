package bridge

import (
	"encoding/binary"
	"errors"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// A push as one message: a version, then the record's time in milliseconds, the
// number of headers, their names and values, and the rest is the payload.
// Numbers are uvarints, texts follow their length.
const messageVersion = 1

func appendPush(dst []byte, p *Push) []byte {
	r := p.busRecord("", time.Now())
	dst = append(dst, messageVersion)
	dst = binary.AppendUvarint(dst, uint64(r.Timestamp.UnixMilli()))
	dst = binary.AppendUvarint(dst, uint64(len(r.Headers)))
	for _, h := range r.Headers {
		dst = append(binary.AppendUvarint(dst, uint64(len(h.Key))), h.Key...)
		dst = append(binary.AppendUvarint(dst, uint64(len(h.Value))), h.Value...)
	}
	return append(dst, r.Value...)
}

var errBadMessage = errors.New("not a message of the bus")

func parseMessage(data []byte) (*Push, error) {
	if len(data) == 0 || data[0] != messageVersion {
		return nil, errBadMessage
	}
	rest := data[1:]
	number := func() (uint64, bool) {
		n, size := binary.Uvarint(rest)
		if size <= 0 {
			return 0, false
		}
		rest = rest[size:]
		return n, true
	}
	text := func() ([]byte, bool) {
		n, ok := number()
		if !ok || n > uint64(len(rest)) {
			return nil, false
		}
		t := rest[:n]
		rest = rest[n:]
		return t, true
	}
	at, ok1 := number()
	headers, ok2 := number()
	if !ok1 || !ok2 || headers > maxBusHeaders {
		return nil, errBadMessage
	}
	r := kgo.Record{Timestamp: time.UnixMilli(int64(at))}
	for range headers {
		key, ok1 := text()
		value, ok2 := text()
		if !ok1 || !ok2 {
			return nil, errBadMessage
		}
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: string(key), Value: value})
	}
	r.Value = rest
	return parseBusRecord(&r)
}

const maxBusHeaders = 32
