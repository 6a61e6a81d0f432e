package engine

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"sync"
)

// guard decides which statements may run. The engine has no access control of its own: `CREATE USER` is refused with
// 497, and file() and url() read whatever the process can, even with readonly=1. So every statement is parsed by the
// engine first (chdb_classify_query_n, EXPLAIN AST) and the parse is what the guard looks at.
type guard struct {
	functions map[string]bool // lower case: table functions and functions that reach outside
	engines   map[string]bool // table and database engines that reach outside

	mu    sync.Mutex
	cache map[string]parse // statements without parameters, by text: a pipeline repeats a few
}

// What stays inside the engine; every other table function, table engine and database engine that the library
// brings counts as reaching outside, so that a new version's additions are refused until someone looks.
var (
	insideFunctions = words(`numbers numbers_mt zeros zeros_mt primes generateRandom generateSeries generate_series
		values SQLStandardValues view viewIfPermitted viewExplain null input merge format dictionary loop fuzzQuery fuzzJSON
		mergeTreeIndex mergeTreeProjection mergeTreeTextIndex mergeTreeAnalyzeIndexes mergeTreeAnalyzeIndexesUUID
		timeSeriesSelector timeSeriesMetrics timeSeriesTags timeSeriesSamples timeSeriesData prometheusQuery prometheusQueryRange`)
	insideEngines = words(`MergeTree ReplacingMergeTree SummingMergeTree AggregatingMergeTree CollapsingMergeTree
		VersionedCollapsingMergeTree CoalescingMergeTree GraphiteMergeTree Memory Log TinyLog StripeLog Null Set Join Buffer
		View MaterializedView WindowView Merge Dictionary GenerateRandom Alias Loop FuzzQuery FuzzJSON TimeSeries
		Atomic Ordinary`)
	// Ordinary functions that read files or talk to other hosts.
	outsideFunctions = words(`file catboostEvaluate hasColumnInTable aiGenerate aiClassify aiExtract aiTranslate aiEmbed`)
	// Settings whose value names a file that the engine reads or writes, and those that arm signals which the Go runtime owns.
	outsideSettings = words(`format_schema output_format_schema format_template_resultset format_template_row
		format_template_row_format query_profiler_real_time_period_ns query_profiler_cpu_time_period_ns`)
	// Settings that change how a statement is read. Parses are kept by text, so nobody sets these.
	parserSettings = words(`dialect implicit_select implicit_table_at_top_level allow_settings_after_format_in_insert
		allow_experimental_kusto_dialect allow_experimental_prql_dialect allow_experimental_polyglot_dialect`)
)

func words(text string) map[string]bool {
	set := map[string]bool{}
	for _, w := range strings.Fields(text) {
		set[strings.ToLower(w)] = true
	}
	return set
}

// newGuard asks the engine what it has.
func newGuard(c *connection) (*guard, error) {
	g := &guard{functions: map[string]bool{}, engines: map[string]bool{}, cache: map[string]parse{}}
	for name := range outsideFunctions {
		g.functions[name] = true
	}
	for _, q := range []struct {
		sql    string
		into   map[string]bool
		except map[string]bool
	}{
		{"SELECT name FROM system.table_functions", g.functions, insideFunctions},
		{"SELECT name FROM system.table_engines UNION ALL SELECT name FROM system.database_engines", g.engines, insideEngines},
	} {
		out, _, err := c.exec(q.sql, "TabSeparatedRaw", nil)
		if err != nil {
			return nil, err
		}
		for name := range strings.FieldsSeq(string(out)) {
			if name = strings.ToLower(name); !q.except[name] {
				q.into[name] = true
			}
		}
	}
	return g, nil
}

// parse is what the engine's parser made of a statement.
type parse struct {
	class   class
	root    string // the tree's root: SelectWithUnionQuery, InsertQuery, …
	format  string // of a FORMAT clause, where the root has one
	selects bool   // an InsertQuery that takes its rows from a SELECT
	input   bool   // input() is used
	alters  bool   // an AlterQuery that does more than drop partitions
	passing bool   // of a temporary table
	outside string // the first thing that reaches outside the engine, empty when nothing does
	refused string // what is refused to everybody
}

// All other statements that write may write files beside those of parts, such as
// definitions and mutations.
var definesNothing = map[string]bool{"InsertQuery": true, "DropQuery": true, "TruncateQuery": true, "DetachQuery": true,
	"Set": true, "UseQuery": true, "SYSTEM": true, "KillQueryQuery": true}

func (p *parse) defines() bool {
	switch {
	case p.class == classReadOnly || p.passing || definesNothing[p.root]:
		return false
	case p.root == "AlterQuery":
		return p.alters
	}
	return true
}

