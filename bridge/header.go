package bridge

import "github.com/twmb/franz-go/pkg/kgo"

// Record headers. Values are text.
const (
	HeaderSession   = "limpet-session"   // 32 hexadecimal digits
	HeaderPrincipal = "limpet-principal" // as authenticated; also the key of uplink records
	HeaderNode      = "limpet-node"      // the node's configured id
	HeaderOpcode    = "limpet-opcode"    // text (default) or binary
	HeaderPriority  = "limpet-priority"  // high (default), medium or low
	HeaderTo        = "limpet-to"        // user:NAME, session:ID, group:NAME or all
	HeaderID        = "limpet-id"        // chosen by the sender; duplicates within a window are delivered once
	HeaderTTL       = "limpet-ttl"       // milliseconds from the record's timestamp
	HeaderControl   = "limpet-control"   // join, leave, close or extend: an order instead of a message
	HeaderGroup     = "limpet-group"     // the group of join and leave
	HeaderUntil     = "limpet-until"     // the new end of extend, in milliseconds since 1970; 0 is never

	// Between nodes only.
	headerOrigin = "limpet-origin" // partition/offset on the downlink: what recognises a redelivery
	headerHops   = "limpet-hops"   // how often it was forwarded
	headerPart   = "limpet-part"   // other nodes have it too
	headerFor    = "limpet-for"    // incarnation of the node that it is for, 16 hexadecimal digits
)

// header returns the value of the named header, or nil. The first one counts.
func header(headers []kgo.RecordHeader, name string) []byte {
	for i := range headers {
		if headers[i].Key == name {
			return headers[i].Value
		}
	}
	return nil
}
