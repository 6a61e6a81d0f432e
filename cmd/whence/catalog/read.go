package catalog

import (
	"context"

	"golang.org/x/sync/errgroup"

	"github.com/whencehq/whence/cmd/whence/why"
)

// Names reads the names that events use. since is a time as ClickHouse reads
// it: of observations only later ones are looked at.
func Names(ctx context.Context, ask why.Ask, since string) ([]Name, error) {
	return why.Rows[Name](ctx, ask, `
SELECT kind, name, canonical, declared, roles, sources, `+moments+`, events, example_source, example_id
FROM whence.catalog_names_since(since = `+why.Quote(since)+`)
ORDER BY kind, canonical, name`)
}

// moments are times as RFC 3339 has them.
const moments = `formatDateTime(first_seen, '%Y-%m-%dT%H:%i:%SZ', 'UTC') AS first_seen, formatDateTime(last_seen, '%Y-%m-%dT%H:%i:%SZ', 'UTC') AS last_seen`

// Unmapped is something that could not be placed.
type Unmapped struct {
	Kind          string   `json:"kind"` // service, repository, event, version
	Name          string   `json:"name"` // of an event its type, of a version its service and itself
	Reason        string   `json:"reason"`
	Sources       []string `json:"sources"`
	Events        uint64   `json:"events"`
	FirstSeen     string   `json:"first_seen"`
	LastSeen      string   `json:"last_seen"`
	ExampleSource string   `json:"example_source"`
	ExampleID     string   `json:"example_id"`
}

// ReadUnmapped reads what could not be placed, the most frequent first.
func ReadUnmapped(ctx context.Context, ask why.Ask, since string) ([]Unmapped, error) {
	return why.Rows[Unmapped](ctx, ask, `
SELECT kind, name, reason, sources, events, `+moments+`, example_source, example_id
FROM whence.catalog_unmapped_since(since = `+why.Quote(since)+`)
ORDER BY kind = 'event', events DESC, kind, name, reason`)
}

// Read reads what proposals are made of.
func Read(ctx context.Context, ask why.Ask, since string) (Knowledge, error) {
	var k Knowledge
	together, ctx := errgroup.WithContext(ctx)
	together.Go(func() (err error) {
		k.Names, err = Names(ctx, ask, since)
		return err
	})
	together.Go(func() (err error) {
		k.Ties, err = why.Rows[Tie](ctx, ask, ties(since))
		return err
	})
	together.Go(func() (err error) {
		k.Refused, err = why.Rows[Pair](ctx, ask, "SELECT kind, alias, canonical FROM whence_state.refusals ORDER BY ALL")
		return err
	})
	return k, together.Wait()
}

// pod is what a name of a pod begins with, without the suffixes of its
// ReplicaSet and its own (apimachinery, util/rand: consonants and digits).
const pod = `'^(.+)-[bcdfghjklmnpqrstvwxz2456789]{6,10}-[bcdfghjklmnpqrstvwxz2456789]{5}$'`

// ties is the question for what events say of two names together.
func ties(since string) string {
	return `
SELECT 'workload' AS how, workload AS name, service AS other, sum(n) AS count, sum(count) OVER (PARTITION BY workload) AS of
FROM
(
    SELECT extract(toString(instance), ` + pod + `) AS workload, toString(service) AS service, count() AS n
    FROM whence.observations FINAL
    WHERE instance != '' AND service != '' AND time >= parseDateTimeBestEffort(` + why.Quote(since) + `, 'UTC')
    GROUP BY workload, service
    UNION ALL
    SELECT extract(arrayJoin(arrayPushBack(JSONExtract(data, 'instances_added', 'Array(String)'), JSONExtractString(data, 'instance'))), ` + pod + `) AS workload,
        service, count()
    FROM whence_state.entity_facts
    WHERE live AND entity_kind IN ('instance', 'deployment') AND service != ''
    GROUP BY workload, service
)
WHERE workload != '' AND workload != service
GROUP BY workload, service
UNION ALL
SELECT 'incident', alert, incident, n, total
FROM
(
    SELECT toString(a.service) AS alert, toString(i.service) AS incident, count() AS n, sum(n) OVER (PARTITION BY alert) AS total
    FROM (SELECT service, incident_id FROM whence.alerts FINAL WHERE incident_id != '' AND service != '') AS a
    INNER JOIN (SELECT service, incident_id FROM whence.incidents FINAL WHERE service != '') AS i ON i.incident_id = a.incident_id
    GROUP BY alert, incident
)
WHERE alert != incident
UNION ALL
SELECT 'repository', deployed.service, listed.service, deployed.n, listed.services
FROM
(
    SELECT toString(d.service) AS service, c.repository AS repository, uniqExact(d.deployment_id) AS n
    FROM (SELECT service, deployment_id, arrayJoin(revisions) AS revision FROM whence.deployments FINAL) AS d
    INNER JOIN (SELECT toString(repository) AS repository, arrayJoin(revisions) AS revision FROM whence.changes FINAL WHERE repository != '') AS c ON c.revision = d.revision
    GROUP BY service, repository
) AS deployed
INNER JOIN
(
    SELECT repository, service, uniqExact(service) OVER (PARTITION BY repository) AS services
    FROM (SELECT DISTINCT arrayJoin(repositories) AS repository, service FROM whence.services FINAL)
) AS listed ON listed.repository = deployed.repository
WHERE deployed.service != listed.service
UNION ALL
SELECT 'commits', committer, author, n, total
FROM
(
    SELECT author, committers[1] AS committer, count() AS n, sum(n) OVER (PARTITION BY author) AS total
    FROM
    (
        SELECT JSONExtractString(data, 'author') AS author,
            arrayDistinct(arrayFilter(c -> c != '', arrayMap(c -> JSONExtractString(c, 'author'), JSONExtractArrayRaw(data, 'commits')))) AS committers
        FROM whence_state.entity_facts
        WHERE live AND entity_kind = 'change' AND length(committers) = 1 AND author != ''
    )
    GROUP BY author, committer
)
WHERE author != committer
ORDER BY ALL`
}
