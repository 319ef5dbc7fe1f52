package redisdir

import (
	"math/bits"
	"strconv"
)

// Keys. Each is in the hash slot of what stands in braces, so that a script
// finds all it needs on one master of a Redis Cluster.
//
//	lp:{b:N}            bucket N of principals: principal → sessions
//	lp:{b:N}:l          the same for principals or values above 64 bytes
//	lp:{g:N}, lp:{g:N}:l  bucket N of groups: group → members per node
//	lp:node:ID          lease of a node, with expiry: "incarnation sessions api bus"
//	lp:node:ID:displaced  list of sessions that the node must close
//	lp:{nodes}          incarnation → "process node", until nothing of it is left
//	lp:{nodes}:next     last incarnation given out
//	lp:{nodes}:facts    bucket count and lead of the epochs, shared by all nodes
//	lp:{nodes}:inboxes  partition of the inbox topic → incarnation
//	lp:{nodes}:claim:N  lock of the node that clears up after incarnation N
const (
	keyIncarnations = "lp:{nodes}"
	keyNext         = "lp:{nodes}:next"
	keyFacts        = "lp:{nodes}:facts"
	keyInboxes      = "lp:{nodes}:inboxes"
)

func keyClaim(incarnation uint32) string {
	return "lp:{nodes}:claim:" + strconv.FormatUint(uint64(incarnation), 10)
}

func keyLease(node string) string { return "lp:node:" + node }

func keyDisplaced(node string) string { return "lp:node:" + node + ":displaced" }

// kind tells the two sorts of bucket apart.
type kind byte

const (
	principals kind = 's'
	groups     kind = 'g'
)

// longName is the longest name or value that a listpack takes: Redis'
// hash-max-listpack-value, whose default is 64 bytes.
const longName = 64

func (k kind) bucketKey(bucket uint32) string {
	if k == groups {
		return "lp:{g:" + strconv.FormatUint(uint64(bucket), 10) + "}"
	}
	return "lp:{b:" + strconv.FormatUint(uint64(bucket), 10) + "}"
}

const longSuffix = ":l"

// layout is how names are spread over buckets. All nodes share it.
type layout struct {
	buckets uint32
	// spills is set where principals may have more sessions than fit into 64
	// bytes, so that a short name's value may stand in the long key.
	spills bool
}

// neverSpills is the most sessions of a principal whose records always fit: 3
// of at most 20 bytes.
const neverSpills = 3

const (
	// sessionsPerBucket is the most that a bucket holds on average when the
	// population is as large as expected. 128 fields of 25 bytes are a listpack
	// of 3 KB, which Redis scans in about 1 µs; it stays one up to 512 fields, so
	// the population may be three times what was expected.
	sessionsPerBucket = 128
	minBuckets        = 16
	maxBuckets        = 1 << 22

	// groupBucketShare is how many buckets of principals there are for each
	// bucket of groups.
	groupBucketShare = 16
)

// bucketsFor returns the bucket count for an expected population: the least
// power of two that leaves at most 128 to a bucket, hence at least 64.
func bucketsFor(expect int) uint32 {
	need := (uint64(max(expect, 1)) + sessionsPerBucket - 1) / sessionsPerBucket
	n := uint64(1) << bits.Len64(need-1)
	return uint32(min(max(n, minBuckets), maxBuckets))
}

func (l layout) count(k kind) uint32 {
	if k == groups {
		return max(l.buckets/groupBucketShare, minBuckets)
	}
	return l.buckets
}

func (l layout) bucket(k kind, name string) uint32 {
	return uint32(hash(name) >> 32 % uint64(l.count(k)))
}

// hash is FNV-1a with the finalizer of MurmurHash3, because FNV alone leaves
// the upper bits of short names close together. Every node must compute the
// same, in every version.
func hash[T ~string | ~[]byte](name T) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(name) {
		h = (h ^ uint64(name[i])) * 1099511628211
	}
	h = (h ^ h>>33) * 0xff51afd7ed558ccd
	h = (h ^ h>>33) * 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}
