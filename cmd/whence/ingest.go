package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"github.com/whencehq/whence/cmd/whence/ingest"
	"github.com/whencehq/whence/pipeline/config"
	"github.com/whencehq/whence/pipeline/kafka"
	"github.com/whencehq/whence/pipeline/observe"
	"github.com/whencehq/whence/processors"
	"github.com/whencehq/whence/schemas/scan"
)

func newIngest() *cobra.Command {
	var k kafkaFlags
	var listen, listenMetrics string
	var insecureHooks, insecure bool
	cmd := &cobra.Command{
		Use:   "ingest",
		Short: "Take webhooks, OTLP, reports and events over HTTP, and write them to Kafka",
		Long: `ingest is the HTTP gateway: POST /v1/events takes CloudEvents and CDEvents,
/hooks/TOOL webhooks, /findings/KIND reports of scanners, /v1/traces, /v1/metrics
and /v1/logs OTLP, /v1/track and /v1/batch product events. /openapi.json describes
all of them. Each body is written to Kafka as it came, and an answer of 2xx means
that Kafka has acknowledged it.

Webhooks are taken only with the signature or token of their tool, whose secrets
the configuration names (ingest.secrets). /v1 and /findings are open on loopback,
and need a token elsewhere (ingest.tokens).`,
		Example: `  whence ingest --kafka broker-1:9092 --config whence.yaml
  whence ingest --listen 127.0.0.1:8080 --insecure-hooks`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := k.config()
			if err != nil {
				return err
			}
			if err := rulesAreThere(cfg, k.file); err != nil {
				return err
			}
			flags := cmd.Flags()
			if flags.Changed("listen") {
				cfg.Ingest.Listen = listen
			}
			if flags.Changed("listen-metrics") {
				cfg.Observe.Listen = listenMetrics
			}
			cfg.Ingest.InsecureHooks = cfg.Ingest.InsecureHooks || insecureHooks
			cfg.Ingest.Insecure = cfg.Ingest.Insecure || insecure
			if cfg.Ingest.Listen == "" {
				return usagef("--listen is empty, and so is ingest.listen")
			}
			if err := checkIngest(cfg); err != nil {
				return err
			}
			p, err := startObserving(cfg.Observe, cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			defer p.close()
			return runIngest(cmd.Context(), cfg, p, func(address string) {
				fmt.Fprintf(cmd.OutOrStdout(), "whence ingest is ready: %s%s\n", address, strings.Replace(metricsSuffix(p.address()), ": ", ", ", 1))
			})
		},
	}
	defaults := config.Default()
	f := cmd.Flags()
	f.StringVar(&k.seeds, "kafka", "", "`SEEDS`, host:port and commas (default $"+envKafka+" or 127.0.0.1:9092)")
	f.StringVar(&k.file, "config", "", "configuration `FILE` (YAML)")
	f.StringVar(&listen, "listen", defaults.Ingest.Listen, "`HOST:PORT` of the gateway; port 0 picks a free one")
	f.StringVar(&listenMetrics, "listen-metrics", defaults.Observe.Listen, "`HOST:PORT` of /metrics, /livez and /readyz; empty: none")
	f.BoolVar(&insecureHooks, "insecure-hooks", false, "take webhooks of tools without a configured secret from anybody")
	f.BoolVar(&insecure, "insecure", false, "take /v1 and /findings without a token, on any address")
	return cmd
}

// checkIngest checks what flags put into a configuration that was valid.
func checkIngest(cfg *config.Config) error {
	for _, v := range cfg.Validate() {
		if v.Path == "ingest.listen" {
			return usagef("the address of the gateway: %s", v.Message)
		}
	}
	return nil
}

// runIngest serves until ctx is done, and ready is told the URL.
func runIngest(ctx context.Context, cfg *config.Config, p *process, ready func(address string)) error {
	g, err := openGateway(cfg, p.log, p.metrics, p.health)
	if err != nil {
		return err
	}
	defer g.close()
	reaching := func(err error, next time.Duration) {
		p.health.Waiting("waiting for kafka: " + err.Error())
		p.log.Warn("waiting for kafka", zap.Error(err), zap.Duration("next_try_in", next))
	}
	if err := g.publisher.Reach(ctx, reaching); err != nil {
		if ctx.Err() != nil {
			return nil // told to stop while it waited
		}
		return err
	}
	p.health.Ready()
	ready(g.url())
	return g.run(ctx, true)
}

