package api

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// Two things keep web pages that somebody on this host looks at from using the
// API through that browser, which reaches loopback addresses as well as curl
// does:
//
//   - A page of another origin can send requests that change something, though
//     not read the answer (cross-site request forgery). Browsers say where such
//     a request comes from, in Sec-Fetch-Site and Origin, and then it is refused.
//   - A page can have its own name resolve to 127.0.0.1 (DNS rebinding); then
//     the API is of its own origin. But the request's Host is that name, so on a
//     loopback address only names of this host are served.
//
// Programs that are no browsers send neither header, and name an address. No
// browser adds the token by itself, so who shows it passes under any name and
// from any origin: the dashboard behind a proxy, which may change both.

// crossOrigin finds requests of other origins, by the rules of the standard
// library: methods that change nothing pass.
var crossOrigin = http.NewCrossOriginProtection()

// fromHere reports whether r is no trick of a web page, and answers if it is.
func (s *Server) fromHere(w http.ResponseWriter, r *http.Request) bool {
	want := s.token.Load()
	if want != nil && carries(r, want) {
		return true
	}
	if crossOrigin.Check(r) != nil {
		hearNoMore(w, r)
		WriteProblem(w, http.StatusForbidden, "pages of other origins may not use this API without its token")
		return false
	}
	if want != nil && guarded(r.URL.Path) {
		return true // admit has the answer, which tells the dashboard to ask for the token
	}
	if tellsNothing(r.URL.Path) || !arrivedOnLoopback(r.Context()) || s.isNameOfThisHost(r.Host) {
		return true
	}
	hearNoMore(w, r)
	WriteProblem(w, http.StatusMisdirectedRequest,
		"on a loopback address this API is served as localhost or by an address, so that no web page can use it: send such a Host, or the token")
	return false
}

// guarded reports whether a path wants the token, where there is one.
func guarded(path string) bool { return strings.HasPrefix(path, "/v1/") }

// tellsNothing reports whether what is at path is the same for everybody: the
// probes, and the files of the dashboard.
func tellsNothing(path string) bool {
	return path == "/healthz" || path == "/readyz" || path == "/" || strings.HasPrefix(path, "/dashboard/")
}

func arrivedOnLoopback(ctx context.Context) bool {
	addr, ok := ctx.Value(http.LocalAddrContextKey).(*net.TCPAddr)
	return ok && addr.IP.IsLoopback()
}

// isNameOfThisHost accepts addresses, which no name server can redirect;
// localhost, which browsers resolve themselves; and the host of api.
func (s *Server) isNameOfThisHost(hostPort string) bool {
	host := hostOf(hostPort)
	if _, err := netip.ParseAddr(host); err == nil || host == "" { // HTTP/1.0 has no Host
		return true
	}
	return host == "localhost" || strings.HasSuffix(host, ".localhost") || host == hostOf(s.config.Addr)
}

// hostOf is the host of HOST[:PORT] in lower case, without brackets and the
// root's dot.
func hostOf(hostPort string) string {
	host, _, err := net.SplitHostPort(hostPort)
	if err != nil {
		host = strings.Trim(hostPort, "[]")
	}
	return strings.ToLower(strings.TrimSuffix(host, "."))
}
