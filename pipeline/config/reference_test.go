package config

import (
	"bytes"
	"flag"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"
)

var rewrite = flag.Bool("rewrite", false, "write reference.yaml anew instead of comparing it")

func TestTheReferenceSaysWhatEveryKeyMeansAndIsItself(t *testing.T) {
	r := reference{T: t, comments: fieldComments(t)}
	out := r.write()
	if *rewrite {
		if err := os.WriteFile("reference.yaml", out, 0o600); err != nil {
			t.Fatal(err)
		}
	} else if diff := cmp.Diff(string(out), Reference); diff != "" {
		t.Errorf("reference.yaml is not what the types say (-want +got): go test ./pipeline/config -run Reference -rewrite\n%s", diff)
	}
	c, err := Parse("reference.yaml", out)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(Default(), c); diff != "" {
		t.Errorf("the reference is not the default:\n%s", diff)
	}
}

// reference writes the default with comments.
type reference struct {
	*testing.T
	comments map[string]map[string]string // of a type and a field, of the type itself where that is empty
}

func (r reference) write() []byte {
	var node yaml.Node
	if err := node.Encode(Default()); err != nil {
		r.Fatal(err)
	}
	r.annotate(&node, reflect.TypeFor[Config]())
	var out bytes.Buffer
	out.WriteString("# Every key of a worker's configuration, with its default. A file says only what it\n# wants to have otherwise; whence validate FILE checks it.\n\n")
	encoder := yaml.NewEncoder(&out)
	encoder.SetIndent(2)
	if err := encoder.Encode(&node); err != nil {
		r.Fatal(err)
	}
	return regexp.MustCompile(`(?m) +$`).ReplaceAll(out.Bytes(), nil)
}

// annotate puts what its fields mean into a struct's node.
func (r reference) annotate(node *yaml.Node, t reflect.Type) {
	for i := 0; i < len(node.Content); i += 2 {
		key, value := node.Content[i], node.Content[i+1]
		field := t.Field(slices.Index(keysOf(t), key.Value))
		comment := r.meaning(t, field)
		switch of := field.Type; {
		case of.Kind() == reflect.Struct:
			r.annotate(value, of)
		case (of.Kind() == reflect.Slice || of.Kind() == reflect.Map) && of.Elem().Kind() == reflect.Struct:
			comment += "\n\n" + r.elements(of)
			for _, element := range value.Content {
				element.Style = yaml.FlowStyle
				element.Content = stated(element.Content)
			}
		case of.Kind() == reflect.Slice:
			value.Style = yaml.FlowStyle
		}
		key.HeadComment = lines(comment)
	}
}

// meaning is a field's comment, else its type's.
func (r reference) meaning(t reflect.Type, field reflect.StructField) string {
	comment := r.asWritten(r.comments[t.Name()][field.Name], t)
	if comment == "" && field.Type.Kind() == reflect.Struct {
		of := field.Type
		comment = r.asWritten(strings.Replace(r.comments[of.Name()][""], of.Name(), keyOf(field), 1), of)
	}
	if comment == "" && field.Name != "Username" && field.Name != "User" {
		r.Errorf("%s.%s has no comment", t.Name(), field.Name)
	}
	return comment
}

// asWritten calls fields as a file does.
func (r reference) asWritten(comment string, t reflect.Type) string {
	for i := range t.NumField() {
		f := t.Field(i)
		if f.Name == "Kafka" {
			continue // it is a name of its own
		}
		comment = regexp.MustCompile(`\b`+f.Name+`\b`).ReplaceAllString(comment, keyOf(f))
	}
	return comment
}

// elements tells what the entries of a list or map have.
func (r reference) elements(of reflect.Type) string {
	begin := "Each has:"
	if of.Kind() == reflect.Map {
		begin = "By name, each has:"
	}
	var b strings.Builder
	b.WriteString(begin)
	for i := range of.Elem().NumField() {
		field := of.Elem().Field(i)
		meaning := r.asWritten(strings.Join(strings.Fields(r.comments[of.Elem().Name()][field.Name]), " "), of.Elem())
		if !strings.HasPrefix(meaning, keyOf(field)+" ") {
			meaning = strings.TrimSuffix(keyOf(field)+": "+meaning, ": ")
		}
		b.WriteString("\n  " + meaning)
	}
	return b.String()
}

// lines breaks a comment at the width of a terminal, and indents what an entry of
// a list goes on with.
func lines(comment string) string {
	var out []string
	for line := range strings.SplitSeq(comment, "\n") {
		indent := line[:len(line)-len(strings.TrimLeft(line, " "))]
		now := ""
		for i, word := range strings.Fields(line) {
			switch {
			case i == 0:
				now = indent + word
			case len(now)+1+len(word) > 80:
				out, now = append(out, now), indent+indent+word
			default:
				now += " " + word
			}
		}
		if now != "" {
			out = append(out, now)
		}
	}
	return strings.Join(out, "\n")
}

// stated leaves out what an entry does not say.
func stated(content []*yaml.Node) (some []*yaml.Node) {
	for i := 0; i < len(content); i += 2 {
		if v := content[i+1].Value; v != "" && v != "0" {
			some = append(some, content[i], content[i+1])
		}
	}
	return some
}

// fieldComments reads the comments of this package's structs.
func fieldComments(t *testing.T) map[string]map[string]string {
	all := map[string]map[string]string{}
	files, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range files {
		if !strings.HasSuffix(entry.Name(), ".go") || strings.HasSuffix(entry.Name(), "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), entry.Name(), nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			declaration, is := n.(*ast.GenDecl)
			if !is || declaration.Tok != token.TYPE {
				return true
			}
			for _, spec := range declaration.Specs {
				of := spec.(*ast.TypeSpec)
				if structure, is := of.Type.(*ast.StructType); is {
					all[of.Name.Name] = commentsOf(structure)
					all[of.Name.Name][""] = text(declaration.Doc)
				}
			}
			return true
		})
	}
	return all
}

func commentsOf(structure *ast.StructType) map[string]string {
	comments := map[string]string{}
	for _, field := range structure.Fields.List {
		for _, name := range field.Names {
			comments[name.Name] = strings.TrimSpace(text(field.Doc) + " " + text(field.Comment))
		}
	}
	return comments
}

func text(group *ast.CommentGroup) string { return strings.TrimSpace(group.Text()) }
