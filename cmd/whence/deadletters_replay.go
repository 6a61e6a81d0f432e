package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/whencehq/whence/pipeline"
	"github.com/whencehq/whence/pipeline/clickhouse"
	"github.com/whencehq/whence/pipeline/display"
	"github.com/whencehq/whence/pipeline/observe"
	"github.com/whencehq/whence/processors"
	"github.com/whencehq/whence/processors/rules"
	tables "github.com/whencehq/whence/schemas/clickhouse"
	"github.com/whencehq/whence/schemas/event"
)

func newLettersReplay() *cobra.Command {
	var k kafkaFlags
	var c clickHouseFlags
	var l letterFlags
	var all, again, without, dryRun, asJSON bool
	cmd := &cobra.Command{
		Use:   "replay [TOPIC/PARTITION/OFFSET...]",
		Short: "Take dead letters through the pipeline again",
		Long: `replay takes open dead letters through the pipeline again, as records of the
place that they came from: decode, the rules of the configuration, enrichment,
storing. What becomes of each is noted in dead_letter_replays; one that is stored
or dropped is open no longer, and replaying it again does nothing (unless
--again says so). What it brings has the identity it would have had at first, so
a replay that was killed and is repeated gives the same rows, each once.

A letter without its bytes, which a rule withholds, stays dead: whence replay takes
its record from Kafka, and closes the letter. The summary names the command.

It may run while workers do: it joins no group and moves no offset. --dry-run
shows what would become of them, and needs no Kafka. It exits 0 where letters
are dead still: the summary counts them.`,
		Example: `  whence deadletters replay --config worker.yaml --reason rule --dry-run
  whence deadletters replay --config worker.yaml --source github --since 7d
  whence deadletters replay whence.delivery/0/4711`,
		RunE: func(cmd *cobra.Command, args []string) error {
			picked, err := l.letters()
			if err != nil {
				return err
			}
			for _, text := range args {
				place, err := placeOf(text)
				if err != nil {
					return err
				}
				picked.Places = append(picked.Places, place)
			}
			if !all && len(picked.Places)+len(picked.Reasons)+len(picked.Sources)+len(picked.Types)+len(picked.Topics) == 0 &&
				picked.Since == event.Always && picked.Until == event.Forever {
				return usagef("which letters? --reason, --source, --type, --topic, --since, --until, their places, or --all")
			}
			picked.Replayed = again
			cfg, err := k.config()
			if err != nil {
				return err
			}
			flags := c.or(cfg, k.file != "")
			at := flags.config()
			cfg.ClickHouse.URL, cfg.ClickHouse.User, cfg.ClickHouse.PasswordFile = at.URL, at.User, at.PasswordFile
			if err := rulesAreThere(cfg, k.file); err != nil {
				return err
			}
			own, err := configuredRules(cfg, nil)
			if err != nil {
				return err
			}
			r := lettersReplay{picked: picked, again: again, without: without, asJSON: asJSON, stdout: cmd.OutOrStdout(), stderr: cmd.ErrOrStderr(), outcomes: map[outcome]int{}, withheld: map[string]int64{}, config: cmp.Or(k.file, "FILE")}
			if dryRun {
				return withStore(cmd.Context(), flags, func(ctx context.Context, store *clickhouse.Client) error {
					r.store = store
					r.stages = processors.Reading(processors.Dependencies{Decode: decoding(cfg), Rules: own})
					return r.run(ctx, cfg.Kafka.Topics.ContextName())
				})
			}
			log, err := observe.NewLogger(cmd.ErrOrStderr(), "warn", "console")
			if err != nil {
				return err
			}
			if err := serversAnswer(cmd, cfg, flags, k.timeout); err != nil {
				return err
			}
			w := &worker{cfg: cfg, log: log, metrics: observe.NewMetrics(), health: observe.NewHealth(), rules: own}
			return r.through(cmd.Context(), w)
		},
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	k.add(cmd)
	c.add(cmd)
	l.add(cmd)
	withoutRules(cmd, &without)
	cmd.Flags().BoolVar(&all, "all", false, "all that are open")
	cmd.Flags().BoolVar(&again, "again", false, "those too that a replay has made good")
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "show what would become of them, and store nothing")
	cmd.Flags().BoolVar(&asJSON, "json", false, "one JSON object a letter")
	return cmd
}

