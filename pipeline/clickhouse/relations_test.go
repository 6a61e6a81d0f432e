package clickhouse

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	tables "github.com/whencehq/whence/schemas/clickhouse"
	"github.com/whencehq/whence/schemas/event"
)

// rolled is a deployment that starts at a second and completes a minute later.
func rolled(id, service, environment string, second int64, more string) []event.Fact {
	data := fmt.Sprintf(`{"deployment_id":%q,"service":%q,"environment":%q,"version":"v-%s"%s`, id, service, environment, id, more)
	return []event.Fact{
		said(id+"-started", "deployment.started", second, data+"}"),
		said(id+"-finished", "deployment.finished", second+60, data+`,"outcome":"success"}`),
	}
}

// witnessed makes an observation at a second; its number n is its identity.
func witnessed(n int, service, environment string, second int64, change func(*event.Observation)) *event.Observation {
	o := observation("relations", n, event.MinTime+event.Millis(second*1000))
	o.Service, o.Environment = service, environment
	change(o)
	return o
}

func observe(t *testing.T, client *Client, all ...*event.Observation) {
	t.Helper()
	block := tables.NewObservations()
	for _, o := range all {
		block.Append(o, bare)
	}
	must(t, client.Insert(t.Context(), block, fmt.Sprintf("%s|%d", t.Name(), len(all))))
}

func moment(second int64) string {
	return (event.MinTime + event.Millis(second*1000)).Time().Format(time.RFC3339)
}

func TestShippedSaysWhereEachChangeIsAndWhichIsNowhere(t *testing.T) {
	client := connect(t)
	empty(t, client, factTables()...)
	merged := func(id string, second int64, more string) event.Fact {
		return said(id, "change.merged", second, fmt.Sprintf(`{"change_id":%q,"repository":"shop","author":"ada","title":"about %s","merged_at":%q%s}`, id, id, moment(second), more))
	}
	tell(t, client, 100, slices.Concat(
		[]event.Fact{
			merged("everywhere", 3600, `,"revision":"r","commits":[{"revision":"q","authored_at":"`+moment(1800)+`"}]`),
			merged("nowhere", 3700, `,"revision":"n"`),
			merged("failed", 3800, `,"revision":"f"`),
			merged("under-way", 3900, `,"revision":"u"`),
			said("config", "configuration.changed", 3900, `{"change_id":"config","service":"shop","environment":"production","summary":"more workers"}`),
			said("failed-1", "deployment.finished", 9000, `{"deployment_id":"failed-1","service":"shop","environment":"production","version":"v3","revisions":["f"],"outcome":"failure"}`),
			said("under-way-1", "deployment.started", 9000, `{"deployment_id":"under-way-1","service":"shop","environment":"production","version":"v4","revisions":["u"]}`),
		},
		rolled("staged", "shop", "staging", 5340, `,"revisions":["q","r"]`),
		rolled("live", "shop", "production", 8940, `,"revisions":["r"]`),
		[]event.Fact{merged("no-commits", 3600, `,"revision":"m"`)},
		rolled("lean", "shop", "production", 8940, `,"revisions":["m"]`),
		rolled("other", "blog", "production", 8940, `,"revisions":["b"]`))...)
	expect(t, client, `SELECT change_id, title, author, repository, deployment_id, service, environment, version, toUnixTimestamp(merged_at) % 86400,
			toUnixTimestamp(first_authored_at) % 86400, toUnixTimestamp(deployed_at) % 86400, state, lead_time_hours
		FROM whence.shipped ORDER BY change_id, deployment_id`,
		"everywhere\tabout everywhere\tada\tshop\tlive\tshop\tproduction\tv-live\t3600\t1800\t9000\tsuccess\t2",
		"everywhere\tabout everywhere\tada\tshop\tstaged\tshop\tstaging\tv-staged\t3600\t1800\t5400\tsuccess\t1",
		"failed\tabout failed\tada\tshop\tfailed-1\tshop\tproduction\tv3\t3800\t∅\t∅\tfailure\t∅",
		"no-commits\tabout no-commits\tada\tshop\tlean\tshop\tproduction\tv-lean\t3600\t∅\t9000\tsuccess\t1.5",
		"nowhere\tabout nowhere\tada\tshop\t\t\t\t\t3700\t∅\t∅\t\t∅",
		"under-way\tabout under-way\tada\tshop\tunder-way-1\tshop\tproduction\tv4\t3900\t∅\t∅\tin_progress\t∅")
	expect(t, client, "SELECT deployment_id FROM whence.shipped WHERE change_id = 'everywhere' AND environment = 'staging'", "staged")
	expect(t, client, "SELECT change_id FROM whence.shipped WHERE deployment_id = ''", "nowhere")
}

