package target

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Spawner starts servers by name.
type Spawner struct {
	Limpet      string   // path of the limpet binary
	LimpetArgs  []string // added to "limpet serve"
	Uplink      string   // --uplink of limpet
	BaselineDir string   // of the baseline binaries; empty: next to limpet, or built from source
	MaxConns    int
}

const spareConns = 100

// watchedLimpet is a limpet that Watch looks at from its start to its end.
const watchedLimpet = "limpet-watched"

const startGrace = 20 * time.Second

// Names lists what Start knows.
func Names() []string {
	return []string{"limpet", watchedLimpet, "nethttp", "gin", "echo", "gnet", "nethttp-1g", "gin-1g", "echo-1g"}
}

// Start starts the named server on a free loopback port and waits until it
// answers an upgrade. Stop it when done.
func (sp Spawner) Start(ctx context.Context, name string) (*Server, error) {
	if !slices.Contains(Names(), name) {
		return nil, fmt.Errorf("--spawn %s: want one of %s", name, strings.Join(Names(), ", "))
	}
	s := &Server{Name: name, Path: "/ws", Broadcasts: true}
	ports, err := freePorts(2)
	if err != nil {
		return nil, err
	}
	s.Addr = ports[0]
	s.Host = s.Addr.String()
	if name == "limpet" || name == watchedLimpet {
		sp.limpet(s, ports[1])
	} else if err := sp.baseline(ctx, s, ports[1]); err != nil {
		return nil, err
	}
	if err := s.start(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, startGrace)
	defer cancel()
	if err := s.waitReady(ctx); err != nil {
		s.Stop()
		return nil, err
	}
	if name == watchedLimpet {
		if s.unwatch, err = s.Watch(context.WithoutCancel(ctx)); err != nil {
			s.Stop()
			return nil, err
		}
	}
	return s, nil
}

func (sp Spawner) limpet(s *Server, api netip.AddrPort) {
	s.Command = []string{sp.Limpet, "serve", "--listen", s.Host, "--api", api.String()}
	if sp.Uplink != "" {
		s.Command = append(s.Command, "--uplink", sp.Uplink)
	}
	// Some more than the clients, for probe and publisher; beyond what one descriptor
	// table holds this makes limpet give every loop a table of its own.
	s.Command = append(s.Command, "--max-conns", strconv.Itoa(sp.MaxConns+spareConns))
	s.Command = append(s.Command, sp.LimpetArgs...)
	s.Path = "/ws?id=bench-{n}"
	s.API = api.String()
	s.Metrics = "http://" + s.API + "/metrics"
	s.Broadcasts = false
}

func (sp Spawner) baseline(ctx context.Context, s *Server, second netip.AddrPort) error {
	name, lean := strings.CutSuffix(s.Name, "-1g")
	bin, err := sp.baselineBinary(ctx, name)
	if err != nil {
		return err
	}
	s.Command = []string{bin, "-listen", s.Host}
	if name == "gnet" {
		s.Command = append(s.Command, "-vars", second.String())
		s.Metrics = "http://" + second.String() + "/debug/vars"
		return nil
	}
	s.Metrics = "http://" + s.Host + "/debug/vars"
	if lean {
		s.Command = append(s.Command, "-goroutines", "1")
	}
	return nil
}

// baselineBinary finds a baseline: in BaselineDir, next to limpet, or built
// from the source tree that the benchmark runs in.
func (sp Spawner) baselineBinary(ctx context.Context, name string) (string, error) {
	dirs := []string{filepath.Join(filepath.Dir(sp.Limpet), "baseline")}
	if sp.BaselineDir != "" {
		dirs = []string{sp.BaselineDir}
	}
	for _, dir := range dirs {
		if bin := filepath.Join(dir, name); executable(bin) {
			return bin, nil
		}
	}
	source := filepath.Join("bench", "baseline")
	if _, err := os.Stat(filepath.Join(source, name, "main.go")); err != nil || sp.BaselineDir != "" {
		return "", fmt.Errorf("the %s server is not in %s: build it with `make baselines` in limpet's source tree, or name its directory with --baselines", name, strings.Join(dirs, ", "))
	}
	dir, err := filepath.Abs(filepath.Join("bin", "baseline"))
	if err != nil {
		return "", err
	}
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", dir+string(filepath.Separator), "./"+name)
	build.Dir = source
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the %s server: %w\n%s", name, err, out)
	}
	return filepath.Join(dir, name), nil
}

// Ports below the ephemeral range: a listener there cannot collide with the
// source port of a connection.
const (
	firstPort = 10_000
	lastPort  = 32_000
	portTries = 200
)

func freePorts(n int) ([]netip.AddrPort, error) {
	var out []netip.AddrPort
	for range portTries {
		port := firstPort + rand.IntN(lastPort-firstPort)
		l, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(port))
		if err != nil {
			continue
		}
		defer l.Close() // after all are chosen, so that they differ
		if out = append(out, netip.MustParseAddrPort(l.Addr().String())); len(out) == n {
			return out, nil
		}
	}
	return nil, errors.New("no free port between 10,000 and 32,000 on 127.0.0.1")
}