// lettersReplay takes letters through stages.
type lettersReplay struct {
	picked         clickhouse.Letters
	again, asJSON  bool
	without        bool // by no rules, though workers have some
	stdout, stderr io.Writer

	store  *clickhouse.Client
	stages []pipeline.Processor
	name   string // of the replay, empty: nothing is stored
	now    event.Millis

	levelUp  func() error // corrects what is stored so far
	notes    []note
	noted    int // letters that notes are of
	outcomes map[outcome]int
	withheld map[string]int64 // topic -> the first offset of a letter without its bytes
	config   string           // the file, as it was named
}

// outcome is what letters of a reason have become, for the summary.
type outcome struct{ was, became, what string }

// through runs as a part of a worker that follows the context log.
func (r *lettersReplay) through(ctx context.Context, w *worker) error {
	begin, contextTopic, err := w.open(ctx)
	defer w.close()
	if err != nil {
		return err
	}
	if !r.without {
		if err := w.byRulesToo(ctx); err != nil {
			return err
		}
	}
	now := time.Now().UTC()
	r.store, r.name, r.now = w.store, "letters "+now.Format(time.RFC3339Nano), event.MillisOf(now)
	stages := processors.Events(processors.Dependencies{
		Decode: decoding(w.cfg), Rules: w.rules,
		Timeline: w.timeline, ContextLog: w.producer, Sink: w.sink(), Graveyard: w.producer, Outlet: w.producer, Replay: r.name,
	})
	keeper := &keeper{store: w.store}
	r.stages = slices.Insert(stages, len(stages)-1, pipeline.Processor(keeper))
	return keeper.hint(w.following(ctx, begin, contextTopic.End, func(ctx context.Context) error {
		r.levelUp = func() error { return w.levelUp(ctx, keeper, r.stderr) }
		return r.run(ctx, w.cfg.Kafka.Topics.ContextName())
	}))
}

// lettersAtOnce is how many letters are read and stored at a time. Their bytes are in memory.
const lettersAtOnce = 500

// notesAtOnce is how many letters are stored until it is noted what has become of
// them: before that their rows are corrected, which reads all rows of their time.
// Until then observations_at takes the rows for what was there all along.
const notesAtOnce = 200_000

func (r *lettersReplay) run(ctx context.Context, contextTopic string) error {
	total, err := r.store.CountLetters(ctx, r.picked)
	if err != nil {
		return err
	}
	bar := progress(r.stderr, int64(total), "replaying")
	var last *pipeline.DeadLetter
	for {
		letters, err := r.store.LettersAfter(ctx, r.picked, last, lettersAtOnce)
		if err != nil {
			return err
		}
		if len(letters) == 0 {
			break
		}
		last = &letters[len(letters)-1].DeadLetter
		_ = bar.Add(len(letters))
		for _, group := range byPartition(letters) {
			if group[0].Topic == contextTopic {
				r.leave(group, "is of the context log, which holds what Whence itself wrote")
				continue
			}
			if group = r.leaveDone(group); len(group) == 0 {
				continue
			}
			if err := r.batch(ctx, group); err != nil {
				return err
			}
		}
		if r.noted >= notesAtOnce {
			if err := r.close(ctx); err != nil {
				return err
			}
		}
	}
	_ = bar.Finish()
	if err := r.close(ctx); err != nil {
		return err
	}
	return r.summary()
}

