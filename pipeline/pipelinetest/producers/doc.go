// Package producers tests the gateway and the input topics with programs that
// people really have: exporters, agents and scanners that nobody here wrote,
// and a tester of OpenAPI documents. What they need is installed from PyPI and
// from Debian into a cache; a test that can't have its program says so and is
// skipped, or fails where $CI is set.
package producers
