package main

import (
	"context"
	"errors"
	"io"
	"syscall"
	"time"

	"go.uber.org/zap"

	"github.com/whencehq/whence/pipeline/config"
	"github.com/whencehq/whence/pipeline/observe"
)

// process is what a long-running command is watched by.
type process struct {
	log     *zap.Logger
	metrics *observe.Metrics
	health  *observe.Health
	server  *observe.Server // nil where observe.listen is empty
}

func startObserving(c config.Observe, stderr io.Writer) (*process, error) {
	log, err := observe.NewLogger(stderr, c.Log.Level, c.Log.Format)
	if err != nil {
		return nil, err
	}
	p := &process{log: log, metrics: observe.NewMetrics(), health: observe.NewHealth()}
	if c.Listen == "" {
		return p, nil
	}
	p.server, err = observe.Serve(c.Listen, p.metrics, p.health, observe.WithPprof(c.Pprof))
	if errors.Is(err, syscall.EADDRINUSE) && c.Listen == config.Default().Observe.Listen {
		// Nobody has asked for this port, and a second worker on a machine is
		// no mistake.
		p.server, err = observe.Serve("127.0.0.1:0", p.metrics, p.health, observe.WithPprof(c.Pprof))
		if err == nil {
			log.Info("the usual address of the metrics is taken", zap.String("instead", p.server.Addr()))
		}
	}
	return p, err
}

// address of the metrics; empty where there are none.
func (p *process) address() string {
	if p.server == nil {
		return ""
	}
	return p.server.Addr()
}

func (p *process) close() {
	if p.server != nil {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if err := p.server.Close(ctx); err != nil {
			p.log.Warn("closing the metrics server", zap.Error(err))
		}
	}
	_ = p.log.Sync() // a terminal can't be synced and says so
}