// byPartition cuts letters, which are in the order of their places, into those
// of one partition each.
func byPartition(letters []clickhouse.ReplayedLetter) [][]clickhouse.ReplayedLetter {
	var groups [][]clickhouse.ReplayedLetter
	for len(letters) > 0 {
		n := 1
		for n < len(letters) && letters[n].TopicID == letters[0].TopicID && letters[n].Partition == letters[0].Partition {
			n++
		}
		groups, letters = append(groups, letters[:n]), letters[n:]
	}
	return groups
}

func (r *lettersReplay) leave(group []clickhouse.ReplayedLetter, why string) {
	for i := range group {
		r.say(&group[i], "left", why)
	}
}

// leaveDone leaves out letters that a replay has made good already: those that
// were named by their places come with them.
func (r *lettersReplay) leaveDone(group []clickhouse.ReplayedLetter) []clickhouse.ReplayedLetter {
	var open []clickhouse.ReplayedLetter
	for i := range group {
		if done := group[i].Outcome; !r.again && (done == tables.LetterStored || done == tables.LetterDropped) {
			r.say(&group[i], "left", "was "+done+" by a replay already")
			continue
		}
		open = append(open, group[i])
	}
	return open
}

// batch takes letters of one partition through the stages, and tells what has
// become of them.
func (r *lettersReplay) batch(ctx context.Context, letters []clickhouse.ReplayedLetter) error {
	first, last := &letters[0], &letters[len(letters)-1]
	b := &pipeline.Batch{Topic: first.Topic, TopicID: first.TopicID, Partition: first.Partition, From: first.Offset, To: last.Offset + 1}
	for i := range letters {
		l := &letters[i]
		b.Records = append(b.Records, pipeline.Record{Key: l.Key, Value: l.Value, Headers: l.Headers, Timestamp: l.ReceivedAt, Offset: l.Offset})
	}
	b.Hash = pipeline.HashRecords(b.Records)
	for i := range letters {
		if rules.Withheld(letters[i].Detail) {
			b.Records[i].Settled = true
			b.Bury(i, pipeline.ReasonRule, letters[i].Detail)
		}
	}
	for _, stage := range r.stages {
		if err := stage.Process(ctx, b); err != nil {
			return fmt.Errorf("%s: %s/%d [%d, %d): %w", stage.Name(), b.Topic, b.Partition, b.From, b.To, err)
		}
	}
	r.note(b, letters)
	return nil
}

// note is what has become of the letters of a batch, to be stored under a token.
type note struct {
	block *tables.LetterReplays
	token string
}

// close stores the notes: these letters are not replayed again. So it comes after
// their rows are corrected by what was closed while they were behind. Killed before
// it, it is as if they had not been replayed.
func (r *lettersReplay) close(ctx context.Context) error {
	if r.noted == 0 {
		return nil
	}
	if err := r.levelUp(); err != nil {
		return err
	}
	pipeline.Failpoint("letters/before-mark")
	for _, n := range r.notes {
		if err := r.store.Insert(ctx, n.block, n.token); err != nil {
			return err
		}
	}
	r.notes, r.noted = nil, 0
	return nil
}

// note keeps what has become of the letters of b.
func (r *lettersReplay) note(b *pipeline.Batch, letters []clickhouse.ReplayedLetter) {
	fates := fatesOf(b)
	block := tables.NewLetterReplays()
	for i := range letters {
		l := &letters[i]
		row := tables.LetterReplay{Topic: l.Topic, TopicID: l.TopicID, Partition: l.Partition, Offset: l.Offset, Outcome: fates.of(l.Offset), ReplayedAt: r.now}
		what := ""
		switch row.Outcome {
		case tables.LetterDead:
			d := fates.dead[l.Offset]
			row.Reason, row.Detail = string(d.Reason), d.Detail
			if what = r.told(d); !r.asJSON && d.Reason == l.Reason && d.Detail != l.Detail {
				what += ": " + cutTo(d.Detail, 80) // the reason alone would read as if nothing had changed
			}
		case tables.LetterStored:
			what = strings.Join(slices.Sorted(maps.Keys(fates.types[l.Offset])), ", ")
		}
		block.Append(&row)
		r.say(l, row.Outcome, what)
	}
	if r.name == "" {
		return
	}
	r.notes = append(r.notes, note{block, "replay " + r.name + "|" + b.Token(block.Table())})
	r.noted += len(letters)
}

