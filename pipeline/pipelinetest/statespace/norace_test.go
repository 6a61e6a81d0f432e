//go:build !race

package statespace

const raced = false
