// Package tap tells what passes through a chain, a line each: what a batch holds
// behind some stage.
package tap
