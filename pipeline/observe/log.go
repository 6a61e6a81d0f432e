package observe

import (
	"fmt"
	"io"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// NewLogger writes to w from level (debug, info, warn, error) on, one line an
// entry: format json for machines (durations in seconds), console for people.
// Times are RFC 3339 with their zone.
func NewLogger(w io.Writer, level, format string) (*zap.Logger, error) {
	from, err := zapcore.ParseLevel(level)
	if err != nil {
		return nil, fmt.Errorf("log level: want debug, info, warn or error, have %q", level)
	}
	layout := zapcore.EncoderConfig{
		TimeKey: "time", LevelKey: "level", NameKey: "logger", MessageKey: "message", StacktraceKey: "stack",
		EncodeTime: zapcore.RFC3339TimeEncoder, EncodeLevel: zapcore.LowercaseLevelEncoder,
		EncodeDuration: zapcore.StringDurationEncoder, LineEnding: zapcore.DefaultLineEnding,
	}
	var encoder zapcore.Encoder
	switch format {
	case "json":
		layout.EncodeDuration = zapcore.SecondsDurationEncoder
		encoder = zapcore.NewJSONEncoder(layout)
	case "console":
		layout.ConsoleSeparator = "  "
		encoder = zapcore.NewConsoleEncoder(layout)
	default:
		return nil, fmt.Errorf("log format: want console or json, have %q", format)
	}
	sink := zapcore.Lock(zapcore.AddSync(w))
	return zap.New(zapcore.NewCore(encoder, sink, from), zap.ErrorOutput(sink)), nil
}