func TestFindingExposureFollowsAFindingFromTheChangeThatBroughtItToTheDeploymentThatRemovedIt(t *testing.T) {
	client := connect(t)
	empty(t, client, append(factTables(), "whence.observations")...)
	const hour = 3600
	found := func(id string, second int64, more string) event.Fact {
		return said(id, "finding.opened", second, fmt.Sprintf(`{"finding_id":%q,"kind":"vulnerability","rule":"CVE","severity":"high"%s}`, id, more))
	}
	tell(t, client, 100, slices.Concat(
		[]event.Fact{
			said("c", "change.merged", hour, `{"change_id":"c","repository":"shop","revision":"r","title":"parse faster","author":"ada","commits":[{"revision":"q"}]}`),
			said("fix", "change.merged", 20*hour, `{"change_id":"fix","repository":"shop","revision":"z","commits":[{"revision":"y"}]}`),
			found("traced", 15*hour, `,"service":"shop","revision_introduced":"q","revision_fixed":"y"`),
			found("named", 15*hour, `,"service":"shop","environment":"production","revision_introduced":"r"`),
			found("no-service", 15*hour, `,"repository":"shop","revision_introduced":"q"`),
			found("no-change", 15*hour, `,"service":"shop","first_seen":"`+moment(14*hour)+`","revision_introduced":"unknown"`),
			said("accepted", "finding.accepted", 16*hour, `{"finding_id":"no-change","kind":"vulnerability","rule":"CVE","severity":"high"}`),
			found("no-deployment", 15*hour, `,"service":"mail","environment":"production"`),
			found("no-place", 15*hour, `,"service":"ghost"`),
		},
		rolled("staged", "shop", "staging", 9*hour-60, `,"revisions":["r"]`),
		rolled("live", "shop", "production", 10*hour-60, `,"revisions":["r"]`),
		rolled("again", "shop", "production", 12*hour-60, `,"revisions":["r"]`),
		rolled("library", "cart", "production", 11*hour-60, `,"revisions":["q"]`),
		rolled("fixed", "shop", "production", 22*hour-60, `,"revisions":["z"]`),
		rolled("remedy", "shop", "production", 24*hour-60, `,"remediates":["named","INC-1"]`),
		rolled("too-early", "shop", "production", 8*hour-60, `,"remediates":["named"]`))...)
	user := func(n int, environment string, second int64, name string) *event.Observation {
		return witnessed(n, "shop", environment, second, func(o *event.Observation) { o.User = name })
	}
	observe(t, client,
		user(1, "production", 10*hour-1, "before"), user(2, "production", 10*hour, "ada"), user(3, "production", 21*hour, "ada"),
		user(4, "production", 22*hour-1, "bob"), user(5, "production", 22*hour, "after"), user(6, "staging", 11*hour, "tester"),
		user(7, "production", 12*hour, ""), user(8, "production", 14*hour+1, "cleo"), user(9, "production", 13*hour, "dan"))
	// Of two contents of one observation the greater hash is there, so dan is not.
	rewritten := user(9, "production", 13*hour, "bob")
	rewritten.Hash++
	observe(t, client, rewritten)

	const columns = `SELECT finding_id, service, environment, change_id, introduced_by, formatDateTime(since, '%d %H'), removed_by,
		formatDateTime(until, '%d %H'), if(until IS NULL, NULL, exposure_hours), users, state FROM `
	want := []string{
		"named\tshop\tproduction\tc\tlive\t01 10\tremedy\t02 00\t14\t4\topen",
		"no-change\tshop\tproduction\t\t\t01 14\t\t01 16\t2\t1\taccepted",
		"no-change\tshop\tstaging\t\t\t01 14\t\t01 16\t2\t0\taccepted",
		"no-deployment\tmail\tproduction\t\t\t01 15\t\t∅\t∅\t0\topen",
		"no-place\tghost\t\t\t\t01 15\t\t∅\t∅\t∅\topen",
		"no-service\tcart\tproduction\tc\tlibrary\t01 11\t\t∅\t∅\t0\topen",
		"no-service\tshop\tproduction\tc\tlive\t01 10\t\t∅\t∅\t4\topen",
		"no-service\tshop\tstaging\tc\tstaged\t01 09\t\t∅\t∅\t1\topen",
		"traced\tshop\tproduction\tc\tlive\t01 10\tfixed\t01 22\t12\t3\topen",
		"traced\tshop\tstaging\tc\tstaged\t01 09\t\t∅\t∅\t1\topen",
	}
	expect(t, client, columns+"whence.finding_exposure ORDER BY ALL", want...)
	for _, id := range []string{"named", "no-change", "no-place", "no-service", "traced"} {
		own := slices.DeleteFunc(slices.Clone(want), func(line string) bool { return !strings.HasPrefix(line, id+"\t") })
		expect(t, client, columns+"whence.finding_exposure WHERE finding_id = '"+id+"' ORDER BY ALL", own...)
		expect(t, client, columns+"whence.finding_exposure_of(finding = '"+id+"') ORDER BY ALL", own...)
	}
	expect(t, client, "SELECT change_title, change_author, introduced_version, removed_version FROM whence.finding_exposure_of(finding = 'traced') WHERE environment = 'production'",
		"parse faster\tada\tv-live\tv-fixed")
	expect(t, client, "SELECT abs(exposure_hours - dateDiff('second', since, now()) / 3600) < 1 FROM whence.finding_exposure_of(finding = 'no-place')", "1")
	expect(t, client, "SELECT count() FROM whence.finding_exposure_of(finding = 'nobody')", "0")
}

