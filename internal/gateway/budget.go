package gateway

// Shares of the memory budget, as divisors: what of it the parts of a node may
// have. Sizes that somebody configured for a part suit a host; a small budget
// comes first, because a buffer fills faster than memory is read.
const (
	// crowdShare is the part that unsent bytes may take, and as much that
	// unfinished ones may, before anything is short.
	crowdShare = 4
	// uplinkShare is the part of what waits for Kafka; insideShare is that where
	// the broker is in the same process, which has the records, too, and the
	// requests that bring them.
	uplinkShare = 4
	insideShare = 8
	// brokerShare is the part of an embedded broker's log in memory, which takes
	// about twice its records.
	brokerShare = 8
	// brokerDiskShare is the part of one on disk. It takes no memory, but a start
	// that follows a kill reads all of it at once, and half as much of copies.
	brokerDiskShare = 2
	// leastInbound is what unfinished input may take whatever else is taken,
	// so that short messages in two pieces get through.
	leastInbound = 64
	// leastRelease is the part that a collection must promise before it is
	// worth its time.
	leastRelease = 32
)

// CrowdLimit is what all sessions together may have unsent, and unfinished, of
// a budget: the engine's OutboundBytes and InboundBytes.
func CrowdLimit(budget int64) int64 { return budget / crowdShare }

// UplinkLimit is what may wait for Kafka; inside says that the broker is in
// this process.
func UplinkLimit(budget int64, inside bool) int64 {
	if inside {
		return budget / insideShare
	}
	return budget / uplinkShare
}

// BrokerLimit is what the log of an embedded broker may have in memory.
func BrokerLimit(budget int64) int64 { return budget / brokerShare }

// BrokerDiskLimit is what the log of an embedded broker may have on disk.
func BrokerDiskLimit(budget int64) int64 { return budget / brokerDiskShare }

// BudgetForMessages is the smallest budget in which one message of the largest
// size can be gathered: while it grows there are two buffers of it.
func BudgetForMessages(largest int64) int64 { return 2 * largest * crowdShare }
