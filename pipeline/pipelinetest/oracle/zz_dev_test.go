package oracle_test

import (
	"context"

	"github.com/whencehq/whence/pipeline/pipelinetest/oracle"
)

func devView() error {
	_, err := oracle.HTTP(url)(context.Background(), `CREATE VIEW IF NOT EXISTS whence.events AS
SELECT source,id,type,subject,time,service,environment,data,content_hash FROM whence.facts FINAL
UNION ALL SELECT source,id,type,subject,time,service,environment, toJSONString(map('name',toString(name),'version',toString(version),'instance',toString(instance),'experiment',toString(experiment),'variant',toString(variant))) AS data, content_hash FROM whence.observations FINAL`)
	return err
}
