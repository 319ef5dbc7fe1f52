package telemetry

import (
	"runtime"
	"time"

	"github.com/limpet-gateway/limpet/internal/session"
)

// Snapshot is what a node does and holds at one moment, for people who look at
// it live: the dashboard, limpet top and limpet stats. Counts only grow, from
// the start of the process; what is named "now" in Stats of the parts is a
// gauge here too. Parts that the node does not have are missing.
type Snapshot struct {
	Time          time.Time `json:"time"`
	Node          string    `json:"node"`
	Version       string    `json:"version"`
	Status        string    `json:"status"`            // as GET /readyz says it
	Reasons       []string  `json:"reasons,omitempty"` // why it is degraded
	UptimeSeconds int64     `json:"uptime_seconds"`

	Sessions        int               `json:"sessions"`
	Principals      int               `json:"principals"`
	Connections     Connections       `json:"connections"`
	Accepted        uint64            `json:"accepted"`
	Opened          uint64            `json:"opened"`
	Refused         map[string]uint64 `json:"refused"`             // by reason
	Admission       map[string]uint64 `json:"admission,omitempty"` // of refused["admission"], by limit
	Unanswered      map[string]uint64 `json:"unanswered"`          // ended before they were refused or sessions, by cause
	Auth            map[string]uint64 `json:"auth,omitempty"`      // handshakes by what authentication decided
	Closed          map[string]uint64 `json:"closed"`              // by reason, those that happened
	Messages        InOut             `json:"messages"`
	Bytes           InOut             `json:"bytes"`
	Dropped         uint64            `json:"dropped"` // messages, of all priorities and directions
	Mailbox         Mailbox           `json:"mailbox"`
	Pushes          Pushes            `json:"pushes"`
	Uplink          *Uplink           `json:"uplink,omitempty"`
	Directory       *Directory        `json:"directory,omitempty"`
	Downlink        *Downlink         `json:"downlink,omitempty"`
	Memory          Memory            `json:"memory"`
	Overload        *Overload         `json:"overload,omitempty"`
	BytesPerSession int64             `json:"bytes_per_session"` // resident; 0 without sessions
	Goroutines      int               `json:"goroutines"`
	Host            Host              `json:"host"`
	HostError       string            `json:"host_error,omitempty"`  // why host says nothing
	HostLimits      []string          `json:"host_limits,omitempty"` // settings that fell short at the start
}

// Connections of clients, by state.
type Connections struct {
	Handshaking int `json:"handshaking"`
	Undecided   int `json:"undecided"` // their authentication is under way
	Open        int `json:"open"`
	Closing     int `json:"closing"`
	Lingering   int `json:"lingering"`
	Limit       int `json:"limit"`
}

// InOut counts both directions.
type InOut struct {
	In  uint64 `json:"in"`
	Out uint64 `json:"out"`
}

// Mailbox is what waits for the event loops.
type Mailbox struct {
	Messages int    `json:"messages"`
	Bytes    int    `json:"bytes"`
	Full     uint64 `json:"full"` // pushes refused for lack of room
}

// Uplink is the way to Kafka.
type Uplink struct {
	Accepted        uint64  `json:"accepted"`
	Acknowledged    uint64  `json:"acknowledged"`
	Refused         uint64  `json:"refused"`
	BufferedRecords int64   `json:"buffered_records"`
	BufferedBytes   int64   `json:"buffered_bytes"`
	LatencySum      float64 `json:"latency_sum_seconds"` // over all acknowledged
	KafkaErrors     uint64  `json:"kafka_errors"`        // failed requests and connections
}

// Downlink is the way from Kafka.
type Downlink struct {
	Records uint64 `json:"records"`
	Lag     int64  `json:"lag"` // records, over all partitions of this node
}

// Directory is how this node stands with Redis.
type Directory struct {
	State           string  `json:"state"` // starting, joined, degraded, recovering, superseded or stopped
	Calls           uint64  `json:"calls"`
	Failed          uint64  `json:"failed"`
	RoundTrips      uint64  `json:"round_trips"`
	LatencySum      float64 `json:"latency_sum_seconds"` // over all round trips
	Queued          int     `json:"queued"`
	QueueLimit      int     `json:"queue_limit"`
	LeaseAgeSeconds float64 `json:"lease_age_seconds"` // negative without a lease
	LeaseSeconds    float64 `json:"lease_seconds"`     // age at which the others call this node dead
	Outages         uint64  `json:"outages"`

	// Nodes are those that share the directory, this one included, as it saw
	// them last; at most maxNodes.
	Nodes           []Node  `json:"nodes"`
	NodesAgeSeconds float64 `json:"nodes_age_seconds"` // negative before the first look
}

// Node is a gateway among others.
type Node struct {
	Node     string `json:"node"`
	Alive    bool   `json:"alive"`
	Sessions int    `json:"sessions"` // when it last renewed its lease
	API      string `json:"api,omitempty"`
}

// maxNodes bounds what a snapshot says about others.
const maxNodes = 256

// Pushes that came to this node, by what became of them.
type Pushes struct {
	Delivered uint64 `json:"delivered"` // sessions that one was handed to
	Forwarded uint64 `json:"forwarded"` // to other nodes
	Offline   uint64 `json:"offline"`
	Failed    uint64 `json:"failed"` // for lack of room or time, too
}

