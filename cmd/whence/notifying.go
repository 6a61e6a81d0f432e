package main

import (
	"cmp"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/whencehq/whence/pipeline"
	"github.com/whencehq/whence/pipeline/config"
	"github.com/whencehq/whence/pipeline/observe"
	"github.com/whencehq/whence/processors/correlate"
	"github.com/whencehq/whence/processors/notify"
	"github.com/whencehq/whence/processors/notify/post"
)

// newNotifier makes what tells the configured targets of rankings. Whoever ranks
// runs it, and nudges it when a ranking is stored.
func (w *worker) newNotifier() (*notify.Notifier, error) {
	var targets []notify.Target
	for _, t := range w.cfg.Notify.Targets {
		target, err := targetOf(t)
		if err != nil {
			return nil, &pipeline.Error{Class: pipeline.Fatal, Err: err}
		}
		targets = append(targets, target)
	}
	c := notify.Config{Settle: w.cfg.Notify.Settle.Std(), Fresh: w.cfg.Notify.Fresh.Std()}
	return notify.New(c, targets, notices{w.store}, notifyLog{w.log.Named("notify"), w.metrics}, wallClock{}), nil
}

// nudging is an observer of rankings that has them told.
type nudging struct {
	rankLog
	notifier *notify.Notifier
}

func (n nudging) Ranked(k *correlate.Kept, took, late time.Duration) {
	n.rankLog.Ranked(k, took, late)
	n.notifier.Nudge()
}

// targetOf reads a target's secrets.
func targetOf(t config.NotifyTarget) (notify.Target, error) {
	target := notify.Target{
		Name: t.Name, Effects: t.Effects, Services: t.Services, Environments: t.Environments,
		Minimum: t.MinimumProbability, PerMinute: t.PerMinute, Storm: t.Storm,
	}
	url, err := t.URL()
	if err != nil {
		return target, err
	}
	token, err := t.Token()
	if err != nil {
		return target, err
	}
	secret, err := t.Secret()
	if err != nil {
		return target, err
	}
	if url == "" && token == "" {
		return target, fmt.Errorf("notify.targets %s: its address or token is empty", t.Name)
	}
	client := post.NewClient(cmp.Or(t.Timeout.Std(), 10*time.Second))
	switch {
	case t.Kind == config.Webhook:
		target.Outlet = &post.Webhook{URL: url, Secret: []byte(secret), Client: client}
	case token != "":
		target.Outlet = &post.Chat{API: cmp.Or(t.API, "https://slack.com/api"), Token: token, Channel: t.Channel, Client: client}
	default:
		target.Outlet = &post.Incoming{URL: url, Client: client}
	}
	return target, nil
}

// notifyLog tells people and metrics.
type notifyLog struct {
	log     *zap.Logger
	metrics *observe.Metrics
}

func (l notifyLog) Sent(target, action string) {
	l.metrics.MessageSent(target, action)
	l.log.Debug("told", zap.String("target", target), zap.String("action", action))
}

func (l notifyLog) Failed(target string, err error) {
	l.metrics.MessageFailed(target)
	l.log.Warn("a notification failed, it is tried again", zap.String("target", target), zap.Error(err))
}

func (l notifyLog) Dropped(target string, err error) {
	l.metrics.MessageDropped(target)
	l.log.Error("a notification is not taken, and given up", zap.String("target", target), zap.Error(err))
}

// wallClock is the machine's.
type wallClock struct{}

func (wallClock) Now() time.Time                         { return time.Now() }
func (wallClock) After(d time.Duration) <-chan time.Time { return time.After(d) }
