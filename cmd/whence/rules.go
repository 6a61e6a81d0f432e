package main

import (
	"github.com/whencehq/whence/pipeline/config"
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
