package pipelinetest

import (
	"context"
	"encoding/json"
	"math/rand/v2"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"
)

// Link is a way to a server, over TCP, that can be cut, slowed down and cut in
// the middle of what is said. Its methods fail the test where the proxy does.
type Link struct {
	Addr string // where clients connect

	t     testing.TB
	proxy *toxiproxy.Proxy
}

// NewLink opens a link to upstream, until the test ends.
func NewLink(t testing.TB, name, upstream string) *Link {
	t.Helper()
	silence()
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	l := &Link{Addr: SettledAddress(t), t: t}
	l.proxy = toxiproxy.NewProxy(server, name, l.Addr, upstream)
	l.must(l.proxy.Start())
	t.Cleanup(l.proxy.Stop)
	return l
}

// silence is for the proxy's toxics, which log to a logger of their own.
var silence = sync.OnceFunc(func() { zerolog.SetGlobalLevel(zerolog.Disabled) })

func (l *Link) must(err error) {
	if err != nil {
		l.t.Errorf("link %s: %v", l.proxy.Name, err)
	}
}

// Cut closes all connections and refuses new ones.
func (l *Link) Cut() { l.proxy.Stop() }

// Slow delays what is said, in both directions, by latency give or take jitter.
func (l *Link) Slow(latency, jitter time.Duration) {
	for _, stream := range []string{"upstream", "downstream"} {
		l.add("latency", stream, map[string]any{"latency": latency.Milliseconds(), "jitter": jitter.Milliseconds()})
	}
}

// Narrow lets only so many kilobytes a second through to the server.
func (l *Link) Narrow(kilobytes int) {
	l.add("bandwidth", "upstream", map[string]any{"rate": kilobytes})
}

// Swallow keeps connections up, and nothing that is said in one arrives.
func (l *Link) Swallow() {
	for _, stream := range []string{"upstream", "downstream"} {
		l.add("timeout", stream, map[string]any{"timeout": 0})
	}
}

// Limit closes each connection after so many bytes to the server: in the
// middle of a request.
func (l *Link) Limit(bytes int) { l.add("limit_data", "upstream", map[string]any{"bytes": bytes}) }

func (l *Link) add(kind, stream string, attributes map[string]any) {
	text, err := json.Marshal(map[string]any{"type": kind, "name": kind + " " + stream, "stream": stream, "attributes": attributes})
	if err == nil {
		_, err = l.proxy.Toxics.AddToxicJson(strings.NewReader(string(text)))
	}
	l.must(err)
}

// Mend makes the link whole, whatever was done to it.
func (l *Link) Mend() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	l.proxy.Toxics.ResetToxics(ctx)
	if l.proxy.Enabled {
		return
	}
	Eventually(l.t, 30*time.Second, "the link listens again", l.proxy.Start)
}

// Address range that the kernel gives to nobody by itself.
const firstPort, portRange = 12_000, 18_000

// SettledAddress is a loopback address for a server that stops and starts
// again: one from outside the range that outgoing connections take their ports
// from, for one of those would sit on it in between.
func SettledAddress(t testing.TB) string {
	t.Helper()
	for range 100 {
		address := net.JoinHostPort("127.0.0.1", strconv.Itoa(firstPort+rand.IntN(portRange)))
		if l, err := net.Listen("tcp", address); err == nil {
			_ = l.Close()
			return address
		}
	}
	t.Fatal("no free port")
	return ""
}
