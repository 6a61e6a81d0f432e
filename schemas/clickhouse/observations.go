package tables

import (
	"github.com/whencehq/whence/schemas/event"
)

// Observations is rows of whence.observations.
type Observations struct {
	block
	envelope envelope

	name, service, environment                words
	user, session                             text
	version, instance                         words
	ok                                        truths
	durationMS, value, weight                 optional
	attributes                                pairs
	experiment, variant                       words
	unitID, anonymousID, fingerprint, message text
	frames                                    list
	caller, callee                            words
	intervalMS, requests, errors              optional
	successRatio, latencyMS, latencyP99MS     optional
	cpuRatio, memoryRatio                     optional
	extra                                     text

	deploymentID, deployedVersion, previousVersion words
	deploymentAgeMS                                optional
	rolloutIDs                                     list
	rolloutPercent                                 fixed
	changeIDs                                      list
	flags                                          pairs
	incidentIDs                                    list
	incidentSeverity                               words
	findingIDs                                     list
	owner, tier, canonicalService                  words
	experiments                                    pairs
	revision, rewritten                            fixed
	again                                          uint8
}

// NewObservations makes an empty block.
func NewObservations() *Observations {
	c := new(Observations)
	for _, o := range []*optional{
		&c.durationMS, &c.value, &c.weight, &c.intervalMS, &c.requests, &c.errors, &c.successRatio,
		&c.latencyMS, &c.latencyP99MS, &c.cpuRatio, &c.memoryRatio,
	} {
		*o = optionally(fractions())
	}
	c.deploymentAgeMS = optionally(signed())
	c.rolloutPercent, c.revision, c.rewritten = fractions(), unsigned(), bits()
	c.table = "whence.observations"
	c.columns = append(c.envelope.columns(), []named{
		{"name", &c.name}, {"service", &c.service}, {"environment", &c.environment},
		{"user", &c.user}, {"session", &c.session}, {"version", &c.version}, {"instance", &c.instance},
		{"ok", &c.ok}, {"duration_ms", &c.durationMS}, {"value", &c.value}, {"weight", &c.weight},
		{"attributes", &c.attributes}, {"experiment", &c.experiment}, {"variant", &c.variant}, {"unit_id", &c.unitID},
		{"anonymous_id", &c.anonymousID}, {"fingerprint", &c.fingerprint}, {"message", &c.message}, {"frames", &c.frames},
		{"caller", &c.caller}, {"callee", &c.callee}, {"interval_ms", &c.intervalMS}, {"requests", &c.requests},
		{"errors", &c.errors}, {"success_ratio", &c.successRatio}, {"latency_ms", &c.latencyMS},
		{"latency_p99_ms", &c.latencyP99MS}, {"cpu_ratio", &c.cpuRatio}, {"memory_ratio", &c.memoryRatio},
		{"extra", &c.extra},
		{"deployment_id", &c.deploymentID}, {"deployed_version", &c.deployedVersion},
		{"previous_version", &c.previousVersion}, {"deployment_age_ms", &c.deploymentAgeMS},
		{"rollout_ids", &c.rolloutIDs}, {"rollout_percent", &c.rolloutPercent}, {"change_ids", &c.changeIDs},
		{"flags", &c.flags}, {"incident_ids", &c.incidentIDs}, {"incident_severity", &c.incidentSeverity},
		{"finding_ids", &c.findingIDs}, {"owner", &c.owner}, {"tier", &c.tier},
		{"canonical_service", &c.canonicalService}, {"experiments", &c.experiments}, {"revision", &c.revision}, {"rewritten", &c.rewritten},
	}...)
	return c
}

// Append adds an observation and what the timeline says of it. It is one long
// list because it is one row: a column each, in the table's order.
func (c *Observations) Append(o *event.Observation, e *event.Enrichment) {
	c.rows++
	c.envelope.append(&o.Event, &o.Provenance)

	c.name.Append(o.Name)
	c.service.Append(o.Service)
	c.environment.Append(o.Environment)
	c.user.Append(o.User)
	c.session.Append(o.Session)
	c.version.Append(o.Version)
	c.instance.Append(o.Instance)
	c.ok.Append(o.OK)
	c.durationMS.AppendFloat(o.DurationMS)
	c.value.AppendFloat(o.Value)
	c.weight.AppendFloat(o.Weight)
	c.attributes.Append(o.Attributes)
	c.experiment.Append(o.Experiment)
	c.variant.Append(o.Variant)
	c.unitID.Append(o.UnitID)
	c.anonymousID.Append(o.AnonymousID)
	c.fingerprint.Append(o.Fingerprint)
	c.message.Append(o.Message)
	c.frames.Append(o.Frames)
	c.caller.Append(o.Caller)
	c.callee.Append(o.Callee)
	c.intervalMS.AppendFloat(o.IntervalMS)
	c.requests.AppendFloat(o.Requests)
	c.errors.AppendFloat(o.Errors)
	c.successRatio.AppendFloat(o.SuccessRatio)
	c.latencyMS.AppendFloat(o.LatencyMS)
	c.latencyP99MS.AppendFloat(o.LatencyP99MS)
	c.cpuRatio.AppendFloat(o.CPURatio)
	c.memoryRatio.AppendFloat(o.MemoryRatio)
	c.extra.Append(o.Extra)

	c.deploymentID.Append(e.DeploymentID)
	c.deployedVersion.Append(e.DeployedVersion)
	c.previousVersion.Append(e.PreviousVersion)
	c.deploymentAgeMS.AppendUnless(e.DeploymentAgeMS, event.NoAge)
	c.rolloutIDs.Append(e.RolloutIDs)
	c.rolloutPercent.AppendFloat(e.RolloutPercent)
	c.changeIDs.Append(e.ChangeIDs)
	c.flags.Append(e.Flags)
	c.incidentIDs.Append(e.IncidentIDs)
	c.incidentSeverity.Append(e.IncidentSeverity)
	c.findingIDs.Append(e.FindingIDs)
	c.owner.Append(e.Owner)
	c.tier.Append(e.Tier)
	c.canonicalService.Append(e.CanonicalService)
	c.experiments.Append(e.Experiments)
	c.revision.Append64(e.Revision)
	c.rewritten.Append8(c.again)
}

// Again marks the rows appended from now on as stored before, or not.
func (c *Observations) Again(before bool) {
	c.again = 0
	if before {
		c.again = 1
	}
}
