package tables

import (
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var rewrite = flag.Bool("rewrite", false, "write migrations/cluster anew from migrations/single")

// sharded are the tables that grow with traffic, with what places a row: all
// rows of one identity on one shard, so that FINAL stays exact. Everything
// else is small and whole on every server, so that joins are local.
var sharded = map[string]string{
	"observations": "cityHash64(source, id)",
	"other_events": "cityHash64(source, id)",
	"dead_letters": "cityHash64(topic_id, partition, offset)",

	"observations_history": "cityHash64(source, id)",
}

// The variant for clusters is written from the one for a single server, so
// that the two can't drift apart.
func TestTheClusterMigrationsAreThoseOfASingleServerMadeReplicated(t *testing.T) {
	files, err := fs.Glob(Migrations, "migrations/single/*.sql")
	if err != nil || len(files) == 0 {
		t.Fatalf("files %q, %v", files, err)
	}
	for _, file := range files {
		single, err := fs.ReadFile(Migrations, file)
		if err != nil {
			t.Fatal(err)
		}
		want := clustered(string(single))
		path := filepath.Join("migrations", "cluster", filepath.Base(file))
		if *rewrite {
			if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != want {
			t.Errorf("%s differs from what %s makes (%v): go test -run Cluster -rewrite", path, file, err)
		}
	}
	extra, err := filepath.Glob("migrations/cluster/*.sql")
	if err != nil || len(extra) != len(files) {
		t.Errorf("%d files for a cluster and %d for a single server, %v", len(extra), len(files), err)
	}
}

const onCluster = " ON CLUSTER '{cluster}'"

var (
	creation = regexp.MustCompile(`(?m)^(CREATE (?:OR REPLACE )?(?:DATABASE|TABLE|VIEW|MATERIALIZED VIEW)(?: IF NOT EXISTS)? [\w.]+)`)
	removal  = regexp.MustCompile(`(?m)^(DROP (?:TABLE|VIEW) IF EXISTS [\w.]+);`)
	table    = regexp.MustCompile(`(?s)CREATE TABLE IF NOT EXISTS (\w+)\.(\w+) ON CLUSTER.*?;\n`)
	addition = regexp.MustCompile(`(?ms)^ALTER TABLE (\w+)\.(\w+) .*?;\n`)
	codec    = regexp.MustCompile(` CODEC\(.*\)`)
	engine   = regexp.MustCompile(`ENGINE = (\w*MergeTree)(?:\(([^)]*)\))?\n`)
)

func clustered(single string) string {
	text := creation.ReplaceAllString(single, "$1"+onCluster)
	text = removal.ReplaceAllStringFunc(text, func(statement string) string {
		name := removal.FindStringSubmatch(statement)[1]
		all := name + onCluster + " SYNC;"
		if _, table, _ := strings.Cut(name, "."); sharded[table] != "" {
			all += "\nDROP TABLE IF EXISTS whence_state." + table + "_shard" + onCluster + " SYNC;"
		}
		return all
	})
	text = addition.ReplaceAllStringFunc(text, altered)
	text = strings.ReplaceAll(text, "non_replicated_deduplication_window = 100000",
		"replicated_deduplication_window = 100000, replicated_deduplication_window_seconds = 604800")
	return table.ReplaceAllStringFunc(text, replicated)
}

// altered makes an ALTER TABLE one of the whole cluster, and of a sharded table
// two: the shard's first, which the table over the shards reads.
func altered(statement string) string {
	m := addition.FindStringSubmatch(statement)
	database, name := m[1], m[2]
	whole := strings.Replace(statement, database+"."+name, database+"."+name+onCluster, 1)
	if sharded[name] == "" {
		return whole
	}
	shard := strings.Replace(statement, database+"."+name, "whence_state."+name+"_shard"+onCluster, 1)
	return shard + "\n-- The same for the table over the shards, which has no codecs of its own.\n" + codec.ReplaceAllString(whole, "")
}

// replicated makes the engine of a CREATE TABLE a replicated one, and a
// sharded table two: the shard, and the table over the shards in its place.
func replicated(statement string) string {
	m := table.FindStringSubmatch(statement)
	database, name := m[1], m[2]
	path, replica := "/clickhouse/tables/"+database+"/"+name, "{shard}-{replica}"
	if sharded[name] != "" {
		path, replica = "/clickhouse/tables/{shard}/"+database+"/"+name, "{replica}"
		statement = strings.Replace(statement, database+"."+name, "whence_state."+name+"_shard", 1)
	}
	statement = engine.ReplaceAllStringFunc(statement, func(clause string) string {
		m := engine.FindStringSubmatch(clause)
		arguments := "'" + path + "', '" + replica + "'"
		if m[2] != "" {
			arguments += ", " + m[2]
		}
		return "ENGINE = Replicated" + m[1] + "(" + arguments + ")\n"
	})
	if key := sharded[name]; key != "" {
		statement += "\n-- The table over the shards: what reads and writes go through.\nCREATE TABLE IF NOT EXISTS " +
			database + "." + name + onCluster + " AS whence_state." + name + "_shard\nENGINE = Distributed('{cluster}', whence_state, " +
			name + "_shard, " + key + ");\n"
	}
	return statement
}
