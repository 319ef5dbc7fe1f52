// Package bridge stands between the event loops and Kafka.
package bridge