func TestIncidentImpactCountsUsersRequestsAndConversionsAgainstTheForecast(t *testing.T) {
	client := connect(t)
	empty(t, client, append(factTables(), "whence.observations", "whence_state.touches")...)
	const week = 7 * 24 * 3600
	onset := int64(8 * 24 * 3600)
	incident := func(id, service, environment string, more string) event.Fact {
		return said(id, "incident.opened", onset+30, fmt.Sprintf(`{"incident_id":%q,"service":%q,"environment":%q,"severity":"high","started_at":%q%s}`, id, service, environment, moment(onset), more))
	}
	ended := fmt.Sprintf(`,"ended_at":%q`, moment(onset+1800))
	tell(t, client, 100,
		incident("counted", "shop", "production", ended+`,"services":["cart"]`),
		incident("staged", "shop", "staging", ended),
		incident("measured", "mail", "production", ended),
		incident("ratios", "disk", "production", ended),
		incident("unseen", "ghost", "production", ended),
		incident("going-on", "cart", "production", ""))
	n := 0
	does := func(name, service string, second int64, user string, ok event.Truth, weight float64) *event.Observation {
		n++
		return witnessed(n, service, "production", second, func(o *event.Observation) { o.Name, o.User, o.OK, o.Weight = name, user, ok, weight })
	}
	measures := func(service string, second int64, requests, errors, ratio float64) *event.Observation {
		n++
		return witnessed(n, service, "production", second, func(o *event.Observation) {
			o.Type, o.Name, o.IntervalMS = "io.whence.service.measured", "service.measured", 60000
			o.Requests, o.Errors, o.SuccessRatio = requests, errors, ratio
		})
	}
	unknown := event.Unknown
	var all []*event.Observation
	for i := range 8 {
		at := int64(i)
		all = append(all, does("pay", "shop", onset-week+at, fmt.Sprint("old-", i), event.True, unknown), // 8 last week
			does("search", "shop", onset-3600+60*at, "", event.True, 2)) // 16 in the hour before: 8 in half an hour
	}
	all = append(all,
		does("pay", "shop", onset-week-1, "x", event.True, 100), does("pay", "shop", onset-week+1800, "x", event.True, 100), // not those minutes
		does("pay", "shop", onset-7200, "x", event.True, 100), // no hour before
		does("pay", "shop", onset-1, "x", event.False, unknown),
		does("pay", "shop", onset, "ada", event.False, unknown), does("pay", "shop", onset+1, "ada", event.False, 2), does("pay", "shop", onset+2, "bob", event.True, 5),
		does("pay", "cart", onset+1799, "cleo", event.False, unknown), does("pay", "cart", onset+1800, "dan", event.False, unknown),
		does("search", "cart", onset+5, "", event.Truth(0), unknown), does("new", "shop", onset+6, "bob", event.True, unknown),
		does("pay", "shop", onset+7, "", event.False, unknown),
		measures("shop", onset+60, 1000, 1000, unknown),
		measures("mail", onset-60, 100, 1, unknown), measures("mail", onset+60, 50, 25, unknown), measures("mail", onset+120, 50, unknown, 0.9),
		measures("disk", onset+60, unknown, unknown, 0.5), measures("disk", onset+120, unknown, unknown, 0.7),
		does("browse", "front", onset+1800, "", event.True, unknown)) // others are seen beyond the incident's end
	observe(t, client, all...)
	observe(t, client, all[0]) // twice is once
	touchAll(t, client)

	const columns = `SELECT incident_id, environment, users_affected, users_seen, basis, requests, requests_failed, round(error_rate_before, 4),
		round(error_rate_during, 4), toString(conversions_lost) FROM `
	// Requests are those that state how they went: 1 + 2 + 5 + 1 + 1 + 1, of them failed 1 + 2 + 1 + 1.
	want := []string{
		"counted\tproduction\t2\t3\tobservations\t11\t5\t0.0588\t0.4545\t{'pay':3,'search':7}",
		"going-on\tproduction\t2\t2\tobservations\t2\t2\t∅\t1\t{}",
		"measured\tproduction\t0\t0\tmeasurements\t100\t30\t0.01\t0.3\t{}",
		"ratios\tproduction\t0\t0\tratios\t∅\t∅\t∅\t0.4\t{}",
		"staged\tstaging\t0\t0\t\t∅\t∅\t∅\t∅\t{}",
		"unseen\tproduction\t0\t0\t\t∅\t∅\t∅\t∅\t{}",
	}
	expect(t, client, columns+"whence.incident_impact ORDER BY ALL", want...)
	expect(t, client, columns+"whence.incident_impact WHERE incident_id = 'counted'", want[0])
	for _, line := range want {
		id, _, _ := strings.Cut(line, "\t")
		expect(t, client, columns+"whence.incident_impact_of(incident = '"+id+"')", line)
	}
	conversions := []string{"new\t\t∅\t1\t∅", "pay\tweek before\t8\t5\t3", "search\thour before\t8\t1\t7"}
	expect(t, client, "SELECT conversion, basis, forecast, actual, lost FROM whence.incident_conversions WHERE incident_id = 'counted' ORDER BY ALL", conversions...)
	expect(t, client, "SELECT conversion, basis, forecast, actual, lost FROM whence.incident_conversions_of(incident = 'counted') ORDER BY ALL", conversions...)
	expect(t, client, "SELECT DISTINCT incident_id FROM whence.incident_conversions ORDER BY ALL", "counted", "going-on")
}

