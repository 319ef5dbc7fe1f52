package bridge

import (
	"context"
	"math/bits"
	"sync"

	"github.com/limpet-gateway/limpet/internal/session"
	"github.com/twmb/franz-go/pkg/kgo"
)

// item is one record on its way: the buffer that holds key and payload, and
// everything that Kafka's client needs to be told, in one pooled object, so
// that a message costs no allocation in steady state.
//
// It is owned by the loop until it is in a worker's queue, then by the worker,
// then by the client until it calls back.
type item struct {
	// The client carries record.Context through to the call-back, which finds
	// the item there by Value, also when a hook has wrapped the context. It is the
	// background, and never written: the client may look at a record's context
	// after the call-back.
	context.Context

	record  kgo.Record
	headers [maxHeaders]kgo.RecordHeader
	text    [session.IDTextLen]byte // the session id as text
	buf     []byte                  // key, then payload

	session  session.ID
	priority session.Priority
	class    int8   // of buf; -1 when it is not pooled
	reserved int64  // cost of the buffer that was asked for
	seq      uint64 // order in its worker
	worker   *worker
	err      error  // why it failed last
	renewals uint32 // Uplink.renewals when it was produced
	alone    bool   // was sent with nothing else in its batch
}

const maxHeaders = 7 // 5, and those of a trace

// itemKey is how the call-back asks a context for its item.
type itemKey struct{}

func (it *item) Value(key any) any {
	if key == (itemKey{}) {
		return it
	}
	return it.Context.Value(key)
}

// itemOf returns the item of a record, which it has since produce.
func itemOf(r *kgo.Record) *item { return r.Context.Value(itemKey{}).(*item) }

// itemOverhead is what an item occupies beside its buffer: 560 B of its own, and
// the client's bookkeeping of a buffered record.
const itemOverhead = 640

// cost is the number of bytes that a buffer of n bytes takes from the budget.
func cost(n int) int64 {
	class := classOf(n)
	if class < 0 {
		return itemOverhead + int64(n)
	}
	return itemOverhead + int64(smallestBuffer<<class)
}

// cost is what was reserved for the item, also when its buffer grew since.
func (it *item) cost() int64 { return it.reserved }

// Buffers are pooled in classes of 256 B, 512 B ... 128 KiB: at most half of a
// buffer is unused. Larger ones are left to the garbage collector.
const (
	smallestBuffer = 256
	bufferClasses  = 10
)

var itemPools [bufferClasses]sync.Pool

// classOf returns the class of a buffer for n bytes, or -1.
func classOf(n int) int {
	class := 0
	if n > smallestBuffer {
		class = bits.Len(uint(n-1)) - bits.Len(uint(smallestBuffer-1))
	}
	if class >= bufferClasses {
		return -1
	}
	return class
}

// newItem returns an item with an empty buffer for n bytes.
func newItem(n int) *item {
	class := classOf(n)
	if class < 0 {
		return &item{Context: context.Background(), class: -1, reserved: cost(n), buf: make([]byte, 0, n)}
	}
	if it, ok := itemPools[class].Get().(*item); ok {
		return it
	}
	return &item{Context: context.Background(), class: int8(class), reserved: cost(n), buf: make([]byte, 0, smallestBuffer<<class)}
}

// free returns the item to its pool. Nobody may hold it, nor its buffer.
func (it *item) free() {
	if it.class < 0 || cap(it.buf) != smallestBuffer<<it.class {
		return
	}
	it.record = kgo.Record{}
	it.headers = [maxHeaders]kgo.RecordHeader{}
	it.buf = it.buf[:0]
	it.session, it.seq, it.worker, it.err, it.renewals, it.alone = session.ID{}, 0, nil, nil, 0, false
	itemPools[it.class].Put(it)
}
