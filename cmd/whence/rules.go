package main

import (
	"github.com/whencehq/whence/pipeline/config"
	"github.com/whencehq/whence/processors/decode"
	"github.com/whencehq/whence/processors/rules"
)

// configuredRules compiles the rules that a configuration names; failed is told
// of expressions that can't be computed.
func configuredRules(c config.Rules, failed func(rule string)) (*rules.Set, error) {
	set, err := rules.Load(c.Files, rules.Options{Failed: failed})
	if err != nil && !config.IsProblem(err) {
		return nil, &exitError{exitConfig, err}
	}
	return set, err
}

// decoding is how records are read under a configuration.
func decoding(c *config.Config) decode.Config {
	return decode.Config{
		MaxEventBytes: int(c.Limits.MaxEventBytes), MaxDepth: c.Limits.MaxDepth,
		Formats: c.Kafka.Topics.Formats(), Defaults: decode.Defaults(c.Decode.Defaults),
	}
}