// Where nothing was seen before, nothing was missing either: half an hour in which
// 30 carts were filled is not an hour of 30.
func TestAForecastCountsOnlyTheTimeInWhichAnythingWasSeen(t *testing.T) {
	client := connect(t)
	const onset = 8 * 24 * 3600
	for _, c := range []struct {
		name     string
		others   int64 // seconds before the onset at which another service was seen
		forecast float64
	}{
		{"all began half an hour before", 1800, 30},
		{"others were there two hours before", 7200, 15},
		{"others were there a day before", 86_400, 15},
		{"others were there a week before, and then nothing was", 7 * 86_400, 30},
	} {
		empty(t, client, append(factTables(), "whence.observations", "whence_state.touches")...)
		tell(t, client, 100, said("i", "incident.opened", onset,
			fmt.Sprintf(`{"incident_id":"i","service":"shop","environment":"production","severity":"high","started_at":%q}`, moment(onset))))
		all := []*event.Observation{
			witnessed(200, "mail", "production", onset-c.others, func(*event.Observation) {}),
			witnessed(201, "mail", "production", onset+1799, func(*event.Observation) {}),
		}
		for i := range int64(30) {
			all = append(all, witnessed(int(i), "shop", "production", onset-1800+60*i, func(o *event.Observation) { o.Name = "cart.added" }))
		}
		observe(t, client, all...)
		touchAll(t, client)
		t.Log(c.name)
		expect(t, client, "SELECT conversion, basis, round(forecast, 6), actual FROM whence.incident_conversions", fmt.Sprintf("cart.added\thour before\t%g\t0", c.forecast))
	}
}

