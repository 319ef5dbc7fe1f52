// Package listing shows a node's table to limpet registry check, which compares
// it with the shared directory. A node serves Sessions and Groups under its API,
// and a Remote reads them there: one JSON object a line, and an empty one at the
// end, so that a listing that is cut off does not pass for a short one.
//
// A handler walks the table on the goroutine of its request, and holds no lock
// while it writes. A reader that is slower than 64 KiB in ten seconds is cut off.
package listing
