// Package kafkatest runs an Apache Kafka for integration tests: one broker in
// KRaft mode from the artifacts that `make test-kafka` fetches (pom.xml), with
// a heap of 384 MB, on free ports of loopback, in a directory that is removed.
// Only tests import it.
//
// The broker is a child process that ends with the test's process, also when
// that is killed. Kill and Start again are how a test takes it away for a
// while; its address and its log stay.
package kafkatest
