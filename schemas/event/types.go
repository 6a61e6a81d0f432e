package event

// The one table of all types. Documents, schemas and checks are made from it.

// Shorthands keep the table a table.

func required(f Field) Field { f.Required = true; return f }

// lasting marks a field retroactive: the last word holds for all time.
func lasting(f Field) Field { f.Retroactive = true; return f }

func text(name, doc string, allowed ...string) Field {
	return Field{Name: name, Kind: StringField, Allowed: allowed, Doc: doc}
}
func number(name, doc string) Field  { return Field{Name: name, Kind: NumberField, Doc: doc} }
func integer(name, doc string) Field { return Field{Name: name, Kind: IntegerField, Doc: doc} }
func boolean(name, doc string) Field { return Field{Name: name, Kind: BoolField, Doc: doc} }
func moment(name, doc string) Field  { return Field{Name: name, Kind: TimeField, Doc: doc} }
func texts(name, doc string) Field   { return Field{Name: name, Kind: StringsField, Doc: doc} }
func list(name, doc string) Field    { return Field{Name: name, Kind: ListField, Doc: doc} }
func token(name, doc string) Field   { return Field{Name: name, Kind: TokenField, Doc: doc} }
func anything(name, doc string) Field {
	return Field{Name: name, Kind: AnyField, Doc: doc}
}
func object(name, doc string, fields ...Field) Field {
	return Field{Name: name, Kind: ObjectField, Fields: fields, Doc: doc}
}
func objects(name, doc string, fields ...Field) Field {
	return Field{Name: name, Kind: ObjectsField, Fields: fields, Doc: doc}
}

var shared = []Field{
	token("tenant", "The tenant the event belongs to."),
	token("region", "The region it happened in."),
	token("cluster", "The cluster it happened in."),
	token("cell", "The cell, shard or stamp it happened in."),
	token("trace_id", "The trace it belongs to: 32 hexadecimal digits, as in W3C Trace Context."),
	token("sequence", "The place of the event in the sequence of its source."),
}

// Fields that many types have.
func service() Field     { return text("service", "The service, as its reporter calls it.") }
func environment() Field { return text("environment", "The environment: production, staging, ...") }
func severity() Field {
	return text("severity", "How bad it is. critical, high, medium, low and info are ranked in this order.")
}
func instance() Field { return text("instance", "The instance (pod, host) it happened on.") }
func version() Field  { return text("version", "The version the instance runs, as it states it.") }

func fact(name, topic, kind, id, doc string, fields ...Field) *Type {
	return &Type{Name: name, Topic: topic, EntityKind: kind, IDField: id, Doc: doc, Fields: fields}
}

func catalogTypes() []*Type {
	in := TopicDelivery
	return []*Type{
		fact("service.declared", in, "service", "service", "A service exists: who owns it and what it depends on.",
			required(service()), text("environment", "The environment this holds for; absent: all."),
			text("owner", "The team that owns it."), text("tier", "How much it matters, in the owner's own words."),
			texts("depends_on", "The services it calls."), texts("repositories", "The repositories its code lives in."),
			texts("paths", "The paths in those repositories that are its own."), texts("aliases", "What other tools call it.")),
		fact("team.declared", in, "team", "team", "A team exists.",
			required(text("team", "The team.")), texts("members", "Its members.")),
		fact("identity.declared", in, "identity", "alias", "Two names mean one thing.",
			required(text("kind", "What is named.", "service", "person", "repository", "user")),
			required(text("canonical", "The name to use.")), required(text("alias", "The other name for it.")),
			text("source", "The tool that uses the alias; absent: any.")),
		fact("objective.declared", in, "objective", "objective", "A service level objective.",
			required(text("objective", "The objective.")), required(service()), required(environment()),
			required(text("indicator", "What is measured.")), required(number("target", "The target, in the indicator's unit; a ratio from 0 to 1.")),
			required(anything("window", "The window: a duration such as 30d."))),
		fact("metric.declared", in, "metric", "metric", "A metric that changes are judged by.",
			required(text("metric", "The metric.")), required(anything("numerator", "What is counted or summed.")),
			anything("denominator", "What it is divided by; absent: the units."),
			required(text("direction", "Which way is good, such as up or down.")),
			number("cap", "Values above this count as this, in the metric's unit."), anything("window", "The window a unit is followed for."),
			number("minimum_effect", "The least relative change worth acting on, a ratio.")),
		fact("maintenance.planned", in, "maintenance", "maintenance_id", "Work is planned, and its alarms are expected.",
			required(text("maintenance_id", "The maintenance.")), required(texts("services", "The services it touches.")),
			required(environment()), required(lasting(moment("from", "When it starts."))), required(lasting(moment("to", "When it ends.")))),
		fact("fact.retracted", in, "retraction", "retracts", "What an earlier fact said is unsaid.",
			required(object("retracts", "The event that is retracted.",
				required(text("source", "Its source.")), required(text("id", "Its id.")))),
			text("reason", "Why."), text("by", "Who retracts it.")),
	}
}