// An incident that nobody resolved: the forecast of an hour in which 60 carts were
// filled must not run on for the months since.
func TestAnOpenIncidentIsCountedForADayAndNoFurtherThanAnythingWasSeen(t *testing.T) {
	client := connect(t)
	const onset = 8 * 24 * 3600
	for _, c := range []struct {
		name           string
		seen           int64  // when another service was seen last
		more           string // of the incident
		until          string
		forecast, lost float64
	}{
		{"others were seen for another half hour", onset + 1799, "", moment(onset + 1800), 30, 20},
		{"nothing was seen any more", onset - 60, "", moment(onset + 600), 10, 0},
		{"others are seen for days", onset + 90_000, "", moment(onset + 86_400), 1440, 1430},
		{"others are seen for days, and it lasted for two", onset + 200_000, `,"ended_at":"` + moment(onset+172_800) + `"`, moment(onset + 86_400), 1440, 1430},
		{"others are seen for days, and it lasted for an hour", onset + 200_000, `,"ended_at":"` + moment(onset+3600) + `"`, moment(onset + 3600), 60, 50},
	} {
		empty(t, client, append(factTables(), "whence.observations", "whence_state.touches")...)
		tell(t, client, 100, said("i", "incident.opened", onset+30,
			fmt.Sprintf(`{"incident_id":"i","service":"shop","environment":"production","severity":"high","started_at":%q%s}`, moment(onset), c.more)))
		var all []*event.Observation
		for i := range int64(60) {
			all = append(all, witnessed(int(i), "shop", "production", onset-3600+60*i, func(o *event.Observation) { o.Name = "cart.added" }))
		}
		for i := range int64(10) {
			all = append(all, witnessed(int(100+i), "shop", "production", onset+60*i, func(o *event.Observation) { o.Name = "cart.added" }))
		}
		for at := c.seen; at > onset; at -= 3600 {
			all = append(all, witnessed(int(at), "mail", "production", at, func(*event.Observation) {}))
		}
		all = append(all, witnessed(0, "shop", "staging", onset+7200, func(*event.Observation) {})) // which is elsewhere
		observe(t, client, all...)
		touchAll(t, client)
		t.Log(c.name)
		want := fmt.Sprintf("%s\tcart.added\thour before\t%g\t10\t%g", c.until, c.forecast, c.lost)
		for _, view := range []string{"incident_conversions", "incident_conversions_of(incident = 'i')"} {
			expect(t, client, "SELECT formatDateTime(counted_until, '%FT%TZ'), conversion, basis, round(forecast, 6), actual, round(lost, 6) FROM whence."+view, want)
		}
		for _, view := range []string{"incident_impact", "incident_impact_of(incident = 'i')"} {
			expect(t, client, "SELECT formatDateTime(counted_until, '%FT%TZ'), round(conversions_lost['cart.added'], 6) FROM whence."+view, fmt.Sprintf("%s\t%g", c.until, c.lost))
		}
	}
}

// touchAll touches the minutes of all observations, as who stores them does.
func touchAll(t *testing.T, client *Client) {
	t.Helper()
	must(t, client.exec(t.Context(), `INSERT INTO whence_state.touches (service, environment, minute, touch, rows)
		SELECT service, environment, toStartOfMinute(time) AS start, 1, count() FROM whence.observations GROUP BY service, environment, start`, nil))
}

