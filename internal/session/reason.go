package session

import "fmt"

// CloseReason is why a session ended. One value yields the close code that
// the peer sees, the word in logs, events and metric labels, and whether the
// peer should come back.
type CloseReason uint8

// Every way in which a session can end. Values are not stable across
// versions; the words are.
const (
	PeerClosed       CloseReason = iota + 1 // the peer sent a close frame
	PeerGone                                // the peer's socket ended without a close frame
	ProtocolError                           // RFC 6455 violated
	BadPayload                              // text that is not UTF-8
	MessageTooBig                           // above the message size or fragment limit
	HeartbeatMissed                         // nothing heard within the heartbeat and its grace
	HandshakeTimeout                        // no complete upgrade request in time
	MessageTimeout                          // an unfinished frame or message took too long
	CloseTimeout                            // we sent a close frame and the peer never answered
	SlowConsumer                            // the peer does not read what is sent to it
	UplinkRefused                           // a high-priority message could not be accepted
	Displaced                               // a newer session of the same principal took over
	Kicked                                  // an operator ended it
	Unauthorized                            // the credentials are no longer good
	PolicyViolation                         // a limit of the session was passed, rates for instance
	Overloaded                              // shed to save the node
	Draining                                // the node is going away
	NodeStopped                             // the node ended without a drain
	InternalError                           // a broken promise of our own
	numReasons
)

// Advice tells a peer whether to come back after a close.
type Advice uint8

const (
	RetryNever Advice = iota // coming back the same way meets the same end
	RetryNow                 // come back at once
	RetryLater               // come back after a pause with jitter
)

type reasonInfo struct {
	code   uint16
	word   string
	advice Advice
}

// Codes below 4000 are registered (RFC 6455 section 7.4.1 and the IANA
// registry: 1012 service restart, 1013 try again later); 4000 to 4999 are for
// private use. 0 means that no close frame is sent.
var reasons = [numReasons]reasonInfo{
	PeerClosed:       {1000, "peer_closed", RetryNever},
	PeerGone:         {0, "peer_gone", RetryNow},
	ProtocolError:    {1002, "protocol_error", RetryNever},
	BadPayload:       {1007, "bad_payload", RetryNever},
	MessageTooBig:    {1009, "message_too_big", RetryNever},
	HeartbeatMissed:  {1001, "heartbeat_missed", RetryNow},
	HandshakeTimeout: {0, "handshake_timeout", RetryNow},
	MessageTimeout:   {1008, "message_timeout", RetryNow},
	CloseTimeout:     {0, "close_timeout", RetryNow},
	SlowConsumer:     {1013, "slow_consumer", RetryLater},
	UplinkRefused:    {1013, "uplink_refused", RetryLater},
	Displaced:        {4001, "displaced", RetryNever},
	Kicked:           {4002, "kicked", RetryNever},
	Unauthorized:     {4003, "unauthorized", RetryNever},
	PolicyViolation:  {1008, "policy_violation", RetryLater},
	Overloaded:       {1013, "overloaded", RetryLater},
	Draining:         {1012, "draining", RetryLater},
	NodeStopped:      {0, "node_stopped", RetryNow},
	InternalError:    {1011, "internal_error", RetryLater},
}

// Reasons returns every reason, in the order of declaration.
func Reasons() []CloseReason {
	all := make([]CloseReason, 0, numReasons-1)
	for r := PeerClosed; r < numReasons; r++ {
		all = append(all, r)
	}
	return all
}

// Code is the close code that the peer sees, or 0 where no close frame is sent.
func (r CloseReason) Code() uint16 { return r.info().code }

// String is the word for logs, events and metric labels.
func (r CloseReason) String() string { return r.info().word }

// Advice is whether the peer should come back.
func (r CloseReason) Advice() Advice { return r.info().advice }

func (r CloseReason) info() reasonInfo {
	if r == 0 || r >= numReasons {
		return reasonInfo{1011, fmt.Sprintf("reason(%d)", uint8(r)), RetryLater}
	}
	return reasons[r]
}
