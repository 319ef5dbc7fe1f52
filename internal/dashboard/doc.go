// Package dashboard is the page at GET / of the API address: what the node does,
// live, and a few things to do about it. Its files are embedded in the binary;
// the page loads nothing from elsewhere and asks the gateway's own API for
// everything else, so what it shows and does is what the API allows.
//
// The charts are drawn by uPlot, whose files in static/uplot come from its npm
// package unchanged (vendor.sh). Everything that a client chose, a name or a
// message, is put into the page as text.
package dashboard
