// Package program finds the real servers and tools that tests run: Redis,
// HAProxy, promtool. make test needs Go alone, so a test whose program is not
// installed is skipped on a developer's machine; in CI, which installs them
// all, it fails.
package program
