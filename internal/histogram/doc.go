// Package histogram counts durations and sizes in fixed buckets, as metrics
// want them. Observing takes no lock and allocates nothing; the buckets are
// the same everywhere, so that histograms of different parts can be compared
// and their number of time series is known.
package histogram
