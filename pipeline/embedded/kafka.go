// Package embedded holds what `whence up` runs when no real servers are
// named: a broker that speaks the Kafka protocol and keeps its log on disk
// (franz-go's kfake), and, in the folder engine, the ClickHouse engine.
package embedded

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"syscall"

	"github.com/twmb/franz-go/pkg/kfake"
	"go.uber.org/zap"
)

// Kafka is an embedded broker.
type Kafka struct {
	cluster *kfake.Cluster
	lock    *os.File
}

// StartKafka starts a broker on listen (HOST:PORT; port 0 picks a free one)
// that keeps topics, offsets and records under data. It fails where another
// process holds data or the port.
//
// A record is in the operating system's cache when it is acknowledged: that
// survives the end of the process, and not a power failure.
func StartKafka(data, listen string, log *zap.Logger) (*Kafka, error) {
	if _, _, err := net.SplitHostPort(listen); err != nil {
		return nil, fmt.Errorf("listen address %q: %w", listen, err)
	}
	// First, so that an address in use leaves no new folder behind.
	listener, err := net.Listen("tcp", listen)
	if err != nil {
		return nil, fmt.Errorf("embedded kafka: %w", err)
	}
	lock, err := lockFolder(data)
	if err != nil {
		_ = listener.Close()
		return nil, fmt.Errorf("embedded kafka: %w", err)
	}
	cluster, err := kfake.NewCluster(
		kfake.NumBrokers(1),
		kfake.ClusterID(ClusterID),
		kfake.DataDir(filepath.Join(data, "log")),
		kfake.ListenFn(func(string, string) (net.Listener, error) { return listener, nil }),
		kfake.BrokerConfigs(map[string]string{
			"group.min.session.timeout.ms": "1000",
			// Offsets of a machine that was off for a fortnight are still wanted.
			"offsets.retention.minutes": "5256000",
		}),
		kfake.WithLogger(brokerLog{log.Named("kfake").Sugar()}),
	)
	if err != nil {
		_ = listener.Close()
		_ = lock.Close()
		return nil, fmt.Errorf("embedded kafka on %s: %w", listen, err)
	}
	return &Kafka{cluster: cluster, lock: lock}, nil
}

// ClusterID is what an embedded broker says of itself, so that who only has its
// address can tell it from others.
const ClusterID = "whence-embedded"

// Addr is where the broker listens.
func (k *Kafka) Addr() string { return k.cluster.ListenAddrs()[0] }

// Close saves the broker's state and stops it.
func (k *Kafka) Close() error {
	k.cluster.Close()
	return k.lock.Close()
}

func lockFolder(data string) (*os.File, error) {
	if err := os.MkdirAll(data, 0o700); err != nil {
		return nil, err
	}
	lock, err := os.OpenFile(filepath.Join(data, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = lock.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("the data directory %s is in use by another whence", data)
		}
		return nil, fmt.Errorf("lock %s: %w", data, err)
	}
	return lock, nil
}

type brokerLog struct{ log *zap.SugaredLogger }

func (l brokerLog) Logf(level kfake.LogLevel, format string, args ...any) {
	switch level {
	case kfake.LogLevelError:
		l.log.Errorf(format, args...)
	case kfake.LogLevelWarn:
		l.log.Warnf(format, args...)
	default:
		l.log.Debugf(format, args...)
	}
}