// gateway is an ingest.Gateway that listens, and its connection to Kafka.
type gateway struct {
	*ingest.Gateway
	listener  net.Listener
	publisher *kafka.Publisher
	health    *observe.Health
	log       *zap.Logger
	tls       bool
}

// openGateway listens; requests wait until run.
func openGateway(cfg *config.Config, log *zap.Logger, metrics *observe.Metrics, health *observe.Health) (*gateway, error) {
	listener, err := net.Listen("tcp", cfg.Ingest.Listen)
	if err != nil {
		return nil, fmt.Errorf("ingest.listen %s: %w", cfg.Ingest.Listen, err)
	}
	g := &gateway{listener: listener, health: health, log: log, tls: cfg.Ingest.TLS.CertFile != ""}
	if err := g.open(cfg, metrics); err != nil {
		_ = listener.Close()
		return nil, err
	}
	return g, nil
}

func (g *gateway) open(cfg *config.Config, metrics *observe.Metrics) error {
	own, err := configuredRules(cfg, nil)
	if err != nil {
		return err
	}
	conn, err := kafka.Configured(cfg.Kafka, g.log)
	if err != nil {
		return err
	}
	if g.publisher, err = kafka.OpenPublishing(conn, ingest.Publishing(cfg.Ingest)); err != nil {
		return err
	}
	g.Gateway, err = ingest.New(ingest.Options{
		Config: cfg.Ingest, Limits: cfg.Limits, Topics: cfg.Kafka.Topics, Sender: g.publisher,
		Split:  scan.Split,
		Stages: processors.Asking(processors.Dependencies{Decode: decoding(cfg), Rules: own}),
		Clock:  time.Now, Metrics: metrics, Health: g.health, Log: g.log, Loopback: ingest.Loopback(g.listener.Addr()),
	})
	if err != nil {
		g.publisher.Close()
		return err
	}
	g.sayWhoMayEnter()
	return nil
}

// sayWhoMayEnter says at the start what nobody can use, and what anybody can.
func (g *gateway) sayWhoMayEnter() {
	if closed := g.Closed(); len(closed) > 0 {
		g.log.Info("no secret is configured for these endpoints, so they take nothing", zap.Strings("endpoints", closed),
			zap.String("hint", "name secrets in ingest.secrets and ingest.tokens"))
	}
	open := g.Unguarded()
	if len(open) > 0 && !ingest.Loopback(g.listener.Addr()) {
		g.log.Warn("these endpoints take anybody's requests", zap.Strings("endpoints", open), zap.Stringer("address", g.listener.Addr()))
	}
}

func (g *gateway) url() string {
	if g.tls {
		return "https://" + g.listener.Addr().String()
	}
	return "http://" + g.listener.Addr().String()
}

// kafkaCheck is how often Kafka is asked whether it is there, for /readyz.
const kafkaCheck = 5 * time.Second

// run answers until ctx is done and requests under way are. Where the health is
// the gateway's alone it follows Kafka's.
func (g *gateway) run(ctx context.Context, followKafka bool) error {
	if followKafka {
		watching, stop := context.WithCancel(ctx)
		watched := make(chan struct{})
		go func() {
			defer close(watched)
			g.watch(watching)
		}()
		defer func() { stop(); <-watched }()
	}
	return g.Serve(ctx, g.listener)
}

func (g *gateway) watch(ctx context.Context) {
	tick := time.NewTicker(kafkaCheck)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if err := g.publisher.Ping(ctx); err != nil {
			g.health.Waiting("waiting for kafka: " + err.Error())
		} else {
			g.health.Ready()
		}
	}
}

func (g *gateway) close() {
	_ = g.listener.Close() // twice is no harm
	g.publisher.Close()
}

// openUsualGateway is openGateway, on a free port where the usual one is taken:
// nobody has asked for it, and a second whence up on a machine is no mistake.
func openUsualGateway(cfg *config.Config, log *zap.Logger, metrics *observe.Metrics, health *observe.Health) (*gateway, error) {
	g, err := openGateway(cfg, log, metrics, health)
	if errors.Is(err, syscall.EADDRINUSE) && cfg.Ingest.Listen == config.Default().Ingest.Listen {
		cfg.Ingest.Listen = "127.0.0.1:0"
		if g, err = openGateway(cfg, log, metrics, health); err == nil {
			log.Info("the usual address of the gateway is taken", zap.String("instead", g.url()))
		}
	}
	return g, err
}
