// Package freeport finds ports for servers that tests start and that cannot be
// told to take any: Redis, Kafka, and what is started again on its address.
//
// A port that the kernel gave a moment ago is no good for that: it is out of
// the range from which connections take theirs too, and tests beside this one
// make thousands.
package freeport