// Snapshot asks every part. It takes tens of microseconds and may be called
// from any goroutine but an event loop.
func (s *Sources) Snapshot() Snapshot {
	now := time.Now()
	snap := Snapshot{
		Time: now, Node: s.Node, Version: s.Version, UptimeSeconds: int64(now.Sub(s.Started) / time.Second),
		HostLimits: s.HostLimits,
		Refused:    map[string]uint64{}, Closed: map[string]uint64{},
		Memory: s.Memory(), Overload: s.overload(now), Goroutines: runtime.NumGoroutine(),
	}
	if s.Status != nil {
		snap.Status, snap.Reasons = s.Status()
	}
	if s.Table != nil {
		snap.Principals = s.Table.Stats().Principals
	}
	s.addEngine(&snap)
	if s.Admission != nil {
		snap.Admission = admissionRefusals(s.Admission.Stats())
	}
	if s.Auth != nil {
		snap.Auth = authResults(s.Auth.Stats())
	}
	s.addKafka(&snap)
	s.addDirectory(&snap)
	if snap.Sessions > 0 {
		snap.BytesPerSession = snap.Memory.Resident / int64(snap.Sessions)
	}
	var err error
	if snap.Host, err = s.Host.Read(); err != nil {
		snap.HostError = err.Error()
	}
	return snap
}

func (s *Sources) addEngine(snap *Snapshot) {
	if s.Engine == nil {
		return
	}
	e := s.Engine.Stats()
	snap.Sessions = e.Sessions
	snap.Connections = Connections{e.Handshaking, e.Undecided, e.Open, e.Closing, e.Lingering, s.Engine.Limits().MaxConns}
	snap.Accepted, snap.Opened = e.Accepted, e.Opened
	snap.Refused["limit"], snap.Refused["draining"], snap.Refused["request"] = e.RefusedLimit, e.RefusedDrain, e.RefusedHTTP
	snap.Refused["admission"], snap.Refused["proxy_header"] = e.RefusedGate, e.RefusedProxy
	snap.Refused["overload"] = e.RefusedLoad
	snap.Unanswered = map[string]uint64{"timeout": e.SlowRequests, "peer_gone": e.LeftEarly}
	if snap.Overload != nil {
		snap.Overload.Shed, snap.Overload.Evicted = e.Shed, e.Evicted
	}
	for _, r := range session.Reasons() {
		if n := e.Closed[r]; n > 0 {
			snap.Closed[r.String()] = n
		}
	}
	snap.Messages = InOut{e.MessagesIn, e.MessagesOut}
	snap.Bytes = InOut{e.BytesIn, e.BytesOut}
	snap.Dropped = e.DroppedLoad
	for _, n := range e.DroppedSlow {
		snap.Dropped += n
	}
	snap.Mailbox = Mailbox{e.MailboxItems, e.MailboxBytes, e.MailboxFull}
}

func (s *Sources) addKafka(snap *Snapshot) {
	if s.Uplink != nil {
		u := s.Uplink.Stats()
		snap.Dropped += u.DroppedLow + u.DroppedLoad + u.DroppedMed
		snap.Uplink = &Uplink{
			Accepted: u.Accepted, Acknowledged: u.Acked, Refused: u.Refused + u.TooLarge,
			BufferedRecords: u.Outstanding, BufferedBytes: u.BufferedBytes, LatencySum: u.Latency.Sum,
		}
		if s.Traffic != nil {
			t := s.Traffic.Stats()
			snap.Uplink.KafkaErrors = t.RequestErrors + t.ConnectErrors
		}
	}
	if s.Router != nil {
		r := s.Router.Stats()
		snap.Pushes = Pushes{Delivered: r.Delivered, Forwarded: r.Forwarded + r.Spread, Offline: r.Offline, Failed: r.Failed + r.Full + r.Expired}
	}
	if s.Downlink != nil {
		snap.Downlink = &Downlink{Records: s.Downlink.Stats().Records}
		for _, l := range s.lags() {
			snap.Downlink.Lag += l.Records
		}
	}
}

func (s *Sources) addDirectory(snap *Snapshot) {
	if s.Directory == nil {
		return
	}
	d := s.Directory.Stats()
	snap.Directory = &Directory{
		State: d.State.String(), Calls: d.Calls, Failed: d.Fails, RoundTrips: d.Trips.Count, LatencySum: d.Trips.Sum,
		Queued: d.Queued, QueueLimit: d.QueueMax, LeaseAgeSeconds: d.LeaseAge.Seconds(), LeaseSeconds: d.Lease.Seconds(), Outages: d.Degradations,
		Nodes: []Node{}, NodesAgeSeconds: -1,
	}
	nodes, at := s.Directory.Seen()
	if !at.IsZero() {
		snap.Directory.NodesAgeSeconds = snap.Time.Sub(at).Seconds()
	}
	for _, n := range nodes[:min(len(nodes), maxNodes)] {
		snap.Directory.Nodes = append(snap.Directory.Nodes, Node{n.ID, n.Alive, n.Sessions, n.API})
	}
}
