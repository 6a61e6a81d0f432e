//go:build race

package statespace

const raced = true