func deliveryTypes() []*Type {
	in := TopicDelivery
	types := []*Type{
		fact("change.merged", in, "change", "change_id", "A change of code was merged.",
			required(text("change_id", "The change: a pull request, a merge request.")), required(lasting(text("repository", "Its repository."))),
			required(lasting(text("revision", "The revision it became."))),
			lasting(objects("commits", "The commits in it.",
				text("revision", "The commit's revision."), moment("authored_at", "When it was written."), text("author", "Who wrote it."))),
			lasting(text("author", "Who proposed it.")), required(lasting(moment("merged_at", "When it was merged."))),
			lasting(text("title", "Its title.")), lasting(texts("paths", "The paths it touches.")), lasting(number("size", "Lines added and removed.")),
			lasting(texts("services", "The services it touches.")), lasting(text("reverts", "The change or revision it reverts."))),
		fact("build.finished", in, "build", "build_id", "A build has ended.",
			required(text("build_id", "The build.")), text("repository", "The repository built."), required(text("revision", "The revision built.")),
			required(text("outcome", "How it ended: success, failure, cancelled, ...")), lasting(moment("started_at", "When it started.")),
			number("duration_ms", "How long it took, milliseconds."), text("artifact", "What it made, a package URL.")),
		fact("test.finished", in, "test", "run_id", "A test run has ended.",
			required(text("run_id", "The run.")), required(text("suite", "The suite.")), text("case", "The case; absent: the whole suite."),
			required(text("revision", "The revision tested.")), required(text("outcome", "How it ended: success, failure, skipped, ...")),
			number("duration_ms", "How long it took, milliseconds."), boolean("flaky", "Known to fail without a cause.")),
		fact("artifact.published", in, "artifact", "artifact", "An artifact can be had.",
			required(text("artifact", "The artifact, a package URL with a digest.")), required(text("revision", "The revision it was built from.")),
			text("signed_by", "Who signed it.")),
		fact("flag.changed", in, "flag", "flag", "A feature flag has new rules.",
			required(text("flag", "The flag.")), required(environment()), texts("services", "The services that read it; absent: any."),
			required(object("rules", "Variant to percent (0 to 100) or segment.")), anything("previous", "The rules before."),
			text("changed_by", "Who changed it.")),
		fact("provider.degraded", in, "provider", "provider", "A provider has trouble.", providerFields()...),
		fact("provider.recovered", in, "provider", "provider", "A provider is well again.", providerFields()...),
		fact("approval.granted", in, "approval", "approval_id", "Someone said yes.", approvalFields()...),
		fact("approval.refused", in, "approval", "approval_id", "Someone said no.", approvalFields()...),
		fact("experiment.started", in, "experiment", "experiment", "An experiment starts.", experimentFields()...),
		fact("experiment.stopped", in, "experiment", "experiment", "An experiment has ended.", experimentFields()...),
	}
	for _, stage := range []struct{ name, doc string }{
		{"started", "A deployment starts."}, {"progressed", "A deployment has moved on: a stage, a pause, a promotion."}, {"finished", "A deployment has ended."},
	} {
		types = append(types, fact("deployment."+stage.name, in, "deployment", "deployment_id", stage.doc, deploymentFields(stage.name == "finished")...))
	}
	for _, kind := range []struct{ name, doc string }{
		{"configuration.changed", "Configuration changed."}, {"migration.applied", "A migration of data was applied."},
		{"infrastructure.changed", "Infrastructure changed."},
	} {
		types = append(types, fact(kind.name, in, "change", "change_id", kind.doc,
			required(text("change_id", "The change.")), service(), required(environment()),
			required(lasting(text("summary", "What changed, in a sentence."))), anything("scope", "What it reaches."), text("changed_by", "Who changed it.")))
	}
	for _, stage := range []struct{ name, doc string }{
		{"started", "An instance was started."}, {"ready", "An instance takes traffic."},
		{"restarted", "An instance was restarted."}, {"stopped", "An instance is gone."},
	} {
		types = append(types, fact("instance."+stage.name, in, "instance", "instance", stage.doc,
			required(instance()), required(service()), required(environment()), version(), text("reason", "Why.")))
	}
	return types
}

func providerFields() []Field {
	return []Field{required(text("provider", "The provider.")), text("component", "Its component."), environment(), severity()}
}

