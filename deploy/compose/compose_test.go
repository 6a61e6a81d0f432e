// Package compose_test checks docker-compose.yml and what it mounts as far as
// that goes without a Docker engine: by the Compose specification's own loader
// and by the programs that read the files.
package compose_test

import (
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"

	"github.com/whencehq/whence/pipeline/config"
)

const root = "../.."

func project(t *testing.T) *types.Project {
	t.Helper()
	options, err := cli.NewProjectOptions([]string{filepath.Join(root, "docker-compose.yml")}, cli.WithEnv([]string{
		"WHENCE_MIGRATE_PASSWORD=a", "WHENCE_WORKER_PASSWORD=b", "WHENCE_BI_PASSWORD=c",
	}))
	if err != nil {
		t.Fatal(err)
	}
	p, err := options.LoadProject(t.Context()) // against the schema, with what depends on what
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestTheFileKeepsToTheComposeSpecification(t *testing.T) {
	p := project(t)
	for _, name := range []string{"kafka", "clickhouse", "migrate", "topics", "worker"} {
		if _, ok := p.Services[name]; !ok {
			t.Errorf("no service %s", name)
		}
	}
	if n := p.Services["worker"].Deploy.Replicas; n == nil || *n != 2 {
		t.Errorf("workers: %v, want 2", n)
	}
}

func TestServersHaveHealthChecksAndVolumesOfTheirOwn(t *testing.T) {
	p := project(t)
	for _, name := range []string{"kafka", "clickhouse", "worker"} {
		if check := p.Services[name].HealthCheck; check == nil || len(check.Test) == 0 {
			t.Errorf("%s has no health check", name)
		}
	}
	for _, name := range []string{"kafka", "clickhouse"} {
		if _, ok := p.Volumes[name]; !ok {
			t.Errorf("%s keeps nothing", name)
		}
	}
}

func TestEveryMountedFileIsThere(t *testing.T) {
	for _, s := range project(t).Services {
		for _, v := range s.Volumes {
			if v.Type != types.VolumeTypeBind {
				continue
			}
			if _, err := os.Stat(v.Source); err != nil {
				t.Errorf("%s mounts %v", s.Name, err)
			}
		}
		if s.Build != nil {
			if _, err := os.Stat(filepath.Join(s.Build.Context, s.Build.Dockerfile)); err != nil {
				t.Errorf("%s is built from %v", s.Name, err)
			}
		}
	}
}

func TestMissingPasswordsAreNamed(t *testing.T) {
	options, err := cli.NewProjectOptions([]string{filepath.Join(root, "docker-compose.yml")})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := options.LoadProject(t.Context()); err == nil || !strings.Contains(err.Error(), "set it in .env") {
		t.Error(err)
	}
}

func TestTheWorkersConfigurationIsValidAndFitsTheServices(t *testing.T) {
	c, err := config.Load("worker.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if c.Kafka.Seeds[0] != "kafka:9092" || c.ClickHouse.URL != "http://clickhouse:8123" {
		t.Errorf("%v, %s", c.Kafka.Seeds, c.ClickHouse.URL)
	}
	secret := project(t).Services["worker"].Secrets[0].Source
	if c.ClickHouse.PasswordFile != "/run/secrets/"+secret {
		t.Errorf("the password is read from %s, and the secret is %s", c.ClickHouse.PasswordFile, secret)
	}
}

func TestClickHousesFilesAreXMLAndNameTheSameUsers(t *testing.T) {
	for _, file := range []string{"users.xml", "server.xml"} {
		text, err := os.ReadFile(filepath.Join(root, "deploy/clickhouse", file))
		if err != nil {
			t.Fatal(err)
		}
		d := xml.NewDecoder(strings.NewReader(string(text)))
		for err == nil {
			_, err = d.Token()
		}
		if !errors.Is(err, io.EOF) {
			t.Errorf("%s: %v", file, err)
		}
		if file != "users.xml" {
			continue
		}
		for _, want := range []string{"<whence_worker>", "<whence_migrate>", `from_env="WHENCE_BI_PASSWORD"`, `from_env="WHENCE_WORKER_PASSWORD"`, `from_env="WHENCE_MIGRATE_PASSWORD"`} {
			if !strings.Contains(string(text), want) {
				t.Errorf("users.xml has no %s", want)
			}
		}
	}
}

var (
	comment    = regexp.MustCompile(`--.*`)
	definition = regexp.MustCompile(`(?s)CREATE OR REPLACE VIEW (\S+)(.*?);\n`)
	relation   = regexp.MustCompile(`whence(_state)?\.\w+`)
)

// A view is read with the rights of who asks: all that it reads must be granted.
func TestTheUserForBIMayReadAllThatTheViewsRead(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(root, "schemas/clickhouse/migrations/single/*.sql"))
	if err != nil || len(files) == 0 {
		t.Fatal(err, files)
	}
	users, err := os.ReadFile(filepath.Join(root, "deploy/clickhouse/users.xml"))
	if err != nil {
		t.Fatal(err)
	}
	reads := map[string][]string{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, view := range definition.FindAllStringSubmatch(comment.ReplaceAllString(string(text), ""), -1) {
			reads[view[1]] = relation.FindAllString(view[2], -1)
		}
	}
	granted := map[string]bool{}
	var check func(from, name string)
	check = func(from, name string) {
		if granted[name] {
			return
		}
		granted[name] = true
		if strings.HasPrefix(name, "whence_state.") && !strings.Contains(string(users), "GRANT SELECT ON "+name+"<") {
			t.Errorf("whence_bi may not read %s, which %s reads", name, from)
		}
		for _, next := range reads[name] {
			check(name, next)
		}
	}
	for view := range reads {
		if strings.HasPrefix(view, "whence.") {
			check("", view)
		}
	}
}

// What a correction needs is a partition of its own, which goes with it.
func TestTheUserOfWorkersMayDropWhatACorrectionIsDoneWith(t *testing.T) {
	users, err := os.ReadFile(filepath.Join(root, "deploy/clickhouse/users.xml"))
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(root, "schemas/clickhouse/migrations/single/00006_corrections.sql"))
	if err != nil {
		t.Fatal(err)
	}
	_, tables, _ := strings.Cut(string(text), "CREATE TABLE IF NOT EXISTS ")
	found := 0
	for table := range strings.SplitSeq(tables, "CREATE TABLE IF NOT EXISTS ") {
		if !strings.Contains(table, "\nPARTITION BY run\n") && !strings.Contains(table, "\nPARTITION BY pass\n") {
			continue
		}
		found++
		if name := strings.Fields(table)[0]; !strings.Contains(string(users), "GRANT ALTER DELETE ON "+name+"<") {
			t.Errorf("whence_worker may not drop partitions of %s", name)
		}
	}
	if found != 3 {
		t.Errorf("%d tables of one use are known", found)
	}
}
