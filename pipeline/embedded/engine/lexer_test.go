package engine

import (
	"strings"
	"testing"
)

func TestAnInsertIsCutWhereItsDataBegins(t *testing.T) {
	for _, q := range []struct{ text, head, format, data string }{
		{"INSERT INTO t FORMAT CSV\n1,2\n", "INSERT INTO t ", "CSV", "1,2\n"},
		{"insert into t format CSV 1,2\n", "insert into t ", "CSV", "1,2\n"},
		{"INSERT INTO t FORMAT CSV\n\n1,2\n", "INSERT INTO t ", "CSV", "\n1,2\n"},
		{"INSERT INTO t FORMAT CSV \t\r\n1,2\n", "INSERT INTO t ", "CSV", "1,2\n"},
		{"INSERT INTO t (a, b) SETTINGS x = 1, y = 'FORMAT Z' FORMAT Native\n\x00\x01'", "INSERT INTO t (a, b) SETTINGS x = 1, y = 'FORMAT Z' ", "Native", "\x00\x01'"},
		{"INSERT INTO t VALUES (1), (2)", "INSERT INTO t ", "Values", " (1), (2)"},
		{"INSERT INTO t VALUES(1)", "INSERT INTO t ", "Values", "(1)"},
		{"INSERT INTO t FORMAT Values (1)", "INSERT INTO t ", "Values", " (1)"},
		{"INSERT INTO values VALUES (1)", "INSERT INTO values ", "Values", " (1)"},
		{"INSERT INTO format FORMAT CSV\n1", "INSERT INTO format ", "CSV", "1"},
		{"INSERT INTO TABLE `d`.`values` (`values`, `format`) VALUES (1)", "INSERT INTO TABLE `d`.`values` (`values`, `format`) ", "Values", " (1)"},
		{"/* INSERT */ -- x\nINSERT INTO t FORMAT TSV\nx", "/* INSERT */ -- x\nINSERT INTO t ", "TSV", "x"},
		{"INSERT INTO {t:Identifier} FORMAT TSV\nx", "INSERT INTO {t:Identifier} ", "TSV", "x"},
		{"INSERT INTO {d:Identifier}.{t:Identifier} FORMAT TSV\nx", "INSERT INTO {d:Identifier}.{t:Identifier} ", "TSV", "x"},
		{"INSERT INTO FUNCTION null('a UInt8, format String') FORMAT TSV\nx", "INSERT INTO FUNCTION null('a UInt8, format String') ", "TSV", "x"},
		{"INSERT INTO t FORMAT", "", "", ""},
		{"INSERT INTO t", "", "", ""},
		{"INSERT INTO t SELECT 1 FORMAT CSV", "", "", ""},
		{"INSERT INTO t WITH 1 AS x SELECT x", "", "", ""},
		{"INSERT INTO t FROM INFILE 'x' FORMAT CSV", "", "", ""},
		{"INSERT INTO t (SELECT 1 FORMAT CSV)", "", "", ""},
		{"SELECT 1 FORMAT CSV", "", "", ""},
		{"EXPLAIN INSERT INTO t VALUES (1)", "", "", ""},
		{"", "", "", ""},
	} {
		ins, ok := findInsertion(q.text)
		if ok != (q.format != "") {
			t.Errorf("%q: found %t", q.text, ok)
			continue
		}
		if ok && (ins.head != q.head || ins.format != q.format || q.text[ins.data:] != q.data) {
			t.Errorf("%q: head %q, format %q, data %q", q.text, ins.head, ins.format, q.text[ins.data:])
		}
	}
}

func TestTheOutputClauseIsTheLastOneOutsideParentheses(t *testing.T) {
	for _, q := range []struct{ text, before, format string }{
		{"SELECT 1", "SELECT 1", ""},
		{"SELECT 1;", "SELECT 1", ""},
		{"SELECT 1 ; -- end", "SELECT 1", ""},
		{"SELECT 1 FORMAT JSON", "SELECT 1 ", "JSON"},
		{"SELECT 1 format `JSON` ;", "SELECT 1 ", "JSON"},
		{"SELECT 1 FORMAT JSON SETTINGS a = 1, b = 'FORMAT X'", "SELECT 1 ", "JSON"},
		{"SELECT 1 SETTINGS a = 1 FORMAT JSON", "SELECT 1 SETTINGS a = 1 ", "JSON"},
		{"SELECT * FROM (SELECT 1 FORMAT CSV)", "SELECT * FROM (SELECT 1 FORMAT CSV)", ""},
		{"SELECT 'FORMAT JSON'", "SELECT 'FORMAT JSON'", ""},
		{"SELECT 'it''s \\' FORMAT JSON'", "SELECT 'it''s \\' FORMAT JSON'", ""},
		{"SELECT $x$ FORMAT JSON $x$", "SELECT $x$ FORMAT JSON $x$", ""},
		{"SELECT 1 -- FORMAT JSON", "SELECT 1", ""},
		{"SELECT 1 /* FORMAT JSON */", "SELECT 1", ""},
		{"SELECT 1 # FORMAT JSON", "SELECT 1", ""},
		{"SELECT format FROM t", "SELECT format FROM t", ""},
		{"SELECT 1 AS format", "SELECT 1 AS format", ""},
		{"SELECT x FROM t ORDER BY format", "SELECT x FROM t ORDER BY format", ""},
		{"", "", ""},
	} {
		at, format := outputClause(q.text)
		if q.text[:at] != q.before || format != q.format {
			t.Errorf("%q: %q, %q", q.text, q.text[:at], format)
		}
	}
}

func FuzzTheLexerNeverLeavesTheText(f *testing.F) {
	for _, seed := range []string{"INSERT INTO t FORMAT CSV\n1", "SELECT 'a\\", "/*", "$a$b", "`", "\u00a0\ufeff--", "INSERT INTO {", "SELECT 1 FORMAT JSON;"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		l := &lexer{text: text}
		last := 0
		for tok := l.next(); tok.kind != tokenEnd; tok = l.next() {
			if tok.start < last || tok.end <= tok.start || tok.end > len(text) {
				t.Fatalf("token %+v after %d in %q", tok, last, text)
			}
			if tok.kind == tokenQuoted {
				l.name(tok)
			}
			last = tok.end
		}
		if ins, ok := findInsertion(text); ok && (ins.data > len(text) || ins.data < len(ins.head) || !strings.HasPrefix(text, ins.head)) {
			t.Fatalf("%q: %+v", text, ins)
		}
		if at, _ := outputClause(text); at > len(text) {
			t.Fatalf("%q: clause at %d", text, at)
		}
	})
}
