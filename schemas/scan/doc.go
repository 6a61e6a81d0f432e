// Package scan cuts reports of scanners into documents that fit a Kafka record.
//
//	err := scan.Split("sarif", file, 1<<20, func(chunk []byte, headers map[string]string) error {
//		return produce(chunk, headers)
//	})
//
// A report may have any size: it is read twice as a stream, and what is in
// memory is a chunk or two, one result, and what results refer to by a number
// or a name (rules, files, components), which is bounded.
//
// # What a chunk is
//
// A valid document of the same format with some of the results, in their order,
// and what they need: the tool, what was scanned, the rules or components that
// they name. Each result is in one chunk. References by a position in a list
// are written out, as lists are cut:
//
//	sarif      one run; runs of one tool and target are one scan, whose
//	           parts go on from run to run; a result's ruleId instead of ruleIndex and rule,
//	           and the uri of a location instead of an index into artifacts
//	trivy      Results with some of their Vulnerabilities, Misconfigurations,
//	           Secrets, Licenses and ExperimentalModifiedFindings
//	grype      matches and ignoredMatches
//	cyclonedx  vulnerabilities, and the components that they affect
//	ocsf       a list of events, out of a list, lines, or one event
//
// What no result is, is left out: descriptions of rules beyond a line, contents
// of files, packages that nothing was found in. A result that is too large for
// a chunk loses its longest accounts first (SARIF's code flows, stacks, graphs,
// fixes); if that isn't enough, Split ends with an error that says which it is.
//
// # Which scan it is
//
// Every chunk has these headers:
//
//	whence-scan       the scan: the report's own guid (SARIF: automationDetails.guid;
//	                  CycloneDX: serialNumber and version; Trivy: ReportID), else
//	                  32 hex digits of the SHA-256 of the report. Of several scans
//	                  in one SARIF file, with /1, /2 … behind it from the second on
//	whence-scan-part  1, 2, 3 …, and on the last one how many: 12/12. A scan is
//	                  known whole when it has a part n/n and all before it
//
//	whence-scan-partial   true, if what the report doesn't mention may be there all
//	                  the same: a CycloneDX VEX that has no inventory
//
// All are a function of the report alone, so that a report sent again is the
// same scan. A scan that found nothing has one part, which says so. Sent again
// with other hints it is another scan, for it says something else: what reads a
// chunk puts a digest of its hints behind the name, so all chunks of one upload
// must have the same ones.
//
// A report that states no time of its own (most SARIF) happened when it was
// received: all its chunks must have the same whence-received, or the same hint
// `time`. Its time is part of its name then, for the same words on another day
// are another scan.
package scan
