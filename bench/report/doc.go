// Package report is the result of a benchmark: its documented, versioned
// form (SCHEMA.md), the table for a terminal, the page for a browser, and the
// comparison of two results.
//
// It holds values and formats them; it measures nothing and starts nothing.
package report
