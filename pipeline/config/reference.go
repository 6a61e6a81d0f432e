package config

import _ "embed"

// Reference is a configuration that says all there is to say, everywhere the
// default, with what each key means. It is generated from this package's types
// and comments: go test ./pipeline/config -run Reference -rewrite.
//
//go:embed reference.yaml
var Reference string
