package kafka

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"
	"go.uber.org/zap"

	"github.com/whencehq/whence/pipeline/config"
)

// Configured is the connection that a configuration describes. It reads the
// files that the configuration names, and connects to nothing.
func Configured(c config.Kafka, log *zap.Logger) (Connection, error) {
	tls, err := c.TLS.Config()
	if err != nil {
		return Connection{}, err
	}
	mechanism, err := mechanism(c.SASL)
	if err != nil {
		return Connection{}, err
	}
	return Connection{Seeds: c.Seeds, TLS: tls, SASL: mechanism, Log: log}, nil
}

func mechanism(s config.SASL) (sasl.Mechanism, error) {
	if s.Mechanism == "" {
		return nil, nil
	}
	password, err := s.Password()
	if err != nil {
		return nil, err
	}
	switch s.Mechanism {
	case config.Plain:
		return plain.Auth{User: s.Username, Pass: password}.AsMechanism(), nil
	case config.ScramSHA256:
		return scram.Auth{User: s.Username, Pass: password}.AsSha256Mechanism(), nil
	case config.ScramSHA512:
		return scram.Auth{User: s.Username, Pass: password}.AsSha512Mechanism(), nil
	}
	return nil, fmt.Errorf("kafka.sasl.mechanism: %q is unknown", s.Mechanism)
}
