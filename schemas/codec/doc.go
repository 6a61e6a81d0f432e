// Package codec turns records into events and back.
//
// A [Decoder] reads every form that Whence takes: CloudEvents 1.0 in structured
// mode (application/cloudevents+json and +msgpack) and in binary mode (ce_
// headers, data as JSON or msgpack), and CDEvents as they are, bare or in a
// CloudEvents envelope. What comes out is the same event whatever it was
// written in, down to its hash.
//
//	var events codec.Events
//	var dec codec.Decoder
//	if err := dec.Decode(&events, provenance, record.Value, headers); err != nil {
//		fault := codec.FaultOf(err) // fault.Reason, fault.Detail
//	}
//
// An [Encoder] writes events as structured JSON or, compact, as binary mode
// msgpack. [Encoder.EncodeFact] and [Decoder.DecodeFact] are the form of the context log.
//
// # Where the rules are
//
// Decode checks the form: syntax, the envelope, the time, that an own type
// exists, that an observation's fields hold what they must. [Check] and
// [CheckObservation] check the rest of the registry's rules (package event):
// required fields, allowed values, times in data, the fields of facts. Decode does
// not call them; processors/validate and [CheckLine] do.
//
// A rule that was kept once is not asked for again: [Decoder.DecodeFact] and
// [Payloads] read back whatever was accepted, under whatever limits.
//
// # Times
//
// RFC 3339, section 5.6, and no more than that; t and z may be lower-case, the
// space that it lets applications agree on is refused. A leap second (23:59:60
// UTC, in any offset) is the second after it, and :60 at any other moment is no
// time. Times in data have the bounds of event times: the years 2000 to 2100.
//
// # Data that nobody reads here
//
// An event of an own type must have data as JSON or msgpack. In another, text
// (text/*, XML) is kept as a string and other bytes as the string of their
// base64, as the JSON event format has them. In binary mode or structured, as
// data or data_base64, it is the same event.
//
// # Headers are taken as they are
//
// The Kafka protocol binding (section 3.2.3) has header values in UTF-8,
// and no percent-encoding; that is the HTTP binding's. Decoding %-escapes here
// would change package URLs (pkg:oci/app@sha256%3A0b31...), and an event's
// identity with them.
package codec
