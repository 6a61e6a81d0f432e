package main

import (
	"cmp"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/whencehq/whence/pipeline/clickhouse"
	"github.com/whencehq/whence/pipeline/config"
)

// The environment variables that flags default to.
const (
	envKafka      = "WHENCE_KAFKA"
	envClickHouse = "WHENCE_CLICKHOUSE_URL"

	// nameClickHouse helps those whose ClickHouse does not answer.
	nameClickHouse = "name it with --clickhouse URL or $" + envClickHouse + ", or start one: whence up"
)

// kafkaFlags name a Kafka: by flag, else by a configuration, which alone knows TLS
// and SASL, else, where that says nothing, by environment.
type kafkaFlags struct {
	seeds, file string
	timeout     time.Duration
}

func (k *kafkaFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&k.seeds, "kafka", "", "`SEEDS`, host:port and commas (default $"+envKafka+" or 127.0.0.1:9092)")
	cmd.Flags().StringVar(&k.file, "config", "", "configuration `FILE`: seeds, TLS, SASL, names of topics")
	cmd.Flags().DurationVar(&k.timeout, "timeout", 30*time.Second, "how long to wait for Kafka")
}

func (k *kafkaFlags) config() (*config.Config, error) {
	cfg := config.Default()
	if seeds := os.Getenv(envKafka); seeds != "" {
		cfg.Kafka.Seeds = strings.Split(seeds, ",")
	}
	cfg.ClickHouse.URL = cmp.Or(os.Getenv(envClickHouse), cfg.ClickHouse.URL)
	if k.file != "" {
		if err := config.LoadOver(k.file, cfg, nil); err != nil {
			return nil, err
		}
	}
	if k.seeds != "" {
		cfg.Kafka.Seeds = strings.Split(k.seeds, ",")
	}
	return cfg, checkServers(cfg)
}

// checkServers checks what flags put into a configuration that was valid.
func checkServers(cfg *config.Config) error {
	for _, v := range cfg.Validate() {
		switch {
		case strings.HasPrefix(v.Path, "kafka.seeds"):
			return usagef("--kafka: %s", v.Message)
		case v.Path == "clickhouse.url":
			return usagef("--clickhouse: %s", v.Message)
		}
	}
	return nil
}

// clickHouseFlags name a ClickHouse.
type clickHouseFlags struct{ url, user, passwordFile string }

func (c *clickHouseFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&c.url, "clickhouse", "", "`URL` of the HTTP interface (default $"+envClickHouse+" or http://127.0.0.1:8123)")
	cmd.Flags().StringVar(&c.user, "user", "", "`NAME` of the ClickHouse user (default: default)")
	cmd.Flags().StringVar(&c.passwordFile, "password-file", "", "`FILE` that holds the user's password")
}

func (c *clickHouseFlags) config() clickhouse.Config {
	return clickhouse.Config{
		URL:  cmp.Or(c.url, os.Getenv(envClickHouse), "http://127.0.0.1:8123"),
		User: c.user, PasswordFile: c.passwordFile,
	}
}
