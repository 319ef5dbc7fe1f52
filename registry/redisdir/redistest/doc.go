// Package redistest runs real redis-server processes for tests: one server, a
// master with replica and sentinel, or a cluster of three masters and three
// replicas; and a proxy that delays. Everything listens on free loopback
// ports, keeps its files in the test's temporary folder, and ends with the
// test, or with the process that runs it.
package redistest
