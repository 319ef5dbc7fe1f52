// Package bench measures what a connection costs.
package bench