func approvalFields() []Field {
	return []Field{required(text("approval_id", "The approval.")),
		required(text("subject_kind", "The kind of what is approved: change, deployment, ...")),
		required(text("subject_id", "The id of what is approved.")), required(text("by", "Who decided.")), text("policy", "The policy that asks for it.")}
}

func experimentFields() []Field {
	return []Field{required(text("experiment", "The experiment.")), required(lasting(text("hypothesis", "What is believed."))),
		required(lasting(text("unit", "What is assigned a variant.", "user", "session"))),
		required(lasting(objects("variants", "The variants.", text("name", "The variant."), number("weight", "Its share, relative to the others.")))),
		required(lasting(text("primary_metric", "The metric that decides."))), lasting(texts("guardrails", "The metrics that must not get worse.")),
		lasting(texts("services", "The services it runs in."))}
}

func deploymentFields(finished bool) []Field {
	outcome := text("outcome", "How it ended.", "success", "failure", "cancelled", "rolled_back")
	outcome.Required = finished
	return []Field{required(text("deployment_id", "The deployment.")), required(service()), required(environment()),
		required(lasting(text("version", "The version that comes."))), lasting(text("previous_version", "The version that goes.")),
		lasting(texts("revisions", "The revisions it brings.")), lasting(text("artifact", "What is deployed, a package URL.")),
		lasting(text("strategy", "How: rolling, canary, blue_green, ...")),
		text("phase", "Where it stands.", "paused", "promoted", "aborted", "rolling_back"),
		number("percent", "How much of the traffic or the instances it has, percent, 0 to 100."),
		integer("replicas", "How many instances it is meant to have."),
		texts("instances_added", "The instances it added with this event."), texts("instances_removed", "The instances it removed with this event."),
		outcome, lasting(text("rollback_of", "The deployment it takes back.")), lasting(boolean("planned", "Announced beforehand.")),
		text("reason", "Why."), lasting(texts("remediates", "The incidents or findings it is to end.")), lasting(text("requested_by", "Who asked for it."))}
}

func incidentTypes() []*Type {
	in := TopicIncidents
	types := []*Type{
		fact("cause.confirmed", in, "cause", "incident_id", "A person says what caused an incident.",
			required(text("incident_id", "The incident.")), required(text("cause_kind", "The kind of the cause: deployment, flag, change, none, ...")),
			text("cause_id", "The id of the cause; empty: no change caused it."),
			integer("rank_shown", "The rank Whence had given it, from 1."), required(text("by", "Who confirmed it."))),
	}
	for _, stage := range []struct{ name, doc string }{{"fired", "An alert fires."}, {"resolved", "An alert has ended."}} {
		types = append(types, fact("alert."+stage.name, in, "alert", "alert_id", stage.doc,
			required(text("alert_id", "The alert.")), text("fingerprint", "What makes two alerts the same."), text("incident_id", "The incident it belongs to."),
			required(service()), required(environment()), severity(), text("summary", "What it says."), object("labels", "Its labels.")))
	}
	for _, stage := range []struct{ name, doc string }{
		{"opened", "An incident is open."}, {"acknowledged", "Someone looks at an incident."}, {"updated", "More is known of an incident."},
		{"merged", "An incident is part of another."}, {"resolved", "An incident has ended."}, {"reopened", "An incident is back."},
	} {
		types = append(types, fact("incident."+stage.name, in, "incident", "incident_id", stage.doc,
			required(text("incident_id", "The incident.")), required(service()), texts("services", "The other services it touches."),
			required(environment()), severity(), text("priority", "How urgent it is, in the tool's own words."), lasting(text("title", "Its title.")),
			lasting(moment("started_at", "The onset of impact.")), lasting(moment("detected_at", "When it was noticed.")),
			lasting(moment("ended_at", "The end of impact.")), lasting(text("merged_into", "The incident it is part of.")), text("by", "Who did this.")))
	}
	return types
}

