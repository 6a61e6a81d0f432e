// Package ruletest tries rules (package rules) on examples that stand beside
// them: own.yaml's in own_test.yaml. A record is taken through the very stages
// that a worker has, up to where an event would be stored.
package ruletest