// Half a million observations of fifty services: one entity's views look at
// the granules of its services and days.
func TestWhatIsAskedOfOneEntityIsReadByKey(t *testing.T) {
	client := connect(t)
	empty(t, client, append(factTables(), "whence.observations", "whence_state.touches")...)
	tell(t, client, 100,
		said("i", "incident.opened", 3600, `{"incident_id":"i","service":"service-7","environment":"production","severity":"high"}`),
		said("r", "incident.resolved", 7200, `{"incident_id":"i","service":"service-7","environment":"production","severity":"high"}`),
		said("f", "finding.opened", 3600, `{"finding_id":"f","kind":"audit","rule":"R","severity":"high","service":"service-7","environment":"production"}`))
	must(t, client.exec(t.Context(), `INSERT INTO whence.observations (source, id, type, time, name, service, environment, user, content_hash)
		SELECT 'many', toString(number), 'io.whence.behavior.recorded', toDateTime64('2000-01-01', 3, 'UTC') + toIntervalMillisecond(number * 100), 'pay',
			concat('service-', toString(number % 50)), 'production', toString(number % 1000), number
		FROM numbers(500000)`, nil))
	// Without a part of touches, what chooses its hours is planned as a read of its own.
	touchAll(t, client)
	for _, view := range []string{"incident_impact_of(incident = 'i')", "incident_conversions_of(incident = 'i')", "finding_exposure_of(finding = 'f')"} {
		plan := lines(t, client, "EXPLAIN indexes = 1 SELECT * FROM whence."+view)
		if reads, keyed := keyedReads(plan, "whence.observations"); reads != 1 || keyed != 1 {
			t.Errorf("%s: %d reads of observations, of which %d by service and environment:\n%s", view, reads, keyed, strings.Join(plan, "\n"))
		}
	}
	for _, c := range []struct{ query, table, key string }{
		{"SELECT * FROM whence.shipped WHERE change_id = 'c'", "whence.changes", "change_id"},
		{"SELECT * FROM whence.incident_impact WHERE incident_id = 'i'", "whence.incidents", "incident_id"},
	} {
		tell(t, client, 1, said("c", "change.merged", 1, `{"change_id":"c","repository":"shop","revision":"r"}`))
		plan := lines(t, client, "EXPLAIN indexes = 1 "+c.query)
		reads, keyed := 0, 0
		for i, line := range plan {
			if strings.Contains(line, "ReadFromMergeTree ("+c.table+")") {
				reads++
				if strings.Contains(strings.Join(plan[i:min(i+12, len(plan))], "\n"), c.key+"\n") {
					keyed++
				}
			}
		}
		if reads == 0 || keyed != reads {
			t.Errorf("%s: %d reads of %s, of which %d by its key:\n%s", c.query, reads, c.table, keyed, strings.Join(plan, "\n"))
		}
	}
}

// keyedReads counts a plan's reads of a table, and those of them that its
// primary key makes smaller by service and environment.
func keyedReads(plan []string, table string) (reads, keyed int) {
	inTable, columns := false, 0
	for _, line := range plan {
		switch line = strings.Trim(line, " │├└─"); {
		case strings.HasPrefix(line, "ReadFromMergeTree"):
			inTable, columns = strings.Contains(line, "("+table+")"), 0
			if inTable {
				reads++
			}
		case inTable && (line == "service" || line == "environment"):
			if columns++; columns == 2 {
				keyed++
			}
		}
	}
	return reads, keyed
}

