package load

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"unsafe"

	"github.com/gobwas/ws"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

func TestConnIs32Bytes(t *testing.T) { require.EqualValues(t, 32, unsafe.Sizeof(conn{})) }

func TestUpgradeKey(t *testing.T) {
	k := newUpgradeKey(7)
	request := string(appendUpgrade(nil, "h:1", "/ws?id=3", k.key))
	require.True(t, strings.HasPrefix(request, "GET /ws?id=3 HTTP/1.1\r\nHost: h:1\r\n"))
	var out bytes.Buffer
	_, err := ws.Upgrade(struct {
		io.Reader
		io.Writer
	}{strings.NewReader(request), &out})
	require.NoError(t, err)
	a, err := parseAnswer(out.Bytes(), k.accept)
	require.NoError(t, err)
	require.Equal(t, 101, a.status)
	require.Equal(t, out.Len(), a.length)
}

func TestParseAnswer(t *testing.T) {
	full := "HTTP/1.1 503 Service Unavailable\r\nretry-after: 7\r\nContent-Length: 0\r\n\r\nrest"
	for cut := range len(full) {
		a, err := parseAnswer([]byte(full[:cut]), "x")
		require.NoError(t, err, "cut at %d", cut)
		if cut < len(full)-4 {
			require.Zero(t, a.length, "cut at %d", cut)
			continue
		}
		require.Equal(t, upgradeAnswer{status: 503, retryAfterMs: 7000, length: len(full) - 4}, a)
	}
	for _, text := range []string{"SSH-2.0", "HTTP/2.0 200 OK\r\n\r\n", "HTTP/1.0 101 OK\r\n\r\n", "HTTP/1.1 abc\r\n\r\n", "HTTP/1.1 \r\n\r\n", "HTTP/1.1 101 x" + strings.Repeat("y", maxResponseHead)} {
		_, err := parseAnswer([]byte(text), "x")
		require.ErrorIs(t, err, errNotHTTP, "%.20q", text)
	}
	// What Go's TLS servers say to a request without TLS.
	a, err := parseAnswer([]byte("HTTP/1.0 400 Bad Request\r\n\r\n"), "x")
	require.NoError(t, err)
	require.Equal(t, 400, a.status)
	_, err = parseAnswer([]byte("\x15\x03\x01\x00\x02\x02\x46"), "x")
	require.ErrorIs(t, err, errTLS)
	_, err = parseAnswer([]byte("HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: no\r\n\r\n"), "x")
	require.ErrorIs(t, err, errBadAccept)
}

// RFC 6455 section 5.2, seen from a client.
func TestParseFrameHead(t *testing.T) {
	for _, c := range []struct {
		bytes []byte
		want  frameHead
	}{
		{[]byte{0x81, 5}, frameHead{true, opText, 2, 5}},
		{[]byte{0x02, 125}, frameHead{false, opBinary, 2, 125}},
		{[]byte{0x80, 126, 1, 0}, frameHead{true, opContinuation, 4, 256}},
		{[]byte{0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0}, frameHead{true, opBinary, 10, 65536}},
		{[]byte{0x89, 0}, frameHead{true, opPing, 2, 0}},
	} {
		for cut := range len(c.bytes) {
			_, ok, err := parseFrameHead(c.bytes[:cut])
			require.NoError(t, err)
			require.False(t, ok)
		}
		h, ok, err := parseFrameHead(c.bytes)
		require.NoError(t, err)
		require.True(t, ok)
		require.Equal(t, c.want, h)
	}
	for name, b := range map[string][]byte{
		"RSV1": {0xC1, 0}, "masked": {0x81, 0x80}, "reserved opcode": {0x83, 0}, "fragmented ping": {0x09, 0},
		"long ping": {0x89, 126, 0, 126}, "too large": {0x82, 127, 1, 0, 0, 0, 0, 0, 0, 0},
	} {
		_, _, err := parseFrameHead(b)
		require.ErrorIs(t, err, errBadFrame, name)
	}
}

func TestAppendMaskedIsWhatOthersRead(t *testing.T) {
	for _, n := range []int{0, 1, 125, 126, 65535, 65536} {
		payload := bytes.Repeat([]byte("x"), n)
		r := bytes.NewReader(appendMasked(nil, opBinary, [4]byte{1, 2, 3, 4}, payload))
		f, err := readFrame(r)
		require.NoError(t, err)
		require.True(t, f.Header.Masked && f.Header.Fin)
		require.Equal(t, ws.OpBinary, f.Header.OpCode)
		require.Equal(t, payload, ws.UnmaskFrame(f).Payload)
		require.Zero(t, r.Len())
	}
}

func TestStamp(t *testing.T) {
	s := Stamp{Seq: 4095<<36 | 123456, Time: 1<<62 + 7}
	text, err := s.AppendText(nil)
	require.NoError(t, err)
	require.Len(t, text, StampLen)
	got, ok := ParseStamp(append(text, "more"...))
	require.True(t, ok)
	require.Equal(t, s, got)
	for _, bad := range []string{"", "lpb1", strings.Repeat("z", StampLen), "lpb1" + strings.Repeat("g", 28)} {
		_, ok := ParseStamp([]byte(bad))
		require.False(t, ok, bad)
	}
}

