// Package auth finds out who a peer is, from what its upgrade request carries.
//
// # Place in the way of the data
//
//	loop → gateway.Open → Service.Submit → queue → worker → Config.Decided → loop
//
// Open runs on an event loop and only takes the token out of the request
// (token.go) and looks at its Origin (origin.go). Checking a signature takes
// tens of microseconds and asking a webhook milliseconds to seconds, so both
// happen here, on workers. The connection waits meanwhile as a place in the
// reactor's slab, without a goroutine of its own.
//
// # Methods
//
//	jwt.go      signed tokens: HS256 with a secret; RS256, ES256, EdDSA with keys
//	jwks.go     keys from a URL: cached, refreshed, rotated without a restart
//	webhook.go  a POST of the handshake's facts to somebody else's service
//
// Methods are tried in the order given. The first that knows the peer decides;
// if none does, the answer is the one that helps most: 503 when a method could
// not be asked, else 403, else 401.
//
// # Threads
//
// Each method has a queue and a fixed number of workers, so a webhook that
// hangs holds up no token. A token whose key is not known goes to a lane of
// its own with one worker, which may ask the JWKS URL: tokens with invented
// key ids hold up nobody but each other. All queues are bounded; what does not
// fit is answered with 503.
//
// # Failure
//
// Closed: what cannot be checked is not let in, unless WebhookConfig.FailOpen
// says so. Keys that were fetched stay in use while their URL does not answer.
//
// Nothing here logs a token, a secret or a cookie, or puts one into an answer.
package auth
