package engine

import "strings"

// tokenKind follows the tokens of ClickHouse's Lexer.cpp, as far as finding clauses needs them.
type tokenKind int

const (
	tokenEnd    tokenKind = iota
	tokenWord             // keyword, bare identifier or number
	tokenQuoted           // `identifier` or "identifier"
	tokenString           // 'string' or $tag$heredoc$tag$
	tokenPunct            // one byte of anything else
	tokenBroken           // a quote or comment that does not end
)

// token is the half open range [start, end) of a text.
type token struct {
	kind       tokenKind
	start, end int
}

// lexer cuts a statement into tokens, leaving out space and comments.
type lexer struct {
	text string
	pos  int
}

func (l *lexer) next() token {
	for l.pos < len(l.text) {
		start, c := l.pos, l.text[l.pos]
		rest := l.text[l.pos:]
		switch {
		case isSpace(c):
			l.pos++
		case strings.HasPrefix(rest, "--"), strings.HasPrefix(rest, "#!"), strings.HasPrefix(rest, "# "):
			if i := strings.IndexByte(rest, '\n'); i >= 0 {
				l.pos += i + 1
			} else {
				l.pos = len(l.text)
			}
		case strings.HasPrefix(rest, "/*"):
			i := strings.Index(rest[2:], "*/")
			if i < 0 {
				l.pos = len(l.text)
				return token{tokenBroken, start, l.pos}
			}
			l.pos += i + 4
		case strings.HasPrefix(rest, "\u00a0"), strings.HasPrefix(rest, "\ufeff"):
			l.pos += len("\ufeff")
			if strings.HasPrefix(rest, "\u00a0") {
				l.pos = start + len("\u00a0")
			}
		case c == '\'':
			return l.quoted(c, tokenString)
		case c == '`' || c == '"':
			return l.quoted(c, tokenQuoted)
		case isWord(c):
			for l.pos < len(l.text) && (isWord(l.text[l.pos]) || l.text[l.pos] == '$') {
				l.pos++
			}
			return token{tokenWord, start, l.pos}
		case c == '$':
			if i := strings.IndexByte(rest[1:], '$'); i >= 0 && allWord(rest[1:1+i]) {
				tag := rest[:i+2]
				if j := strings.Index(rest[len(tag):], tag); j >= 0 {
					l.pos += len(tag) + j + len(tag)
					return token{tokenString, start, l.pos}
				}
			}
			l.pos++
			return token{tokenPunct, start, l.pos}
		default:
			l.pos++
			return token{tokenPunct, start, l.pos}
		}
	}
	return token{tokenEnd, l.pos, l.pos}
}

// quoted reads to the closing quote; a backslash escapes the next byte, a doubled quote stands for itself.
func (l *lexer) quoted(quote byte, kind tokenKind) token {
	start := l.pos
	for i := start + 1; i < len(l.text); i++ {
		switch l.text[i] {
		case '\\':
			i++
		case quote:
			if i+1 < len(l.text) && l.text[i+1] == quote {
				i++
				continue
			}
			l.pos = i + 1
			return token{kind, start, l.pos}
		}
	}
	l.pos = len(l.text)
	return token{tokenBroken, start, l.pos}
}

func (l *lexer) is(t token, word string) bool {
	return t.kind == tokenWord && strings.EqualFold(l.text[t.start:t.end], word)
}

func (l *lexer) punct(t token, c byte) bool { return t.kind == tokenPunct && l.text[t.start] == c }

// name is the identifier that a token stands for.
func (l *lexer) name(t token) string {
	text := l.text[t.start:t.end]
	if t.kind == tokenQuoted {
		return unquote(text)
	}
	return text
}

func unquote(text string) string {
	quote, body := text[0], text[1:len(text)-1]
	var b strings.Builder
	for i := 0; i < len(body); i++ {
		if (body[i] == '\\' || body[i] == quote) && i+1 < len(body) {
			i++
		}
		b.WriteByte(body[i])
	}
	return b.String()
}

func isSpace(c byte) bool { return c == ' ' || '\t' <= c && c <= '\r' || c == 0 }

