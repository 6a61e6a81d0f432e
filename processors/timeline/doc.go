// Package timeline folds facts into one versioned answer to "what was true of
// service S in environment E at time t". Every worker holds a Timeline of the
// whole context log and stamps its answers onto observations.
//
//	tl := timeline.New()
//	tl.Apply(facts)             // any order, any number of times
//	tl.Enrich(observations, out) // the columns of "What an enriched row says"
//
// A Timeline is a pure function of the set of facts applied to it: order,
// duplicates and batching never show in an answer.
//
// # The rules
//
// They are numbered so that code, tests and the SQL oracle can name them.
// "Stated" means: not the empty string, not the time 0, not the number
// Unknown, not the empty list. Times are UTC milliseconds, intervals are half
// open: [from, to) holds at t when from <= t < to. Strings compare by bytes.
//
// Facts
//
//	R1  Identity. A fact is (source, id, type). Of several contents under one
//	    identity the one with the greatest content hash (unsigned) counts, the
//	    others never do.
//	R2  Order. Facts are totally ordered by (time, source, id, hash). "First",
//	    "last", "earliest" and "latest" of facts mean this order; "at or
//	    before t" means event time <= t.
//	R3  Retraction. A fact.retracted unsays every fact of the source and id it
//	    names, of any type, for all time and whenever either arrives. A
//	    retraction can be unsaid too, by a retraction later in the order that
//	    is not unsaid itself (so the question is decided from the last
//	    retraction to the first, and has one answer even where retractions
//	    name each other). Every rule below is over the facts that count (R1)
//	    and are not unsaid.
//	R4  Entities are keyed by their own id alone (deployment_id, incident_id,
//	    finding_id, change_id), whoever reports them.
//
// Names
//
//	R5  Aliases. service.declared says of each of its aliases that it means
//	    its service; identity.declared of kind "service" that its alias means
//	    its canonical (its field source narrows nothing). Empty names and a
//	    name that would mean itself say nothing. The last fact that speaks of
//	    an alias holds for all time, before its event too.
//	R6  Chains are followed to a name that means nothing else. A chain that
//	    runs into a cycle ends at the least name of the cycle.
//	R7  Service names of facts and of observations are compared after R5 and
//	    R6; S below is such a name, and canonical_service is it. The empty
//	    name is no service: no fact is of it. Environments are compared as
//	    stated.
//
// Deployments (facts deployment.started < .progressed < .finished: its stages)
//
//	R8  Service, environment, version and previous_version are each the last
//	    stated in the order (stage, R2): a finished outweighs a progressed
//	    whatever the clocks say. Revisions and added instances are the union
//	    over all stages. All of these hold for all time.
//	R9  Start is the earliest fact of any stage. (So no age is negative.)
//	R10 End is the earliest finished fact; none: it has not ended.
//	R11 Completion is the earliest fact that is finished with outcome success
//	    or states a percent >= 100, of any stage; none: never completed.
//	R12 Failure is the earliest finished fact with outcome failure, cancelled
//	    or rolled_back. A deployment whose failure is at or before t is chosen
//	    by none of R13, R14, R15 at t. (rollback_of of another deployment is
//	    no failure of this one: only outcomes are.)
//	R13 Version. An observation that states a version belongs to the deployment
//	    of S in E with that version, start at or before t, not failed (R12),
//	    with the latest start fact. If there is none: deployment_id and
//	    previous_version are empty and deployed_version is as stated. It never
//	    falls to R14 or R15. Versions are the same whose keys are
//	    (event.VersionKey): v2.0.0 is 2.0.0, a commit is its abbreviation and
//	    the tag sha-4f2a9c1 of an image.
//	R14 Instance. Else, if it states an instance: the deployment of S in E that
//	    added that instance (R8: in any stage, whenever), start at or before
//	    t, not failed, with the latest start fact. If there is none: R15.
//	R15 Completed last. Else: the deployment of S in E with completion at or
//	    before t, not failed, with the latest completion fact. If there is
//	    none, all of R16 is empty.
//	R16 deployed_version is that deployment's version, as it spells it. deployment_age_ms is t
//	    minus its start, null without a deployment. previous_version is what
//	    the deployment states (R8), else the version of what R15 gives for its
//	    service and environment at its start minus 1 ms, else empty.
//	R17 change_ids: the ids of changes with a revision in that deployment's
//	    revisions, sorted, each once. The revisions of a change are its
//	    revision and those of its commits, the union over its facts. No time
//	    is compared.
//	R18 rollout_ids: the deployments of S in E with start <= t and no end at or
//	    before t, in the order of their start facts. rollout_percent: the last
//	    stated percent, of any stage, at or before t (R2, not stage) of the
//	    last of them; 0 without one.
//
// Flags
//
//	R19 For each flag, of the flag.changed facts in E that list S among their
//	    services or list none: the rules of the last at or before t. Sorted by
//	    flag. One that lists only other services changes nothing for S.
//
// Incidents (their facts in the order R2; stages are not ordered)
//
//	R20 Services are the union of service and services over all facts;
//	    environment is the last stated; both hold for all time.
//	R21 Onset is the last stated started_at of any fact; else the time of the
//	    earliest opened fact; else (not opened yet, as far as known) of the
//	    earliest fact.
//	R22 Episodes. Each reopened fact begins a new episode, which holds the facts
//	    from it up to the next reopened. The first episode is open from the
//	    onset, another from its reopened fact's time. An episode ends at the
//	    last ended_at stated by its own facts; else at its earliest resolved or
//	    merged fact (who is merged into another has ended); else where the next
//	    episode begins; else it is open.
//	R23 incident_ids: the incidents naming S in E with an episode that holds at
//	    t, sorted, each once.
//	R24 incident_severity: of each of those the last stated severity at or
//	    before t, or else its first stated; of them the worst. critical, high,
//	    medium, low, info; then any other stated severity, the least string
//	    first; then none stated (empty).
//
// Findings
//
//	R25 Service, environment, repository, revision_introduced and first_seen
//	    are each the last stated (R2), for all time. A finding is of its
//	    service; if it states none, of every service that lists its repository,
//	    under whatever name (identity.declared of kind "repository", as R5 and R6),
//	    in a service.declared of any time and environment. (An artifact alone
//	    places nothing.) One that states an environment is open there only,
//	    another in every environment.
//	R26 Open in E from: the earliest completion (R11, a failure does not undo
//	    it) of a deployment of S in E whose revisions hold revision_introduced;
//	    else first_seen; else the earliest opened fact; else its earliest fact.
//	    From then on it is open, but for when it is closed: from a remediated or
//	    accepted fact until the first opened fact later than that. (So it is
//	    closed at t if such a fact is at or before t, and no opened fact is
//	    later than the last of them and at or before t.)
//	R27 finding_ids: the findings of S open in E at t, sorted, each once.
//
// Services
//
//	R28 owner: of the service.declared of S that state an owner and either name
//	    E or no environment, the last at or before t, or else the first. tier
//	    alike, each by itself.
//
// The observation itself
//
//	R29 experiments: {experiment: variant} of experiment.assigned and .exposed,
//	    empty for all others. canonical_service: R7. revision: the greatest
//	    context revision folded in.
//
// Scans (scan.completed)
//
//	R30 A scan is the facts of one tool, target and scan_id: its parts. It is
//	    over at the latest of their times. It is whole if none of them says
//	    complete: false, one at least says how many parts there are, and parts
//	    1 to the greatest such number are there. A fact that states no part is
//	    part 1, and, if it doesn't say how many there are, of 1. What a part
//	    lists is said by it as if by a finding.opened of its place in the order
//	    (several of one finding: as they are listed), or by a finding.accepted
//	    or finding.remediated where that is the listed status; what is not
//	    stated of service, environment, repository and artifact is as the part
//	    states it for all. R25 to R27 are over these too.
//	R31 A finding that a part lists is remediated, as if by a finding.remediated
//	    that states nothing else, when the first whole scan of the same tool and
//	    target is over that is over later than the part's time and lists the
//	    finding in none of its parts. A target's later scans say nothing more of
//	    it: who opens it again isn't contradicted each night.
//
// Facts of any other type, and fields not named here, change no column.
//
// # How
//
// Facts are kept as small typed records that share their strings; Data and the
// record's bytes are let go. An entity is folded anew from its own few facts
// when one of them changes, and stands in the indexes of its (service,
// environment), its scope: lists of intervals sorted by start, cut into blocks
// so that an insertion anywhere moves at most one block, each block knowing
// its latest end so that "which hold at t" skips what is over. Nothing is
// compiled as a whole, so a fact costs the same whether its scope holds ten
// facts or a hundred thousand. What a fact costs is its entity's facts and,
// for an alias, the entities of the names that get another meaning. A scan
// costs the findings it lists and those that the whole scan before it lists,
// each with the sightings it had. A sighting is some 40 bytes: what is listed
// in the same words every night is kept once.
//
// A [Memory] is a timeline that keeps what answers since some moment need and
// asks a store for the rest.
//
// Beside the indexes a scope keeps its boundaries, the sorted moments at which
// its answer may change. Between two of them it is constant: that is a
// context, computed once and shared by all observations in it, for a bounded
// number of contexts a scope.
package timeline
