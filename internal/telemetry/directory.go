package telemetry

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/limpet-gateway/limpet/registry/redisdir"
)

var (
	dirState     = gauge("directory_state", "1 for the state in which this node stands with the directory in Redis; degraded: too many calls failed, and the node works from its own table.", "state")
	dirDegraded  = counter("directory_outages_total", "Times that Redis failed and the node went over to its own table.")
	dirCalls     = counter("directory_calls_total", "Commands to Redis.", "result")
	dirTrips     = distribution("directory_round_trip_duration_seconds", "Time of a round trip to Redis with all commands of its pipeline, those that failed included.")
	dirPipeline  = distribution("directory_pipeline_commands", "Commands to Redis in one round trip.")
	dirLeaseAge  = gauge("directory_lease_age_seconds", "Time since the renewal of this node's lease that Redis acknowledged last; missing without a lease. The others call the node dead at limpet_directory_lease_seconds.")
	dirLease     = gauge("directory_lease_seconds", "Silence after which the others call a node dead (redis-lease).")
	dirInbox     = gauge("directory_inbox", "Partition of the topic inbox that is leased to this node, -1 for none; missing where none is needed.")
	dirWritten   = counter("directory_written_total", "Principals and groups whose state Redis has acknowledged.")
	dirLate      = counter("directory_late_total", "Writes that Redis refused because their deadline had passed.")
	dirQueued    = gauge("directory_queued", "Principals and groups that wait to be written.")
	dirQueueMax  = gauge("directory_queue_limit", "How many may wait.")
	dirOverruns  = counter("directory_overruns_total", "Changes that found the queue full; a resync makes them good.")
	dirResyncs   = counter("directory_resyncs_total", "Times that everything was registered again and compared.")
	dirDisplaced = counter("directory_displaced_total", "Sessions of this node that gave way to a newer one on another node.")
	dirNotices   = counter("directory_notices_dropped_total", "Notices of displaced sessions for other nodes for which there was no room.")
	dirClaims    = counter("directory_claims_total", "Dead nodes that this node has cleared up after.")
	dirLost      = counter("directory_lost_sessions_total", "Sessions of dead nodes that this node has reported.")
)

var directoryFamilies = []family{dirState, dirDegraded, dirCalls, dirTrips, dirPipeline, dirLeaseAge, dirLease, dirInbox, dirWritten, dirLate, dirQueued, dirQueueMax, dirOverruns,
	dirResyncs, dirDisplaced, dirNotices, dirClaims, dirLost}

func collectDirectory(to chan<- prometheus.Metric, d *redisdir.Directory) {
	s := d.Stats()
	for state := redisdir.Starting; state <= redisdir.Stopped; state++ {
		is := 0
		if state == s.State {
			is = 1
		}
		send(to, dirState, is, state.String())
	}
	send(to, dirDegraded, s.Degradations)
	send(to, dirCalls, s.Calls-s.Fails, "ok")
	send(to, dirCalls, s.Fails, "failed")
	sendHistogram(to, dirTrips, s.Trips)
	sendHistogram(to, dirPipeline, s.Pipeline)
	if s.LeaseAge >= 0 {
		send(to, dirLeaseAge, s.LeaseAge.Seconds())
	}
	send(to, dirLease, s.Lease.Seconds())
	if s.Inboxes > 0 {
		send(to, dirInbox, int(s.Inbox))
	}
	send(to, dirWritten, s.Written)
	send(to, dirLate, s.Late)
	send(to, dirQueued, s.Queued)
	send(to, dirQueueMax, s.QueueMax)
	send(to, dirOverruns, s.Overruns)
	send(to, dirResyncs, s.Resyncs)
	send(to, dirDisplaced, s.Displaced)
	send(to, dirNotices, s.NoticesDropped)
	send(to, dirClaims, s.Claims)
	send(to, dirLost, s.Lost)
}