// told is why a letter is dead still: for a table, where details would make each
// a kind of its own, the reason alone.
func (r *lettersReplay) told(d *pipeline.DeadLetter) string {
	if r.asJSON {
		return string(d.Reason) + ": " + d.Detail
	}
	return string(d.Reason)
}

// typesByOffset are the types of the events that each record brought.
func typesByOffset(b *pipeline.Batch) map[int64]map[string]bool {
	all := map[int64]map[string]bool{}
	add := func(from event.Provenance, name string) {
		if all[from.Offset] == nil {
			all[from.Offset] = map[string]bool{}
		}
		all[from.Offset][name] = true
	}
	for i := range b.Facts {
		add(b.Facts[i].Provenance, b.Facts[i].Type)
	}
	for i := range b.Observations {
		add(b.Observations[i].Provenance, b.Observations[i].Type)
	}
	for i := range b.Others {
		add(b.Others[i].Provenance, b.Others[i].Type)
	}
	return all
}

// say counts what became of a letter.
func (r *lettersReplay) say(l *clickhouse.ReplayedLetter, became, what string) {
	withheld := became == tables.LetterDead && rules.Withheld(l.Detail)
	if r.asJSON {
		out := map[string]any{
			"place":  clickhouse.Place{Topic: l.Topic, Partition: l.Partition, Offset: l.Offset}.String(),
			"reason": l.Reason, "outcome": became, "detail": what, "dry_run": r.name == "",
		}
		if withheld {
			out["hint"] = waysOut(l.Topic, l.Offset, r.config)
		}
		line, err := json.Marshal(out)
		if err == nil {
			fmt.Fprintf(r.stdout, "%s\n", line)
		}
		return
	}
	r.outcomes[outcome{string(l.Reason), became, what}]++
	if first, known := r.withheld[l.Topic]; withheld && (!known || l.Offset < first) {
		r.withheld[l.Topic] = l.Offset
	}
}

func (r *lettersReplay) summary() error {
	if r.asJSON {
		return nil
	}
	if len(r.outcomes) == 0 {
		fmt.Fprintln(r.stdout, "no open dead letters there")
		return nil
	}
	kinds := slices.SortedFunc(maps.Keys(r.outcomes), func(a, b outcome) int {
		return cmp.Or(r.outcomes[b]-r.outcomes[a], cmp.Compare(a.was, b.was), cmp.Compare(a.became, b.became), cmp.Compare(a.what, b.what))
	})
	sums := map[string]int{}
	table := tabwriter.NewWriter(r.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "LETTERS\tWERE\tARE\tAS")
	for i, kind := range kinds {
		sums[kind.became] += r.outcomes[kind]
		if i < 50 {
			fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", display.Count(r.outcomes[kind]), kind.was, kind.became, orDash(kind.what))
		}
	}
	if err := table.Flush(); err != nil {
		return err
	}
	word := "replayed"
	if r.name == "" {
		word = "would be replayed"
	}
	fmt.Fprintf(r.stdout, "%s: %s stored, %s dropped, %s dead still, %s left as they are\n", word,
		display.Count(sums[tables.LetterStored]), display.Count(sums[tables.LetterDropped]), display.Count(sums[tables.LetterDead]), display.Count(sums["left"]))
	for _, topic := range slices.Sorted(maps.Keys(r.withheld)) {
		fmt.Fprintf(r.stdout, "hint: a rule withholds the bytes of letters of %s: %s\n", display.Line(topic), waysOut(topic, r.withheld[topic], r.config))
	}
	return nil
}
