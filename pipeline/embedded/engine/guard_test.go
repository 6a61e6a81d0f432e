package engine

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestExpressionsInValuesAreLookedThrough(t *testing.T) {
	for data, refused := range map[string]bool{
		"(1, 'a')":                          false,
		"('file(1)')":                       false,
		"('it''s file(')":                   false,
		"('a\\'file(')":                     false,
		"(1) -- file('x')\n, (2)":           false,
		"(1) /* file('x') */, (2)":          false,
		"(file)":                            false,
		"(concat('file', '('))":             false,
		"(my_file('x'))":                    false,
		"(filename('x'))":                   false,
		"(file('x'))":                       true,
		"(FILE('x'))":                       true,
		"(file ('x'))":                      true,
		"(file\n\t('x'))":                   true,
		"(file/**/('x'))":                   true,
		"(file/*a*//*b*/ -- c\n('x'))":      true,
		"(file # c\n('x'))":                 true,
		"(file\u00a0('x'))":                 true,
		"(`file`('x'))":                     true,
		"(\"file\" ('x'))":                  true,
		"('a\\\\', file('x'))":              true,
		"('a''', file('x'))":                true,
		"((SELECT * FROM url('x')))":        true,
		"(1), (2), (length(file('x')) + 1)": true,
		"('/*'), (file('x')), ('*/')":       true,
		"(1 - -file('x'))":                  true,
		"('--'), (file('x'))":               true,
	} {
		for split := range len(data) { // whatever the chunks
			g := &valuesGuard{functions: map[string]bool{"file": true, "url": true}}
			_, err := g.Write([]byte(data[:split]))
			if err == nil {
				_, err = g.Write([]byte(data[split:]))
			}
			if (err != nil) != refused {
				t.Errorf("%q split at %d: %v", data, split, err)
				break
			}
		}
	}
}

func TestTheTreeIsReadByItsIndent(t *testing.T) {
	g := &guard{functions: map[string]bool{"file": true}, engines: map[string]bool{"url": true}}
	for tree, want := range map[string]parse{
		"SelectWithUnionQuery (children 2)\n ExpressionList (children 1)\n  SelectQuery (children 1)\n Identifier JSON\n":       {root: "SelectWithUnionQuery", format: "JSON"},
		"SelectWithUnionQuery (children 2)\n ExpressionList (children 1)\n  Literal 'x'\n Literal 'out'\n":                      {root: "SelectWithUnionQuery", refused: "INTO OUTFILE"},
		"SelectWithUnionQuery (children 1)\n Function File (alias x) (children 1)\n":                                            {root: "SelectWithUnionQuery", outside: "the function File()"},
		"CreateQuery t (children 2)\n Identifier t\n Storage definition (children 1)\n  Function URL (children 1)\n":            {root: "CreateQuery", outside: "the engine URL"},
		"CreateQuery t (children 2)\n Identifier t\n Storage definition (children 1)\n  Function MergeTree\n":                   {root: "CreateQuery"},
		"InsertQuery   (children 2)\n Literal 'x'\n Identifier t\n":                                                             {root: "InsertQuery", refused: "FROM INFILE"},
		"InsertQuery   (children 2)\n Identifier t\n SelectWithUnionQuery (children 1)\n  Function input (children 1)\n":        {root: "InsertQuery", selects: true, input: true},
		"CreateQuery d (children 1)\n Dictionary definition (children 1)\n  FunctionWithKeyValueArguments  file (children 1)\n": {root: "CreateQuery", outside: "a dictionary with the source file"},
		"SelectWithUnionQuery\n TableIdentifier a.b\nFunction file\n":                                                           {root: "SelectWithUnionQuery", outside: "the function file()"},
		"": {},
	} {
		if got := g.read(tree); got != want {
			t.Errorf("%q: %+v, want %+v", tree, got, want)
		}
	}
}

func TestASpoolGivesBackWhatItTookBeyondMemoryToo(t *testing.T) {
	for _, size := range []int{0, 1, spoolMemory, spoolMemory + 1, 2*spoolMemory + 12345} {
		dir := t.TempDir()
		s := &spool{dir: dir}
		data := bytes.Repeat([]byte("0123456789abcde"), size/15+1)[:size]
		for rest := data; len(rest) > 0; {
			n := min(len(rest), 1<<20-7)
			if _, err := s.Write(rest[:n]); err != nil {
				t.Fatal(err)
			}
			rest = rest[n:]
		}
		for range 2 {
			var got bytes.Buffer
			if err := s.each(func(chunk []byte) error { got.Write(chunk); return nil }); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got.Bytes(), data) || s.size != int64(size) {
				t.Errorf("%d bytes came back as %d", size, got.Len())
			}
		}
		s.close()
		if left, _ := os.ReadDir(dir); len(left) != 0 {
			t.Errorf("%s is left behind", left[0].Name())
		}
	}
}

func TestTheEnginesWordsAreReadForTheirCode(t *testing.T) {
	for text, want := range map[string]exception{
		"Code: 60. DB::Exception: Table x does not exist. (UNKNOWN_TABLE)\n":                         {60, "Code: 60. DB::Exception: Table x does not exist. (UNKNOWN_TABLE)"},
		"Code: 115. DB::Exception: Code: 115. DB::Exception: Unknown setting 'a'. (UNKNOWN_SETTING)": {115, "Code: 115. DB::Exception: Unknown setting 'a'. (UNKNOWN_SETTING)"},
		"something odd": {1001, "Code: 1001. DB::Exception: something odd. (STD_EXCEPTION)"},
	} {
		if got := parseException(text); *got != want {
			t.Errorf("%q: %+v", text, got)
		}
	}
}

func TestTheLibraryIsLookedForWhereTheVariableSaysElseBelowDeploy(t *testing.T) {
	root := t.TempDir()
	t.Setenv(LibraryEnv, filepath.Join(root, "none.so"))
	if _, err := FindLibrary(); !errors.Is(err, ErrLibraryMissing) || !strings.Contains(err.Error(), LibraryEnv) {
		t.Errorf("a variable that points nowhere: %v", err)
	}
	named := filepath.Join(root, "named.so")
	if err := os.WriteFile(named, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	t.Setenv(LibraryEnv, named)
	if path, err := FindLibrary(); path != named || err != nil {
		t.Errorf("%q %v", path, err)
	}
	t.Setenv(LibraryEnv, "")
	below := filepath.Join(root, "a", "b")
	lib := filepath.Join(root, "deploy", "engine", "node_modules", "@chdb", packages["linux/amd64"])
	for _, dir := range []string{below, lib} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(below)
	if _, err := FindLibrary(); !errors.Is(err, ErrLibraryMissing) || !strings.Contains(err.Error(), "make engine") {
		t.Errorf("no library: %v", err)
	}
	for _, pkg := range packages {
		dir := filepath.Join(root, "deploy", "engine", "node_modules", "@chdb", pkg)
		os.MkdirAll(dir, 0o755)
		if err := os.WriteFile(filepath.Join(dir, "libchdb.so"), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if path, err := FindLibrary(); err != nil || !strings.HasSuffix(path, "libchdb.so") {
		t.Errorf("%q %v", path, err)
	}
}
