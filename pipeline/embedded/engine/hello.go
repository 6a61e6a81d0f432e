package engine

import (
	"strconv"
	"strings"

	"github.com/ClickHouse/ch-go/proto"
)

// helloQuery is what clickhouse-go asks first over HTTP. It reads the answer as Native at its own protocol revision,
// and everything after that at the revision in the answer.
const helloQuery = "SELECT displayName(), version(), revision(), timezone()"

// helloRevision is the first revision whose Native blocks carry block information and a mark for custom serialization.
const helloRevision = 54454

// isHello reports whether a request is clickhouse-go's hello.
func isHello(sql, format, protocol string) bool {
	revision, err := strconv.Atoi(protocol)
	return err == nil && revision >= helloRevision && format == "Native" && strings.TrimSpace(sql) == helloQuery
}

// hello answers it with a block that has what that revision demands, and with revision 0: the engine can't be told a
// protocol revision, so it writes plain Native blocks, which is what revision 0 stands for.
func hello(displayName, version, timezone string) ([]byte, error) {
	var name, ver, zone proto.ColStr
	var revision proto.ColUInt32
	name.Append(displayName)
	ver.Append(version)
	revision.Append(0)
	zone.Append(timezone)
	var buf proto.Buffer
	block := proto.Block{Info: proto.BlockInfo{BucketNum: -1}, Columns: 4, Rows: 1}
	err := block.EncodeBlock(&buf, helloRevision, []proto.InputColumn{
		{Name: "displayName()", Data: &name},
		{Name: "version()", Data: &ver},
		{Name: "revision()", Data: &revision},
		{Name: "timezone()", Data: &zone},
	})
	return buf.Buf, err
}
