// Package acceptance tests the binary as its users meet it: `whence up`,
// `whence publish`, and SQL over HTTP. Its tests share one build.
package acceptance
