// Package config finds the effective configuration of limpet serve.
//
// One table (table.go) has one row for each key. The flag --max-conns, the
// environment variable LIMPET_MAX_CONNS and the line max-conns: of the YAML
// file are all made from that row, and so are the help text, the table in
// README.md and the output of --print-config. Flags win over the environment,
// the environment over the file, the file over the defaults.
//
// Load reads all four sources, checks every value that any of them gives,
// also one that a stronger source overrides, and returns all faults at once:
// each with its key, its value, where it came from and what is allowed. It
// opens no socket and starts no goroutine. A key that nobody knows is a fault
// too: a misspelt limit that is silently ignored is found at 3 a.m.
//
// Again reads the sources once more for a reload, and Merge brings into force
// what the table calls live; the rest needs a restart, and is named.
//
// To add a key: a field in Serve, a row in the table, and where two keys must
// agree a rule in check.go. `make docs` renews the table in README.md.
package config
