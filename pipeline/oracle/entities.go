package oracle

import (
	"fmt"
	"strings"
)

// entityTables are the tables of entities, and what the key of each is made of.
var entityTables = []struct{ name, key string }{
	{"services", "environment, service"}, {"changes", "change_id"}, {"deployments", "deployment_id"}, {"flags", "environment, flag"},
	{"alerts", "alert_id"}, {"incidents", "incident_id"}, {"findings", "finding_id"}, {"breaches", "breach_id"},
	{"experiments", "experiment"}, {"builds", "build_id"}, {"tests", "run_id, suite, case"}, {"artifacts", "artifact"},
}

// storedEntities selects what the tables have of each entity, as 35_entities.sql
// reads it: its row, and that it is gone if that was found out later than what
// it is held to.
func (o *Oracle) storedEntities() string {
	const question = `SELECT '%[1]s', CAST([%[2]s], 'Array(String)'), formatRow('JSONEachRow', * EXCEPT (received_at, topic, partition, offset, revision, is_deleted)),
            2, revision FROM whence.%[1]s FINAL
        UNION ALL
        SELECT '%[1]s', CAST([%[2]s], 'Array(String)'), '', 4, revision FROM whence.%[1]s WHERE is_deleted AND revision > toUInt64(%[3]d)`
	var all []string
	for _, t := range entityTables {
		all = append(all, fmt.Sprintf(question, t.name, t.key, o.scope.Revision))
	}
	return strings.Join(all, "\n        UNION ALL\n        ")
}
