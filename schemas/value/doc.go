// Package value reads what an event says, whatever it is written in.
//
// A [Doc] is one reusable tape, as in simdjson ("Parsing Gigabytes of JSON per
// Second", VLDB 2019): JSON and msgpack are both scanned into the same flat
// list of nodes, so that everything behind the scanner (typed reading, the
// content hash, the canonical form) exists once and can't differ by format.
//
//	var doc value.Doc
//	if err := doc.ParseMsgpack(record); err != nil { ... }
//	name, ok := doc.Root().Field("name").Text()
//
// # What is guaranteed
//
//   - A Doc that has grown to its records allocates nothing. Strings alias the
//     input; only those that had to be rewritten (JSON escapes, timestamps,
//     binary) live in an arena, which is never reused while a string may still
//     point into it: strings outlive the next Parse, but keep their record alive.
//   - Hostile input costs a multiple of its own size: nesting is bounded (64 by
//     default), a declared length is checked against the bytes that are left
//     before anything follows from it, and a node (32 bytes) is appended only for
//     bytes that were there: at least two in JSON, one in msgpack. While the tape
//     grows it is there one and a half times. So who parses bounds what is parsed.
//   - What is accepted is UTF-8 throughout, has no NaN and no infinity, has
//     strings for keys and nothing behind it. Of duplicate keys the last wins.
//
// # One value, two formats
//
//   - Integral numbers that fit int64 or uint64 are integers, however written: 1,
//     1.0 and 1e0 in JSON; int, uint and float in msgpack. A JSON number with a
//     fraction or an exponent is read as a float64 first, as every JSON reader
//     does (RFC 8259, section 6). The rest are float64; minus zero is 0. Beyond 2^53
//     one value may have two names: the float64 18014398509481992 is printed by
//     many JSON writers as 18014398509481990, which is another integer.
//   - A member that is null is absent: the two hash and print alike. Null in an
//     array holds its place.
//   - A msgpack timestamp is the RFC 3339 string of it in UTC; bin is the standard
//     base64 string of its bytes, as CloudEvents' data_base64 has it; any other
//     ext is the array [type, base64].
//
// A Doc and its Values belong to one goroutine: even reading uses scratch space.
package value
