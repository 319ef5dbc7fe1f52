package wsproto

import "github.com/gobwas/ws/wsflate"

// deflateTerms is what an offer of permessage-deflate makes the answer say
// beyond the two context takeovers, which it always excludes.
type deflateTerms struct {
	accepted         bool
	serverWindowBits bool // server_max_window_bits=15 was asked for and has to be echoed
}

// What is said of one offer while its parameters are read.
type deflateOffer struct {
	deflateTerms
	named    bool  // it is permessage-deflate
	declined bool  // it cannot be honoured
	seen     uint8 // parameters so far; none may come twice
}

const maxWindowBits = 15 // a window of 32 KiB, the one that flate has

// negotiateDeflate reads one Sec-WebSocket-Extensions line (RFC 6455 section
// 9.1) and adds the first acceptable offer of permessage-deflate to terms. ok
// is false if the line is malformed, whatever extension it is that is.
// Extensions that are not known are passed over.
//
//	extension-list  = 1#extension
//	extension       = token *( ";" extension-param )
//	extension-param = token [ "=" (token / quoted-string) ]
//
// The grammar is read here and not by httphead.ScanOptions, which takes "a b"
// and "a;" for well-formed; the rules of an offer are applied here and not by
// wsflate.Parameters, which takes 08 for a number of bits, and a repeated
// client_max_window_bits.
func negotiateDeflate(line []byte, terms deflateTerms) (_ deflateTerms, ok bool) {
	c := cursor(line)
	for {
		c.skipOWS()
		if len(c) == 0 {
			return terms, true
		}
		if c.take(',') {
			continue
		}
		name := c.token()
		if len(name) == 0 {
			return terms, false
		}
		offer := deflateOffer{named: string(name) == wsflate.ExtensionName}
		for c.skipOWS(); c.take(';'); c.skipOWS() {
			c.skipOWS()
			param := c.token()
			c.skipOWS()
			var value []byte
			hasValue := c.take('=')
			if hasValue {
				c.skipOWS()
				value = c.extensionValue()
			}
			if len(param) == 0 || hasValue && len(value) == 0 {
				return terms, false
			}
			offer.param(param, value)
		}
		if len(c) > 0 && c[0] != ',' {
			return terms, false
		}
		// RFC 7692 section 5.1: offers come in the order of preference.
		if offer.named && !offer.declined && !terms.accepted {
			terms = offer.deflateTerms
			terms.accepted = true
		}
	}
}

// extensionValue consumes the value of a parameter; it is empty if there is
// none. Quoted, it has to be a token all the same, so an escape cannot be in it.
func (c *cursor) extensionValue() []byte {
	if !c.take('"') {
		return c.token()
	}
	value := c.token()
	if !c.take('"') {
		return nil
	}
	return value
}

// param applies one parameter, RFC 7692 section 7.1. An offer with a
// parameter that is unknown, repeated or has a value that it must not have is
// declined; the handshake goes on without it. value is nil where none was
// given.
func (o *deflateOffer) param(name, value []byte) {
	var bit uint8
	valid := value == nil
	switch string(name) {
	case "server_no_context_takeover": // granted, asked for or not
		bit = 1
	case "client_no_context_takeover": // demanded, offered or not
		bit = 2
	case "server_max_window_bits":
		// Only the full window is honoured: a smaller one would need a coder
		// for each size, and for each size its own frame of a message that
		// goes to many. The agreed value has to be in the answer.
		bit = 4
		valid = windowBits(value) == maxWindowBits
		o.serverWindowBits = valid
	case "client_max_window_bits":
		// A hint. The inflater has the full window, so the answer is silent.
		bit = 8
		valid = value == nil || windowBits(value) != 0
	}
	if !valid || bit == 0 || o.seen&bit != 0 {
		o.declined = true
	}
	o.seen |= bit
}

// windowBits reads 8 to 15 without leading zeros; anything else is 0.
func windowBits(value []byte) int {
	switch {
	case len(value) == 1 && (value[0] == '8' || value[0] == '9'):
		return int(value[0] - '0')
	case len(value) == 2 && value[0] == '1' && '0' <= value[1] && value[1] <= '5':
		return 10 + int(value[1]-'0')
	default:
		return 0
	}
}

// append adds the answer, RFC 7692 section 7.1, as a header line.
func (t deflateTerms) append(dst []byte) []byte {
	dst = append(dst, "Sec-WebSocket-Extensions: "+wsflate.ExtensionName+
		"; server_no_context_takeover; client_no_context_takeover"...)
	if t.serverWindowBits {
		dst = append(dst, "; server_max_window_bits=15"...)
	}
	return append(dst, "\r\n"...)
}
