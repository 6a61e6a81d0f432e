package main

import (
	"fmt"
	"maps"
	"os"

	"github.com/whencehq/whence/processors/correlate"
)

// readModel reads the model that causes are ranked with; empty: the one that
// Whence comes with. What a file says wrong is an error of configuration.
func readModel(file string) (*correlate.Model, error) {
	known := correlate.DefaultModel()
	if file == "" {
		return known, nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	m, err := correlate.ReadModel(text)
	if err == nil && m.Name == known.Name && !maps.Equal(m.Weights, known.Weights) {
		err = fmt.Errorf("it is called %s as the one that Whence comes with, and has other weights: rankings could not be told apart", m.Name)
	}
	if err != nil {
		return nil, &exitError{exitConfig, fmt.Errorf("%s: %w", file, err)}
	}
	// What this version knows of and the file does not, for it was learned before.
	for name, weight := range known.Weights {
		if _, there := m.Weights[name]; !there {
			m.Weights[name] = weight
		}
	}
	return m, nil
}

// configuredModel is readModel for what a configuration names.
func configuredModel(file string) (*correlate.Model, error) {
	m, err := readModel(file)
	if err != nil {
		return nil, &exitError{exitConfig, fmt.Errorf("correlate.model: %w", err)}
	}
	return m, nil
}
