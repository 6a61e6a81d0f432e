package main

import (
	"fmt"
	"net"
	"strings"

	"github.com/spf13/cobra"

	"github.com/whencehq/whence/pipeline/config"
)

// upOptions is what `whence up` is told besides a configuration. An empty
// Kafka or ClickHouse means the embedded one.
type upOptions struct {
	Data                          string // folder of the embedded pair
	ListenKafka, ListenClickHouse string // host:port of the embedded pair; port 0: a free one
	Kafka                         string // seeds, comma separated
	ClickHouse                    string // URL
}

// addresses are where the servers of `whence up` can be reached.
type addresses struct {
	Kafka      string // seeds, comma separated
	ClickHouse string // URL
	Ingest     string // URL; empty: none
}

func newUp() *cobra.Command {
	o := upOptions{}
	var file, listenMetrics, listenIngest string
	var insecureHooks bool
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Run the whole pipeline, embedded Kafka and ClickHouse included",
		Long: `up runs everything in one command: an embedded Kafka broker, the ClickHouse
engine, a worker, and the HTTP gateway of whence ingest. Name real servers, by
flag or in the configuration, to use them instead. Topics and tables are made
where they are missing.

It prints one line with the word ready and the addresses when it takes events.
SIGTERM drains; what was stored is there at the next start with the same --data.
The embedded pair is for one machine: it has no replicas, and listens on
loopback.`,
		Example: `  whence up
  whence up --data /var/lib/whence --listen-kafka 127.0.0.1:0 --listen-clickhouse 127.0.0.1:0
  whence up --kafka broker-1:9092,broker-2:9092 --clickhouse http://clickhouse:8123`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := o.configure(file)
			if err != nil {
				return err
			}
			if cmd.Flags().Changed("listen-metrics") {
				cfg.Observe.Listen = listenMetrics
			}
			if cmd.Flags().Changed("listen-ingest") {
				cfg.Ingest.Listen = listenIngest
			}
			cfg.Ingest.InsecureHooks = cfg.Ingest.InsecureHooks || insecureHooks
			if err := checkIngest(cfg); err != nil {
				return err
			}
			p, err := startObserving(cfg.Observe, cmd.ErrOrStderr())
			if err != nil {
				return whereElse(err, "--listen-metrics")
			}
			defer p.close()
			return runUp(cmd.Context(), cfg, o, p.log, p.metrics, p.health, func(at addresses) {
				line := fmt.Sprintf("whence is ready: kafka %s, clickhouse %s", at.Kafka, at.ClickHouse)
				if at.Ingest != "" {
					line += ", ingest " + at.Ingest
				}
				if a := p.address(); a != "" {
					line += ", metrics http://" + a + "/metrics"
				}
				fmt.Fprintln(cmd.OutOrStdout(), line)
			})
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.Data, "data", "whence-data", "`DIR` of the embedded Kafka and ClickHouse")
	f.StringVar(&o.ListenKafka, "listen-kafka", "127.0.0.1:9092", "`HOST:PORT` of the embedded Kafka; port 0 picks a free one")
	f.StringVar(&o.ListenClickHouse, "listen-clickhouse", "127.0.0.1:8123", "`HOST:PORT` of the embedded ClickHouse; port 0 picks a free one")
	f.StringVar(&o.Kafka, "kafka", "", "`SEEDS` of a real Kafka, host:port and commas")
	f.StringVar(&o.ClickHouse, "clickhouse", "", "`URL` of a real ClickHouse's HTTP interface")
	f.StringVar(&file, "config", "", "configuration `FILE` (YAML)")
	f.StringVar(&listenMetrics, "listen-metrics", config.Default().Observe.Listen, "`HOST:PORT` of /metrics, /livez and /readyz; empty: none")
	f.StringVar(&listenIngest, "listen-ingest", config.Default().Ingest.Listen, "`HOST:PORT` of the HTTP gateway (see whence ingest); empty: none")
	f.BoolVar(&insecureHooks, "insecure-hooks", false, "take webhooks of tools without a configured secret from anybody")
	return cmd
}

// configure is the file's configuration with the servers that flags name. A
// configuration that names others than the default addresses, which are the
// embedded pair's, means real ones too.
func (o *upOptions) configure(file string) (*config.Config, error) {
	cfg := config.Default()
	if file != "" {
		var err error
		if cfg, err = config.Load(file); err != nil {
			return nil, err
		}
		if err := rulesAreThere(cfg, file); err != nil {
			return nil, err
		}
		if seeds := strings.Join(cfg.Kafka.Seeds, ","); o.Kafka == "" && seeds != config.Default().Kafka.Seeds[0] {
			o.Kafka = seeds
		}
		if o.ClickHouse == "" && cfg.ClickHouse.URL != config.Default().ClickHouse.URL {
			o.ClickHouse = cfg.ClickHouse.URL
		}
	}
	if o.Kafka != "" {
		cfg.Kafka.Seeds = strings.Split(o.Kafka, ",")
	}
	if o.ClickHouse != "" {
		cfg.ClickHouse.URL = o.ClickHouse
	}
	for _, own := range []struct{ flag, on, instead string }{
		{"--listen-kafka", o.ListenKafka, o.Kafka}, {"--listen-clickhouse", o.ListenClickHouse, o.ClickHouse},
	} {
		if _, _, err := net.SplitHostPort(own.on); err != nil && own.instead == "" {
			return nil, usagef("%s: want HOST:PORT, have %q", own.flag, own.on)
		}
	}
	return cfg, checkServers(cfg)
}
