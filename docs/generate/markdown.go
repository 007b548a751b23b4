package main

import (
	"bytes"
	"embed"
	"fmt"
	"regexp"
	"strings"
	"text/template"
	"unicode/utf8"
)

// width is how long a line of text gets, in characters. Rows of tables are
// longer.
const width = 90

//go:embed *.tmpl
var templateFiles embed.FS

var templates = template.Must(template.New("").Funcs(template.FuncMap{
	"code": code, "codes": codes, "prose": prose, "wrap": wrap,
}).ParseFS(templateFiles, "*.tmpl"))

// render fills in the template of that name.
func render(name string, page any) ([]byte, error) {
	var b bytes.Buffer
	if err := templates.ExecuteTemplate(&b, name, page); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// code sets s as code.
func code(s string) string { return "`" + s + "`" }

// codes sets each word of a list as code.
func codes(words []string) string {
	set := make([]string, len(words))
	for i, w := range words {
		set[i] = code(w)
	}
	return strings.Join(set, ", ")
}

// identifier matches names that have an underscore, and globs of them: they are
// code even in plain text.
var identifier = regexp.MustCompile(`[A-Za-z0-9.*]+(_[A-Za-z0-9*]*)+`)

// literal escapes what Markdown takes as markup, in a table too.
var literal = strings.NewReplacer(`*`, `\*`, `<`, `&lt;`, `|`, `\|`)

// prose sets plain text as Markdown.
func prose(s string) string {
	var b strings.Builder
	at := 0
	for _, m := range identifier.FindAllStringIndex(s, -1) {
		b.WriteString(literal.Replace(s[at:m[0]]))
		b.WriteString(code(s[m[0]:m[1]]))
		at = m[1]
	}
	b.WriteString(literal.Replace(s[at:]))
	return b.String()
}

// wrap joins its arguments to one paragraph with lines of at most width
// characters.
func wrap(parts ...any) string {
	var b strings.Builder
	column := 0
	for word := range strings.FieldsSeq(fmt.Sprint(parts...)) {
		n := utf8.RuneCountInString(word)
		switch {
		case column == 0:
		case column+1+n > width:
			b.WriteByte('\n')
			column = 0
		default:
			b.WriteByte(' ')
			column++
		}
		b.WriteString(word)
		column += n
	}
	return b.String()
}

// firstSentence returns s up to the end of its first sentence.
func firstSentence(s string) string {
	if sentence, _, more := strings.Cut(s, ". "); more {
		return sentence + "."
	}
	return s
}