func isWord(c byte) bool {
	return c == '_' || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

func allWord(s string) bool {
	for i := range len(s) {
		if !isWord(s[i]) {
			return false
		}
	}
	return true
}

// insertion is an INSERT cut where its data begins.
type insertion struct {
	head   string // up to FORMAT or VALUES, which are left out
	format string // how the data is encoded
	data   int    // offset of the first byte of data
}

// findInsertion cuts `INSERT INTO t … FORMAT f <data>` and `INSERT INTO t … VALUES <data>`.
// ok is false for every other statement, an INSERT … SELECT among them.
//
// The data may be binary, so the text is read only up to where it begins. Where that is follows ParserInsertQuery.cpp:
// after FORMAT's name come blanks and at most one line end that are not data.
func findInsertion(text string) (ins insertion, ok bool) {
	l := &lexer{text: text}
	if !l.is(l.next(), "INSERT") || !l.is(l.next(), "INTO") {
		return ins, false
	}
	t := l.next()
	if l.is(t, "TABLE") || l.is(t, "FUNCTION") {
		t = l.next()
	}
	// The table's name, which may be a keyword: `db.values`.
	if t.kind != tokenWord && t.kind != tokenQuoted && !l.punct(t, '{') {
		return ins, false
	}
	if l.punct(t, '{') {
		l.skipTo('}')
	}
	for t = l.next(); l.punct(t, '.'); t = l.next() {
		if l.punct(l.next(), '{') {
			l.skipTo('}')
		}
	}
	for depth := 0; ; t = l.next() {
		switch {
		case t.kind == tokenEnd, t.kind == tokenBroken, l.punct(t, ';'):
			return ins, false
		case l.punct(t, '('), l.punct(t, '['), l.punct(t, '{'):
			depth++
		case l.punct(t, ')'), l.punct(t, ']'), l.punct(t, '}'):
			depth--
		case depth > 0:
		case l.is(t, "VALUES"):
			return insertion{head: text[:t.start], format: "Values", data: t.end}, true
		case l.is(t, "SELECT"), l.is(t, "WITH"), l.is(t, "FROM"), l.is(t, "WATCH"):
			return ins, false
		case l.is(t, "FORMAT"):
			name := l.next()
			if name.kind != tokenWord && name.kind != tokenQuoted {
				return ins, false
			}
			if strings.EqualFold(l.name(name), "Values") { // FORMAT VALUES
				return insertion{head: text[:t.start], format: "Values", data: name.end}, true
			}
			return insertion{head: text[:t.start], format: l.name(name), data: skipToData(text, name.end)}, true
		}
	}
}

func (l *lexer) skipTo(c byte) {
	for t := l.next(); t.kind != tokenEnd && !l.punct(t, c); t = l.next() {
	}
}

func skipToData(text string, at int) int {
	for at < len(text) && (text[at] == ' ' || text[at] == '\t' || text[at] == '\f') {
		at++
	}
	if at < len(text) && text[at] == '\r' {
		at++
	}
	if at < len(text) && text[at] == '\n' {
		at++
	}
	return at
}

// outputClause finds a query's closing `FORMAT f [SETTINGS …]`. at is where the clause begins; where there is none,
// format is empty and at is where the query ends, before a semicolon.
// `SELECT format x` looks the same to it: the caller asks the engine's parse whether there is a clause.
func outputClause(text string) (at int, format string) {
	l := &lexer{text: text}
	var top []token // outside parentheses
	depth := 0
	for t := l.next(); t.kind != tokenEnd; t = l.next() {
		switch {
		case l.punct(t, '('), l.punct(t, '['), l.punct(t, '{'):
			depth++
		case l.punct(t, ')'), l.punct(t, ']'), l.punct(t, '}'):
			depth--
		}
		if depth == 0 && !l.punct(t, ';') {
			top = append(top, t)
		}
	}
	for i := len(top) - 2; i > 0; i-- {
		name := top[i+1]
		if l.is(top[i], "FORMAT") && (name.kind == tokenWord || name.kind == tokenQuoted) &&
			(i+2 == len(top) || l.is(top[i+2], "SETTINGS")) {
			return top[i].start, l.name(name)
		}
	}
	if len(top) == 0 {
		return 0, ""
	}
	return top[len(top)-1].end, ""
}
