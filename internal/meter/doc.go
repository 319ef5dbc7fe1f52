// Package meter reads what the process uses: memory that counts against a
// budget, heap that could be given back, processor time. Each reading costs
// tens of microseconds and stops nothing: small files of /proc and of the
// control group, and the runtime's own counters, unlike runtime.ReadMemStats.
//
// What counts is what cannot be had back from the process without taking
// something from it. In a control group that is what the group is charged
// without its page cache: files that were read or written are in it too, and
// the kernel drops them when it needs the room. Without a group it is the
// resident memory and what the kernel keeps for the sockets of clients.
package meter