// parse has the engine parse a statement.
func (g *guard) parse(c *connection, sql string, params []parameter) (parse, error) {
	if len(params) == 0 {
		g.mu.Lock()
		p, ok := g.cache[sql]
		g.mu.Unlock()
		if ok {
			return p, nil
		}
	}
	a, err := c.classify(sql)
	if err != nil {
		return parse{}, err
	}
	if writesFile(sql) { // before anything is run that might do it
		return parse{class: classControl, refused: "INTO OUTFILE"}, nil
	}
	if a.Statements > 1 {
		return parse{}, fail(codeSyntaxError, "SYNTAX_ERROR", "Multi-statements are not allowed")
	}
	tree, _, err := c.exec(explain+sql, "TabSeparatedRaw", params)
	if err != nil {
		return parse{}, unexplained(err)
	}
	p := g.read(string(tree))
	p.class = a.Class
	g.lex(sql, &p)
	if len(params) == 0 && len(sql) < 1<<16 {
		g.mu.Lock()
		if len(g.cache) >= 4096 {
			clear(g.cache)
		}
		g.cache[sql] = p
		g.mu.Unlock()
	}
	return p, nil
}

const explain = "EXPLAIN AST "

var position = regexp.MustCompile(`(position |\(line 1, col )(\d+)`)

// unexplained takes what asking added out of an error: position 19 of "EXPLAIN AST SELCT nope" is the caller's 7.
func unexplained(err error) error {
	e := asException(err)
	text := strings.ReplaceAll(e.text, explain, "")
	text = position.ReplaceAllStringFunc(text, func(found string) string {
		m := position.FindStringSubmatch(found)
		n, err := strconv.Atoi(m[2])
		if err != nil || n <= len(explain) {
			return found
		}
		return m[1] + strconv.Itoa(n-len(explain))
	})
	return &exception{code: e.code, text: text}
}

// read goes through an EXPLAIN AST tree: one node a line, one blank of indent a level.
//
// Names in the tree may hold line ends, which can only add lines, never hide one.
func (g *guard) read(tree string) parse {
	var p parse
	var path []string // the kinds of the nodes above
	for line := range strings.Lines(tree) {
		line = strings.TrimRight(line, "\n")
		text := strings.TrimLeft(line, " ")
		depth := min(len(line)-len(text), len(path))
		fields := strings.Fields(text)
		if len(fields) == 0 {
			continue
		}
		kind, name := fields[0], ""
		if len(fields) > 1 {
			name = fields[1]
		}
		parent := ""
		if depth > 0 {
			parent = path[depth-1]
		}
		path = append(path[:depth], kind)
		if depth == 0 && p.root == "" {
			p.root = kind
		}
		g.node(&p, depth, parent, kind, name)
	}
	return p
}

func (g *guard) node(p *parse, depth int, parent, kind, name string) {
	local := strings.ToLower(name[strings.LastIndexByte(name, '.')+1:])
	switch kind {
	case "Function":
		if parent == "Storage" && g.engines[local] { // "Storage definition"
			p.reaches("the engine " + name)
		}
		if g.functions[local] {
			p.reaches("the function " + name + "()")
		}
		p.input = p.input || local == "input"
	case "FunctionWithKeyValueArguments":
		if local != "clickhouse" && local != "null" {
			p.reaches("a dictionary with the source " + name)
		}
	case "AlterCommand":
		p.alters = p.alters || name != "DROP_PARTITION" && name != "DROP_DETACHED_PARTITION"
	case "BackupQuery", "RestoreQuery":
		p.reaches("BACKUP and RESTORE")
	case "Identifier":
		if depth == 1 && strings.HasPrefix(p.root, "Select") {
			p.format = name
		}
	case "Literal":
		if depth == 1 && p.root == "InsertQuery" {
			p.refused = "FROM INFILE"
		}
		if depth == 1 && strings.HasPrefix(p.root, "Select") {
			p.refused = "INTO OUTFILE"
		}
	default:
		if depth == 1 && p.root == "InsertQuery" && strings.HasPrefix(kind, "Select") {
			p.selects = true
		}
	}
}

func (p *parse) reaches(what string) {
	if p.outside == "" {
		p.outside = what
	}
}

