package timeline_test

import (
	"flag"
	"os"
	"testing"

	"go.uber.org/goleak"
)

// The alphabets of the property tests collide on purpose, so a rare order of
// three facts takes more draws than rapid's hundred.
func TestMain(m *testing.M) {
	flag.Parse()
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "rapid.checks" })
	if !given && !testing.Short() {
		if err := flag.Set("rapid.checks", "500"); err != nil {
			panic(err)
		}
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(os.Exit))
}
