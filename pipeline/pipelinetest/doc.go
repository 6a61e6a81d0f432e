// Package pipelinetest holds what integration tests share: a real Apache
// Kafka broker from Maven Central, the whence binary, and workers as processes
// that can be killed, stopped and asked.
package pipelinetest