// lex finds what the tree does not print: the names in a SETTINGS clause, the keys of a dictionary's source,
// the path of an ATTACH, the verb of a SYSTEM statement.
func (g *guard) lex(sql string, p *parse) {
	l := &lexer{text: sql}
	var last token
	for t := l.next(); t.kind != tokenEnd; t = l.next() {
		name := ""
		if t.kind == tokenWord || t.kind == tokenQuoted {
			name = strings.ToLower(l.name(t))
		}
		switch {
		case outsideSettings[name]:
			p.reaches("the setting " + name)
		case p.root == "SYSTEM" && (name == "shutdown" || name == "kill"):
			p.refused = "SYSTEM " + strings.ToUpper(name)
		case p.root == "AttachQuery" && t.kind == tokenString && l.is(last, "FROM"):
			p.reaches("ATTACH … FROM a path")
		case (p.root == "CreateQuery" || p.root == "AttachQuery") && (name == "host" || name == "port"):
			if next := (&lexer{text: sql, pos: t.end}); isValue(next) && strings.Contains(strings.ToLower(sql), "dictionary") {
				p.reaches("a dictionary from another host")
			}
		case (l.punct(t, '(') || l.punct(t, '=')) && (l.is(last, "disk") || l.is(last, "table_disk")) &&
			(p.root == "CreateQuery" || p.root == "AttachQuery" || p.root == "AlterQuery"):
			p.reaches("a disk of its own")
		case p.root == "CreateQuery" && l.is(t, "TEMPORARY") && (l.is(last, "CREATE") || l.is(last, "REPLACE")):
			p.passing = true
		case p.root == "Set" && parserSettings[name]:
			p.refused = "the setting " + name
		}
		last = t
	}
}

// writesFile finds INTO OUTFILE.
func writesFile(sql string) bool {
	l := &lexer{text: sql}
	var last token
	for t := l.next(); t.kind != tokenEnd; t = l.next() {
		if l.is(t, "OUTFILE") && l.is(last, "INTO") {
			return true
		}
		last = t
	}
	return false
}

func isValue(l *lexer) bool {
	t := l.next()
	return t.kind == tokenString || t.kind == tokenWord && !l.is(t, "String") && !l.is(t, "FROM")
}

// check says whether a user may run a statement.
func (g *guard) check(p parse, u *User, allowOutside bool) error {
	switch {
	case p.refused != "":
		return fail(codeAccessDenied, "ACCESS_DENIED", "%s is not available over HTTP", p.refused)
	case u.ReadOnly && p.class != classReadOnly:
		return fail(codeReadOnly, "READONLY", "%s: Cannot execute query in readonly mode", u.Name)
	case p.outside != "" && (u.ReadOnly || !allowOutside):
		return fail(codeAccessDenied, "ACCESS_DENIED", "%s: Not enough privileges: %s reaches outside the engine", u.Name, p.outside)
	}
	return nil
}

// valuesGuard looks through the data of an INSERT … VALUES, where expressions may stand, for functions that reach
// outside. The engine evaluates them while it reads the data and no parse shows them beforehand.
type valuesGuard struct {
	functions map[string]bool
	quote     byte // inside a quoted run that ends with it
	escaped   bool
	comment   byte // '-' until the line's end, '*' until */
	last      byte
	word      []byte // the identifier read last
	quoted    []byte
	ended     bool // word is complete: blanks may follow before (
}

// Write returns an error when the data calls a function that reaches outside.
func (v *valuesGuard) Write(data []byte) (int, error) {
	for _, c := range data {
		if err := v.step(c); err != nil {
			return 0, err
		}
	}
	return len(data), nil
}

func (v *valuesGuard) step(c byte) error {
	last := v.last
	v.last = c
	switch {
	case v.comment == '-':
		if c == '\n' {
			v.comment = 0
		}
	case v.comment == '*':
		if c == '/' && last == '*' {
			v.comment, v.last = 0, 0
		}
	case v.quote != 0:
		switch {
		case v.escaped:
			v.escaped = false
			v.quoted = append(v.quoted, c)
		case c == '\\':
			v.escaped = true
		case c == v.quote:
			if v.quote != '\'' {
				v.word, v.ended = append(v.word[:0], v.quoted...), true
			}
			v.quote = 0
		case len(v.quoted) < 64:
			v.quoted = append(v.quoted, c)
		}
	case c == '\'' || c == '`' || c == '"':
		v.quote, v.quoted = c, v.quoted[:0]
		v.word, v.ended = v.word[:0], false
	case c == '-' && last == '-', c == '#':
		v.comment = '-'
		v.ended = len(v.word) > 0
	case c == '*' && last == '/':
		v.comment, v.last = '*', 0
	case isWord(c):
		if v.ended {
			v.word, v.ended = v.word[:0], false
		}
		if len(v.word) < 64 {
			v.word = append(v.word, c)
		}
	case isSpace(c) || c == '-' || c == '/' || c >= 0x80: // a comment may begin; a no-break space is space
		v.ended = len(v.word) > 0
	case c == '(':
		if v.functions[strings.ToLower(string(v.word))] {
			return fail(codeAccessDenied, "ACCESS_DENIED", "Not enough privileges: the function %s() reaches outside the engine", v.word)
		}
		v.word, v.ended = v.word[:0], false
	default:
		v.word, v.ended = v.word[:0], false
	}
	return nil
}

// settingArguments words settings as arguments of a connection.
func settingArguments(settings []parameter) []string {
	args := make([]string, 0, len(settings))
	for _, s := range settings {
		args = append(args, fmt.Sprintf("--%s=%s", s.name, s.value))
	}
	return args
}