func TestRevertsSayWhatTheyTakeBackByIdRevisionOrPrefix(t *testing.T) {
	client := connect(t)
	empty(t, client, factTables()...)
	merged := func(id, repository, revision string, second int64, reverts string) event.Fact {
		return said(id, "change.merged", second, fmt.Sprintf(
			`{"change_id":%q,"repository":%q,"revision":%q,"title":"about %s","merged_at":%q,"reverts":%q}`, id, repository, revision, id, moment(second), reverts))
	}
	tell(t, client, 100, slices.Concat(
		[]event.Fact{
			merged("one", "shop", "abcdef0123456789", 600, ""),
			merged("two", "shop", "1234567aaaaaaaaa", 660, ""),
			merged("twin", "shop", "1234567bbbbbbbbb", 670, ""),
			merged("far", "blog", "feedbeefcafe0000", 680, ""),
			merged("by-id", "shop", "r1", 1200, "one"),
			merged("by-revision", "shop", "r2", 1200, "abcdef0123456789"),
			merged("by-prefix", "shop", "r3", 1800, "ABCDEF01"),
			merged("by-longer", "shop", "r4", 1800, "1234567b"),
			merged("ambiguous", "shop", "r5", 1800, "1234567"),
			merged("too-short", "shop", "r6", 1800, "abcdef"),
			merged("no-hex", "shop", "r7", 1800, "abcdefg"),
			merged("elsewhere", "shop", "r8", 1800, "feedbeef"),
			merged("itself", "shop", "r9", 1800, "r9"),
		},
		rolled("bad", "shop", "production", 3600, ""),
		rolled("back", "shop", "production", 4140, `,"rollback_of":"bad"`),
		rolled("lost", "shop", "staging", 4140, `,"rollback_of":"unheard-of"`),
		[]event.Fact{said("going", "deployment.started", 5000, `{"deployment_id":"going","service":"shop","environment":"production","version":"v","rollback_of":"back"}`)})...)
	expect(t, client, "SELECT kind, id, environment, names, reverted_id, found_by, minutes FROM whence.reverts ORDER BY kind, id",
		"change\tambiguous\t\t1234567\t\t\t∅",
		"change\tby-id\t\tone\tone\tid\t10",
		"change\tby-longer\t\t1234567b\ttwin\tprefix\t18.833333333333332",
		"change\tby-prefix\t\tABCDEF01\tone\tprefix\t20",
		"change\tby-revision\t\tabcdef0123456789\tone\trevision\t10",
		"change\telsewhere\t\tfeedbeef\t\t\t∅",
		"change\titself\t\tr9\t\t\t∅",
		"change\tno-hex\t\tabcdefg\t\t\t∅",
		"change\ttoo-short\t\tabcdef\t\t\t∅",
		"deployment\tback\tproduction\tbad\tbad\tid\t10",
		"deployment\tgoing\tproduction\tback\tback\tid\t∅",
		"deployment\tlost\tstaging\tunheard-of\t\t\t∅")
	expect(t, client, "SELECT reverted_title FROM whence.reverts WHERE id = 'by-id'", "about one")
	expect(t, client, "SELECT id FROM whence.reverts WHERE reverted_id = 'twin'", "by-longer")
}

func TestFlagExperimentsSayWhichFlagDrivesWhichExperimentAndHowSure(t *testing.T) {
	client := connect(t)
	empty(t, client, factTables()...)
	n := 0
	flag := func(name, environment string, second int64, services, rules string) event.Fact {
		n++
		return said(fmt.Sprint("flag", n), "flag.changed", second, fmt.Sprintf(`{"flag":%q,"environment":%q,"services":%s,"rules":%s}`, name, environment, services, rules))
	}
	experiment := func(name, kind string, second int64, services, variants string) event.Fact {
		return said(name+kind, "experiment."+kind, second, fmt.Sprintf(
			`{"experiment":%q,"hypothesis":"h","unit":"user","variants":%s,"primary_metric":"m","services":%s}`, name, variants, services))
	}
	const two, colours = `[{"name":"on","weight":1},{"name":"off","weight":1}]`, `[{"name":"red","weight":1},{"name":"blue","weight":1},{"name":"green","weight":1}]`
	tell(t, client, 100,
		experiment("new-cart", "started", 600, `["cart"]`, two), experiment("new-cart", "stopped", 6000, `["cart"]`, two),
		experiment("button", "started", 600, `["shop","cart"]`, colours),
		experiment("over", "started", 100, `["shop"]`, colours), experiment("over", "stopped", 200, `["shop"]`, colours),
		experiment("no-services", "started", 600, `[]`, colours),
		// Called the same: begins with the experiment, is turned off before its end.
		flag("new-cart", "production", 60, `["cart"]`, `{"on":5}`),
		flag("new-cart", "production", 1200, `["cart"]`, `{"on":50,"off":50}`),
		flag("new-cart", "production", 3000, `["cart"]`, `{}`),
		flag("new-cart", "staging", 900, `[]`, `{"on":100}`),
		// The same variants on a common service.
		flag("colour", "production", 1200, `["shop"]`, `{"green":10,"red":45,"blue":45}`),
		flag("colour", "staging", 1200, `["shop"]`, `{"green":10,"red":45,"blue":45}`),
		flag("colour", "staging", 1800, `["shop"]`, `{"red":100}`),
		// Neither: another service, no service, other variants.
		flag("elsewhere", "production", 1200, `["blog"]`, `{"green":10,"red":45,"blue":45}`),
		flag("anywhere", "production", 1200, `[]`, `{"green":10,"red":45,"blue":45}`),
		flag("half", "production", 1200, `["shop"]`, `{"green":10,"red":90}`))
	const columns = "SELECT flag, environment, experiment, certainty, services, toUnixTimestamp(since) % 86400, toUnixTimestamp(until) % 86400 FROM whence.flag_experiments"
	expect(t, client, columns+" ORDER BY ALL",
		"colour\tproduction\tbutton\tvariants\t[shop]\t1200\t∅",
		"colour\tstaging\tbutton\tvariants\t[shop]\t1200\t1800",
		"new-cart\tproduction\tnew-cart\tname\t[cart]\t600\t3000",
		"new-cart\tstaging\tnew-cart\tname\t[cart]\t900\t6000")
	expect(t, client, columns+" WHERE experiment = 'button' AND environment = 'staging'", "colour\tstaging\tbutton\tvariants\t[shop]\t1200\t1800")
}

