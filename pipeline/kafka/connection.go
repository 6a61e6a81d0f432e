package kafka

import (
	"crypto/tls"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl"
	"go.uber.org/zap"
)

// MaxRecordBytes is the largest record that whence's topics take. An event is
// limited far below (limits.max_event_bytes): what lies between becomes a dead
// letter instead of a producer's error that nobody sees.
const MaxRecordBytes = 16 << 20

// Connection says how to reach a cluster. The zero value of every field but
// Seeds is fine.
type Connection struct {
	Seeds    []string
	TLS      *tls.Config
	SASL     sasl.Mechanism
	ClientID string
	Log      *zap.Logger
}

func (c Connection) options(more ...kgo.Opt) []kgo.Opt {
	clientID := c.ClientID
	if clientID == "" {
		clientID = "whence"
	}
	opts := []kgo.Opt{
		kgo.SeedBrokers(c.Seeds...),
		kgo.ClientID(clientID),
		kgo.DialTimeout(5 * time.Second),
		kgo.ProducerBatchMaxBytes(MaxRecordBytes + 64<<10),
		kgo.BrokerMaxWriteBytes(100 << 20),
	}
	if c.TLS != nil {
		opts = append(opts, kgo.DialTLSConfig(c.TLS))
	}
	if c.SASL != nil {
		opts = append(opts, kgo.SASL(c.SASL))
	}
	if c.Log != nil {
		opts = append(opts, kgo.WithLogger(clientLog{c.Log.WithOptions(zap.AddCallerSkip(2)).Named("kgo")}))
	}
	return append(opts, more...)
}

// clientLog hands franz-go's log lines to zap, one level lower than franz-go
// thinks of them: its "info" is every join and metadata update.
type clientLog struct{ log *zap.Logger }

func (l clientLog) Level() kgo.LogLevel {
	if l.log.Core().Enabled(zap.DebugLevel) {
		return kgo.LogLevelInfo
	}
	return kgo.LogLevelWarn
}

func (l clientLog) Log(level kgo.LogLevel, msg string, keyvals ...any) {
	fields := make([]zap.Field, 0, len(keyvals)/2)
	for i := 0; i+1 < len(keyvals); i += 2 {
		if key, ok := keyvals[i].(string); ok {
			fields = append(fields, zap.Any(key, keyvals[i+1]))
		}
	}
	switch level {
	case kgo.LogLevelError:
		l.log.Warn(msg, fields...)
	case kgo.LogLevelWarn:
		l.log.Info(msg, fields...)
	default:
		l.log.Debug(msg, fields...)
	}
}
