package reactor

import (
	"errors"
	"sync/atomic"
	"testing"
)

func newTestMailbox(items, bytes int) (*mailbox, *int) {
	wakes := 0
	most := new(atomic.Int64)
	most.Store(int64(bytes))
	return &mailbox{maxItems: items, maxBytes: most, wake: func() error { wakes++; return nil }}, &wakes
}

func TestMailboxWakesOnce(t *testing.T) {
	b, wakes := newTestMailbox(10, 1000)
	for range 3 {
		if err := b.put(mail{kind: mailClose}); err != nil {
			t.Fatal(err)
		}
	}
	if *wakes != 1 {
		t.Fatalf("3 puts woke the loop %d times, want 1", *wakes)
	}
	if got := b.takeAll(nil); len(got) != 3 {
		t.Fatalf("took %d of 3", len(got))
	}
	if err := b.put(mail{}); err != nil {
		t.Fatal(err)
	}
	if *wakes != 1 {
		t.Fatal("a put woke a loop that was reading")
	}
	if b.sleep() {
		t.Fatal("the loop slept over a mail")
	}
	b.takeAll(nil)
	if !b.sleep() {
		t.Fatal("the loop could not sleep on an empty box")
	}
	if err := b.put(mail{}); err != nil {
		t.Fatal(err)
	}
	if *wakes != 2 {
		t.Fatal("a put did not wake a sleeping loop")
	}
}

func TestMailboxBounds(t *testing.T) {
	b, _ := newTestMailbox(2, 1000)
	for range 2 {
		if err := b.put(mail{frame: &frame{}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.put(mail{frame: &frame{}}); !errors.Is(err, ErrFull) {
		t.Fatalf("third of two: %v, want ErrFull", err)
	}
	for _, kind := range []mailKind{mailClose, mailDrain} {
		if err := b.put(mail{kind: kind}); err != nil {
			t.Fatalf("a full box refuses what is no push: %v", err)
		}
	}

	b, _ = newTestMailbox(100, 1000)
	big := &frame{plain: make([]byte, 5000)}
	if err := b.put(mail{frame: big}); err != nil {
		t.Fatalf("one large mail does not fit an empty box: %v", err)
	}
	if err := b.put(mail{frame: &frame{plain: make([]byte, 1)}}); !errors.Is(err, ErrFull) {
		t.Fatalf("beyond the bytes: %v, want ErrFull", err)
	}
	if items, bytes, _ := b.depth(); items != 1 || bytes != 5000 {
		t.Fatalf("depth = %d, %d", items, bytes)
	}
	if _, _, full := b.depth(); full != 1 {
		t.Fatalf("counted %d pushes without room, want 1", full)
	}
	b.takeAll(nil)
	if items, bytes, _ := b.depth(); items != 0 || bytes != 0 {
		t.Fatalf("depth after takeAll = %d, %d", items, bytes)
	}
}
