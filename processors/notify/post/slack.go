package post

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/whencehq/whence/processors/notify"
)

// mrkdwn is Slack's markup (https://docs.slack.dev/messaging/formatting-message-text).
func mrkdwn() notify.Markup {
	escape := strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", "*", "∗", "`", "'")
	// What is code is copied: nothing else may come of it. A backtick would end it,
	// and no quote may take its place, as that ends a word of a shell.
	code := strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", "`", "ˋ")
	return notify.Markup{
		Bold:   func(s string) string { return "*" + s + "*" },
		Code:   func(s string) string { return "`" + code.Replace(s) + "`" },
		Escape: escape.Replace,
	}
}

// textLimit is below the 4,000 characters at which Slack cuts a text in two.
const textLimit = 3900

func slackText(m *notify.Message) string {
	text := m.Text(mrkdwn())
	if runes := []rune(text); len(runes) > textLimit {
		text = string(runes[:textLimit]) + "…"
	}
	return text
}

// Incoming is one of Slack's incoming webhooks, or of what takes their like
// (Mattermost, Rocket.Chat, Discord under /slack). It has no threads.
type Incoming struct {
	URL    string
	Client *http.Client
}

// Threads is false.
func (i *Incoming) Threads() bool { return false }

// Send posts the text.
func (i *Incoming) Send(ctx context.Context, m *notify.Message) (string, error) {
	body, err := json.Marshal(map[string]any{"text": slackText(m), "unfurl_links": false})
	if err != nil {
		return "", &notify.Failure{Err: err, Message: true}
	}
	_, err = do(ctx, i.Client, i.URL, http.Header{"Content-Type": {"application/json; charset=utf-8"}}, body)
	return "", err
}

// Chat is a channel that chat.postMessage writes to, which has threads.
type Chat struct {
	API     string // https://slack.com/api
	Token   string
	Channel string
	Client  *http.Client
}

// Threads is true.
func (c *Chat) Threads() bool { return true }

// reply is what every method of Slack answers, and of some of them more.
type reply struct {
	OK       bool   `json:"ok"`
	Error    string `json:"error"`
	TS       string `json:"ts"`
	Channel  string `json:"channel"`
	Messages []struct {
		TS       string   `json:"ts"`
		ThreadTS string   `json:"thread_ts"`
		Metadata metadata `json:"metadata"`
	} `json:"messages"`
}

// metadata is carried by a message and shown to nobody: by it a message is found
// again.
type metadata struct {
	Type    string            `json:"event_type"`
	Payload map[string]string `json:"event_payload"`
}

const metadataType = "whence_notice"

// Send posts the text, in its thread if it has one. The place of a thread is the
// channel's id and the first message's timestamp: a channel may be given by name.
func (c *Chat) Send(ctx context.Context, m *notify.Message) (string, error) {
	channel, ts := c.place(m)
	message := map[string]any{
		"channel": channel, "text": slackText(m), "unfurl_links": false, "unfurl_media": false,
		"metadata": metadata{metadataType, map[string]string{"key": m.Key}},
	}
	if ts != "" {
		message["thread_ts"] = ts
	}
	answer, err := c.call(ctx, "chat.postMessage", message)
	if err != nil {
		return "", err
	}
	if ts != "" {
		return m.Place, nil
	}
	return answer.Channel + "/" + answer.TS, nil
}

func (c *Chat) place(m *notify.Message) (channel, ts string) {
	channel, ts, found := strings.Cut(m.Place, "/")
	if !found {
		return c.Channel, ""
	}
	return channel, ts
}

// Find looks for a message that may have been sent, among the last ones of the
// channel or of the thread. It takes the scope channels:history, and a channel that
// is given by its id; without them
// nothing is found, and a message may be there twice.
func (c *Chat) Find(ctx context.Context, m *notify.Message, since time.Time) (string, bool, error) {
	channel, ts := c.place(m)
	query := map[string]any{
		"channel": channel, "oldest": fmt.Sprintf("%d.000000", since.Unix()), "limit": 200, "include_all_metadata": true,
	}
	method := "conversations.history"
	if ts != "" {
		query["ts"], method = ts, "conversations.replies"
	}
	answer, err := c.call(ctx, method, query)
	if err != nil {
		return "", false, err
	}
	for _, found := range answer.Messages {
		if found.Metadata.Type == metadataType && found.Metadata.Payload["key"] == m.Key {
			if ts != "" {
				return m.Place, true, nil
			}
			return channel + "/" + found.TS, true, nil
		}
	}
	return "", false, nil
}

// call calls a method. Arguments go as a form, which every method takes.
func (c *Chat) call(ctx context.Context, method string, arguments map[string]any) (*reply, error) {
	form := url.Values{}
	for name, value := range arguments {
		text, isText := value.(string)
		if !isText {
			encoded, err := json.Marshal(value)
			if err != nil {
				return nil, &notify.Failure{Err: err, Message: true}
			}
			text = string(encoded)
		}
		form.Set(name, text)
	}
	header := http.Header{"Content-Type": {"application/x-www-form-urlencoded"}, "Authorization": {"Bearer " + c.Token}}
	text, err := do(ctx, c.Client, strings.TrimSuffix(c.API, "/")+"/"+method, header, []byte(form.Encode()))
	if err != nil {
		return nil, err
	}
	var answer reply
	if err := json.Unmarshal(text, &answer); err != nil {
		return nil, &notify.Failure{Err: errors.New("the answer is not Slack's"), Unsure: true}
	}
	if !answer.OK {
		return nil, slackRefused(method, answer.Error, c.Token)
	}
	return &answer, nil
}

// atFault are the errors that are about one message: another may be taken. All
// else waits for somebody to look after it.
var atFault = []string{
	"msg_too_long", "no_text", "invalid_blocks", "invalid_arguments", "invalid_metadata_format", "metadata_too_large",
	"thread_not_found", "cannot_reply_to_message",
}

func slackRefused(method, what, token string) error {
	return &notify.Failure{
		Err: fmt.Errorf("slack refuses %s: %s", method, hide(what, token)),
		// What may not be looked up is not there, as far as this can tell.
		Message: slices.Contains(atFault, what) || method != "chat.postMessage",
		Unsure:  what == "internal_error" || what == "fatal_error" || what == "request_timeout",
	}
}
