package redisdir

import (
	"encoding/binary"
	"errors"

	"github.com/limpet-gateway/limpet/registry"
)

// record is one session as the directory keeps it:
//
//	| epoch 5, big-endian | slot varint | generation varint | incarnation varint |
//
// which is 11 bytes: the slots of up to two million sessions take 3, most
// generations 1 and incarnations 2. The 8 bytes of the process in a session id
// are not repeated in each record: they stand once, in the description of the
// incarnation.
type record struct {
	epoch       registry.Epoch
	slot        uint32
	generation  uint32
	incarnation uint32
}

// errBadValue marks a value in Redis that this version did not write.
var errBadValue = errors.New("not a directory value")

const epochBytes = 5

func (r record) append(dst []byte) []byte {
	dst = append(dst, byte(r.epoch>>32), byte(r.epoch>>24), byte(r.epoch>>16), byte(r.epoch>>8), byte(r.epoch))
	dst = binary.AppendUvarint(dst, uint64(r.slot))
	dst = binary.AppendUvarint(dst, uint64(r.generation))
	return binary.AppendUvarint(dst, uint64(r.incarnation))
}

// eachRecord calls visit for every record of a principal's value.
func eachRecord(value string, visit func(record)) error {
	for len(value) > 0 {
		r, rest, ok := cutRecord(value)
		if !ok {
			return errBadValue
		}
		visit(r)
		value = rest
	}
	return nil
}

// cutRecord reads the record that s begins with.
func cutRecord(s string) (r record, rest string, ok bool) {
	if len(s) < epochBytes+3 {
		return record{}, s, false
	}
	r = record{
		epoch: registry.Epoch(s[0])<<32 | registry.Epoch(s[1])<<24 | registry.Epoch(s[2])<<16 |
			registry.Epoch(s[3])<<8 | registry.Epoch(s[4]),
	}
	if r.slot, rest, ok = cutVarint(s[epochBytes:]); ok {
		if r.generation, rest, ok = cutVarint(rest); ok {
			r.incarnation, rest, ok = cutVarint(rest)
		}
	}
	return r, rest, ok
}

// presence is how many members of a group one node holds: two varints.
type presence struct {
	incarnation uint32
	members     uint32
}

func (p presence) append(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(p.incarnation))
	return binary.AppendUvarint(dst, uint64(p.members))
}

// eachPresence calls visit for every node of a group's value.
func eachPresence(value string, visit func(presence)) error {
	for len(value) > 0 {
		var p presence
		var ok bool
		if p.incarnation, value, ok = cutVarint(value); !ok {
			return errBadValue
		}
		if p.members, value, ok = cutVarint(value); !ok {
			return errBadValue
		}
		visit(p)
	}
	return nil
}

func cutVarint(s string) (v uint32, rest string, ok bool) {
	var n uint64
	for i := 0; i < len(s) && i < binary.MaxVarintLen32; i++ {
		n |= uint64(s[i]&0x7f) << (7 * i)
		if s[i] < 0x80 {
			return uint32(n), s[i+1:], n < 1<<32
		}
	}
	return 0, "", false
}