// One stream of frames, cut at random places: the same messages every time.
func TestFramesInAnyPieces(t *testing.T) {
	stamp, _ := Stamp{Seq: 9, Time: 1}.AppendText(nil)
	long := append(bytes.Clone(stamp), make([]byte, 70_000)...)
	var stream []byte
	for _, f := range []ws.Frame{
		ws.NewBinaryFrame(stamp),
		ws.NewPingFrame([]byte("are you there")),
		ws.NewBinaryFrame(long),
		ws.NewFrame(ws.OpText, false, stamp[:20]), ws.NewPongFrame(nil), ws.NewFrame(ws.OpContinuation, true, stamp[20:]),
		ws.NewTextFrame(nil),
	} {
		var b bytes.Buffer
		require.NoError(t, ws.WriteFrame(&b, f))
		stream = append(stream, b.Bytes()...)
	}
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 1))
		e, peer := pairedEngine(t)
		slot := uint32(0)
		c := e.conns.at(slot)
		heard := newListening(e, func(Broadcast) {})
		e.listen = heard
		for rest := stream; len(rest) > 0; {
			n := min(len(rest), 1+rng.IntN(1+rng.IntN(3000)))
			if seed == 0 {
				n = min(len(rest), 1)
			}
			e.receive(slot, c, rest[:n])
			rest = rest[n:]
		}
		require.EqualValues(t, 4, e.counts.Received, "seed %d", seed)
		require.EqualValues(t, 2, heard.total, "the stamp of the fragmented one is not whole in its first frame")
		require.EqualValues(t, 1, e.counts.Pings)
		require.Zero(t, len(e.sides), "nothing is kept of an idle connection")
		require.Empty(t, e.counts.Closed)
		pong, err := readFrame(peer)
		require.NoError(t, err)
		require.Equal(t, "are you there", string(ws.UnmaskFrame(pong).Payload))
		e.closeAll()
	}
}

func TestGarbageOnAnOpenConnection(t *testing.T) {
	e, _ := pairedEngine(t)
	e.receive(0, e.conns.at(0), []byte("HTTP/1.1 200 OK\r\n"))
	require.Equal(t, map[string]uint64{KindProtocol: 1}, e.counts.Closed)
	require.Zero(t, e.counts.Open)
	e.closeAll()
}

func TestCloseCodeIsTheKind(t *testing.T) {
	e, peer := pairedEngine(t)
	var b bytes.Buffer
	require.NoError(t, ws.WriteFrame(&b, ws.NewCloseFrame(ws.NewCloseFrameBody(1013, "later"))))
	e.receive(0, e.conns.at(0), b.Bytes())
	require.Equal(t, map[string]uint64{"closed_1013": 1}, e.counts.Closed)
	answer, err := readFrame(peer)
	require.NoError(t, err)
	require.EqualValues(t, 1013, binary.BigEndian.Uint16(ws.UnmaskFrame(answer).Payload))
	e.closeAll()
}

// pairedEngine has one open connection in slot 0, whose other end is peer.
func pairedEngine(t *testing.T) (*Engine, fdReader) {
	t.Helper()
	e, err := NewEngine(Config{Addr: netip.MustParseAddrPort("127.0.0.1:1"), Seed: 1})
	require.NoError(t, err)
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK, 0)
	require.NoError(t, err)
	slot, c := e.conns.take()
	require.Zero(t, slot)
	c.fd, c.state = int32(pair[0]), stateOpen
	e.counts.Open = 1
	peer := fdReader(pair[1])
	t.Cleanup(func() { unix.Close(pair[1]) })
	return e, peer
}

type fdReader int

func (f fdReader) Read(b []byte) (int, error) { return unix.Read(int(f), b) }

func TestSources(t *testing.T) {
	got := Sources(netip.MustParseAddr("127.0.0.1"), 253, 3)
	require.Equal(t, "[127.0.0.255 127.0.1.0 127.0.1.1]", fmt.Sprint(got))
	require.Nil(t, Sources(netip.MustParseAddr("192.0.2.1"), 0, 3))
	require.Nil(t, Sources(netip.MustParseAddr("::1"), 0, 3))
}

func TestKinds(t *testing.T) {
	for err, want := range map[error]string{
		unix.ECONNREFUSED: KindRefused, unix.EMFILE: KindNoFile, unix.EADDRNOTAVAIL: KindNoPorts, unix.EPIPE: KindReset,
		fmt.Errorf("x: %w", unix.ENOMEM): KindNoMemory, unix.ENETUNREACH: KindUnreachable, errors.New("odd"): "odd",
	} {
		require.Equal(t, want, kindOfErrno(err))
	}
}

func TestHistSurvivesText(t *testing.T) {
	h := NewHist()
	for i := range int64(1000) {
		h.Record(i * 1e6)
	}
	h.Record(1 << 62) // beyond the range: held at its edge
	text, err := h.MarshalText()
	require.NoError(t, err)
	var got Hist
	require.NoError(t, got.UnmarshalText(text))
	require.True(t, h.Equals(got.Histogram))
	require.InEpsilon(t, histHighest, float64(got.Max()), 0.01)
	require.NoError(t, got.UnmarshalText(nil))
	require.Zero(t, got.TotalCount())
	require.Error(t, got.UnmarshalText([]byte("junk")))
}

// readFrame reads a frame of at most a megabyte.
func readFrame(r io.Reader) (ws.Frame, error) {
	h, err := ws.ReadHeader(r)
	if err != nil {
		return ws.Frame{}, err
	}
	if h.Length > 1<<20 {
		return ws.Frame{}, fmt.Errorf("a frame of %d bytes", h.Length)
	}
	f := ws.Frame{Header: h, Payload: make([]byte, h.Length)}
	_, err = io.ReadFull(r, f.Payload)
	return f, err
}
