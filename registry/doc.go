// Package registry knows who is connected where.
package registry
