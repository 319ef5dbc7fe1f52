package reactor

import (
	"testing"

	"pgregory.net/rapid"
)

// Whatever is queued and taken, each connection gets its own frames in order,
// and the count of bytes is that of what waits.
func TestOutboxProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var o outbox
		o.init()
		conns := make([]*conn, 4)
		want := make([][]*frame, len(conns))
		for i := range conns {
			conns[i] = &conn{slot: uint32(i)}
		}
		for range rapid.IntRange(1, 100).Draw(t, "steps") {
			i := rapid.IntRange(0, len(conns)-1).Draw(t, "conn")
			switch rapid.IntRange(0, 4).Draw(t, "op") {
			case 0, 1, 2:
				f := &frame{plain: make([]byte, rapid.IntRange(0, 9).Draw(t, "size"))}
				o.queue(conns[i], f)
				want[i] = append(want[i], f)
			case 3:
				got := o.pop(conns[i])
				if len(want[i]) == 0 {
					if got != nil {
						t.Fatal("a frame from nowhere")
					}
				} else {
					if got != want[i][0] {
						t.Fatal("wrong frame, or wrong order")
					}
					want[i] = want[i][1:]
				}
			case 4:
				if n := o.drop(conns[i]); n != len(want[i]) {
					t.Fatalf("dropped %d of %d", n, len(want[i]))
				}
				want[i] = nil
			}
			bytes := 0
			for _, fs := range want {
				for _, f := range fs {
					bytes += len(f.plain)
				}
			}
			if o.bytes != bytes {
				t.Fatalf("counts %d bytes, %d wait", o.bytes, bytes)
			}
		}
	})
}

func TestOutboxDirtyOncePerConnection(t *testing.T) {
	var o outbox
	o.init()
	a, b := &conn{slot: 1}, &conn{slot: 2}
	f := &frame{plain: []byte("x")}
	for _, c := range []*conn{a, b, a, a} {
		o.queue(c, f)
	}
	var got []uint32
	for {
		slot, ok := o.nextDirty()
		if !ok {
			break
		}
		got = append(got, slot)
	}
	if len(got) != 2 || got[0] != 1 || got[1] != 2 {
		t.Fatalf("dirty = %v, want [1 2]", got)
	}
}
