package sysctl

import "fmt"

// The gateway's traffic while its sessions are idle, and how long a message
// stays in a socket. They turn a message rate into socket buffers.
const (
	heartbeatSeconds = 25 // the gateway pings a silent session this often
	heartbeatFrames  = 2  // a ping out, a pong in
	// roundTripMs is how long a sent message is kept until it is acknowledged:
	// 200 ms covers mobile networks. Received ones are read at once.
	roundTripMs = 200
	// asleepPercent of the clients do not acknowledge at any time (phones asleep,
	// devices out of reach); each holds one message until it is given up.
	asleepPercent = 1
)

// Head-room: what the estimate leaves free.
const (
	headroomPercent = 15        // of everything else: bursts, fragmentation, slab slack
	hostReserve     = 256 << 20 // bytes for the system beside the gateway
)

// descriptorBytes is one slot of a descriptor table: a pointer and a bit each in
// open_fds and close_on_exec (fs/file.c).
const descriptorBytes = 8 + 0.25

// Item is one part of the memory that connections take.
type Item struct {
	Name  string `json:"name"`
	Bytes int64  `json:"bytes"`
	Math  string `json:"arithmetic"`
}

// Estimate is the memory for Conns connections.
type Estimate struct {
	Conns int64  `json:"conns"`
	Items []Item `json:"items"`
	Total int64  `json:"total_bytes"`
	// Broadcast is what one message to every session takes in addition, should all
	// of them be queued at once; tcp_mem bounds it.
	Broadcast     int64  `json:"broadcast_bytes"`
	BroadcastMath string `json:"broadcast_arithmetic"`
}

// facts is everything that a rule may look at.
type facts struct {
	host    Host
	need    Need
	plan    Plan
	kernel  KernelCost
	gateway GatewayCost
}

func newFacts(h Host, n Need, k KernelCost, g GatewayCost) facts {
	n = n.WithDefaults()
	return facts{host: h, need: n, plan: plan(n, h), kernel: k, gateway: g}
}

// messagePages is what one queued message is charged: the kernel accounts about
// twice the payload (headers and rounding to a power of two), in whole pages.
func (f facts) messagePages() int64 {
	return max(f.kernel.QueuedPages, ceilDiv(mul(2, f.need.MessageBytes), f.host.PageSize))
}

// framesPerSecond is the stated messages and the heartbeats.
func (f facts) framesPerSecond() int64 {
	return add(f.need.MsgRate, ceilDiv(mul(heartbeatFrames, f.need.Conns), heartbeatSeconds))
}

// buffers is the socket buffers in use under the stated traffic.
func (f facts) buffers() Item {
	inFlight := min(ceilDiv(mul(f.framesPerSecond(), roundTripMs), 1000), mul(f.need.Conns, 2))
	asleep := ceilDiv(mul(f.need.Conns, asleepPercent), 100)
	pages := mul(add(inFlight, asleep), f.messagePages())
	return Item{
		Name: "socket buffers", Bytes: mul(pages, f.host.PageSize),
		Math: fmt.Sprintf("(%s messages/s + %s x %d/%d s heartbeats) x %d ms in flight, + %d%% asleep with one unacknowledged: %s pages",
			Count(f.need.MsgRate), Count(f.need.Conns), heartbeatFrames, heartbeatSeconds, roundTripMs, asleepPercent, Count(pages)),
	}
}

func (f facts) estimate() Estimate {
	n := f.need.Conns
	e := Estimate{Conns: n}
	tables, each := int64(1), f.plan.Descriptors
	if f.plan.Tables == TablesPerLoop {
		tables = f.plan.Loops
	}
	// The kernel doubles a full table, so a slot may be paid for twice.
	slots := roundPow2(each)
	e.Items = []Item{
		{"kernel sockets", mul(n, f.kernel.SocketBytes),
			fmt.Sprintf("%s x %s B of slab (%s)", Count(n), Count(f.kernel.SocketBytes), f.kernel.Source)},
		{"descriptor tables", floatMul(mul(tables, slots), descriptorBytes),
			fmt.Sprintf("%s x %s slots x %.2f B", plural(tables, "table"), Count(slots), descriptorBytes)},
		{"gateway", add(f.gateway.BaseBytes, mul(n, f.gateway.SessionBytes)),
			fmt.Sprintf("%s + %s x %s B (%s)", Bytes(f.gateway.BaseBytes), Count(n), Count(f.gateway.SessionBytes), f.gateway.Source)},
		f.buffers(),
	}
	if entry := f.host.ConntrackEntry; entry > 0 {
		flows := f.conntrackFlows()
		e.Items = append(e.Items, Item{"connection tracking", mul(flows, entry),
			fmt.Sprintf("%s flows x %s B (nf_conntrack is loaded)", Count(flows), Count(entry))})
	}
	for _, item := range e.Items {
		e.Total = add(e.Total, item.Bytes)
	}
	head := add(mul(e.Total, headroomPercent)/100, hostReserve)
	e.Items = append(e.Items, Item{"head-room", head, fmt.Sprintf("%d%% + %s for the system", headroomPercent, Bytes(hostReserve))})
	e.Total = add(e.Total, head)

	e.Broadcast = mul(mul(n, f.messagePages()), f.host.PageSize)
	e.BroadcastMath = fmt.Sprintf("%s x %s of %s", Count(n), plural(f.messagePages(), "page"), Bytes(f.host.PageSize))
	return e
}

// conntrackFlows counts the connections and those that are still remembered as
// closed: nf_conntrack keeps a flow 120 s after FIN_WAIT or TIME_WAIT began.
func (f facts) conntrackFlows() int64 {
	return add(f.need.Conns, min(f.need.Conns, mul(f.need.Rate, conntrackCloseSeconds)))
}

// conntrackCloseSeconds is nf_conntrack_tcp_timeout_time_wait and _fin_wait.
const conntrackCloseSeconds = 120

// plural counts things: "1 page", "2 pages", "3 addresses".
func plural(n int64, noun string) string {
	switch {
	case n == 1:
	case noun[len(noun)-1] == 's':
		noun += "es"
	default:
		noun += "s"
	}
	return Count(n) + " " + noun
}