func auditTypes() []*Type {
	in := TopicAudit
	var types []*Type
	for _, stage := range []struct{ name, doc string }{
		{"opened", "A weakness was found."}, {"remediated", "A weakness is gone."}, {"accepted", "A weakness is lived with."},
	} {
		types = append(types, fact("finding."+stage.name, in, "finding", "finding_id", stage.doc,
			required(text("finding_id", "The finding.")), required(text("kind", "What it is.", "vulnerability", "audit", "secret", "misconfiguration")),
			required(text("rule", "The rule or CVE it breaks.")), required(severity()), service(), text("artifact", "The artifact, a package URL."),
			text("repository", "The repository."), lasting(text("revision_introduced", "The revision that brought it.")),
			lasting(text("revision_fixed", "The revision that ended it.")), text("control", "The control it violates."),
			lasting(moment("first_seen", "Since when it is there.")), moment("due_at", "When it must be gone."), text("evidence_url", "Where the evidence is.")))
	}
	types = append(types, fact("scan.completed", in, "scan", "target",
		"A tool has looked at something, and this is what it found: all of it, or a part. A finding is open from where a scan lists it until the next whole scan of the same tool and target that doesn't.",
		required(text("scan_id", "The scan.")), required(text("tool", "What has looked.")),
		required(text("target", "What it has looked at, without a version: a repository, a path in it, an image; with the kind of analysis where there are several.")),
		integer("part", "Which part of the scan this is, from 1. Absent: the only one."),
		integer("parts", "How many parts the scan has; one of them must say so. Absent, with no part: 1."),
		boolean("complete", "false: what isn't listed may be there all the same. Absent: true."),
		service(), text("environment", "Where it was found; absent: wherever the service runs."),
		text("repository", "The repository."), text("revision", "The revision that was looked at."), text("artifact", "The artifact, a package URL."),
		objects("findings", "What was found. A field that a finding doesn't state is the scan's.",
			required(text("finding_id", "The finding.")), text("status", "How it stands; absent: open.", "open", "accepted", "remediated"),
			text("kind", "What it is.", "vulnerability", "audit", "secret", "misconfiguration"), text("rule", "The rule or CVE it breaks."), severity(),
			service(), text("environment", "Where it is; absent: wherever the service runs."), text("artifact", "The artifact, a package URL."),
			text("repository", "The repository."), text("revision_introduced", "The revision that brought it."), text("revision_fixed", "The revision that ended it."),
			text("control", "The control it violates."), moment("first_seen", "Since when it is there."), moment("due_at", "When it must be gone."),
			text("evidence_url", "Where the evidence is."))))
	for _, stage := range []struct{ name, doc string }{{"detected", "Someone got in."}, {"contained", "They are out again."}} {
		types = append(types, fact("breach."+stage.name, in, "breach", "breach_id", stage.doc,
			required(text("breach_id", "The breach.")), required(service()), required(environment()), required(severity()),
			lasting(moment("started_at", "When it began.")), text("actor", "Who."), integer("records", "How many records it reached."),
			text("finding_id", "The finding they used.")))
	}
	return types
}

func observation(name, topic, doc string, fields ...Field) *Type {
	return &Type{Name: name, Topic: topic, Observation: true, Doc: doc, Fields: fields}
}

func observationTypes() []*Type {
	user, session := text("user", "The user, under a pseudonym."), text("session", "The session.")
	exposure := []Field{required(text("experiment", "The experiment.")), required(text("variant", "The variant.")),
		required(text("unit_id", "The user or session.")), required(service()), required(environment())}
	return []*Type{
		observation("behavior.recorded", TopicBehavior, "A user did something, or something was done for them.",
			required(text("name", "What was done.")), required(service()), required(environment()), user, session, version(), instance(),
			boolean("ok", "Whether it worked."), number("duration_ms", "How long it took, milliseconds."),
			number("value", "What it was worth, in the metric's unit."), number("weight", "How many of its kind it stands for, where it was sampled; absent: 1."),
			object("attributes", "Whatever else, by name. Values that are no strings are kept as JSON.")),
		observation("experiment.assigned", TopicBehavior, "A unit was given a variant.", exposure...),
		observation("experiment.exposed", TopicBehavior, "A unit met its variant.", exposure...),
		observation("user.identified", TopicBehavior, "An anonymous visitor turns out to be a user.",
			required(text("anonymous_id", "The visitor.")), required(user)),
		observation("error.occurred", TopicBehavior, "Something failed.",
			required(text("fingerprint", "What makes two errors the same.")), required(service()), required(environment()), version(), instance(),
			user, session, text("message", "What it said."), list("frames", "The stack, innermost first: strings or objects.")),
		observation("service.measured", TopicMeasurements, "One interval of one instance on one edge. Counts may be missing where the source has only ratios.",
			required(service()), required(environment()), instance(), version(), text("caller", "The service that calls."), text("callee", "The service that is called."),
			required(number("interval_ms", "The length of the interval, milliseconds.")), number("requests", "Requests in the interval."),
			number("errors", "Requests that failed."), number("success_ratio", "The share that did not fail, 0 to 1."),
			number("latency_ms", "Mean latency, milliseconds."), number("latency_p99_ms", "99th percentile of latency, milliseconds."),
			number("cpu_ratio", "Processor time used, of that allotted."), number("memory_ratio", "Memory used, of that allotted.")),
	}
}