func TestTheHistoryOfAPercentIsNotMadeUp(t *testing.T) {
	client := connect(t)
	empty(t, client, factTables()...)
	onset := int64(24 * 3600)
	deployment := func(id, kind string, second int64, more string) event.Fact {
		return said(id+kind, "deployment."+kind, second, fmt.Sprintf(`{"deployment_id":%q,"service":"shop","environment":"production","version":"v"%s}`, id, more))
	}
	tell(t, client, 100,
		said("x", "incident.opened", onset, `{"incident_id":"x","service":"shop","environment":"production","severity":"high"}`),
		deployment("success", "started", onset-600, ""), deployment("success", "finished", onset-300, `,"outcome":"success"`),
		deployment("failure", "started", onset-600, ""), deployment("failure", "finished", onset-300, `,"outcome":"failure"`),
		deployment("failure-at-30", "progressed", onset-500, `,"percent":30`), deployment("failure-at-30", "finished", onset-300, `,"outcome":"failure"`),
		deployment("success-later", "started", onset-600, ""), deployment("success-later", "finished", onset+300, `,"outcome":"success","percent":100`),
		deployment("under-way", "started", onset-600, ""),
		deployment("under-way-at-0", "progressed", onset-600, `,"percent":0`),
		deployment("not-begun", "started", onset+60, ""))
	expect(t, client, "SELECT cause_id, percent FROM whence.incident_candidates WHERE incident_id = 'x' ORDER BY cause_id",
		"failure\t∅", "failure-at-30\t30", "not-begun\t0", "success\t100", "success-later\t∅", "under-way\t∅", "under-way-at-0\t0")
}

func TestATimeThatCantBeReadIsAnError(t *testing.T) {
	client := connect(t)
	for _, view := range []string{
		"revision_at(moment = '%s')",
		"observations_at(moment = '%s')",
		"latency(service = 'a', environment = 'b', since = '%s', until = '2026-03-12')",
		"latency(service = 'a', environment = 'b', since = '2026-03-12', until = '%s')",
		"context_at(service = 'a', environment = 'b', time = '%s', revision = 1)",
	} {
		for text, readable := range map[string]bool{
			"2026-03-12 14:05": true, "2026-03-12T15:05:00+01:00": true, "2026-03-12": true, "2026-03-12 14:05:30.5": true, "1773324300": true,
			"14:05": false, "": false, "yesterday": false, "12 March": false, "2026": false,
		} {
			query := "SELECT * FROM whence." + fmt.Sprintf(view, text)
			rows, err := client.DB().QueryContext(t.Context(), query)
			if err == nil {
				for rows.Next() {
				}
				err = rows.Err()
				rows.Close()
			}
			if (err == nil) != readable {
				t.Errorf("%s: %v", query, err)
			}
		}
	}
}
