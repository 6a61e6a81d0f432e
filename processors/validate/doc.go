// Package validate holds events against the registry of types (package
// event): required fields are there, fields hold what they must and one of the
// values allowed. What breaks a rule becomes a dead letter that names the
// field: `data.service: missing`.
//
// It stands behind decode, which has checked the form: syntax, envelope, time,
// that an own type exists. Events of other types have no rules.
package validate
