package main

import (
	"bytes"
	"errors"
	"strings"

	"github.com/enawatch/enawatch/agent/ena"
	"github.com/enawatch/enawatch/agent/window"
)

// The table of metrics in a page that is written by hand stands between these
// lines.
const (
	beginMark = "<!-- metrics: begin -->\n"
	endMark   = "<!-- metrics: end -->\n"
)

// readme returns README.md with its table of metrics brought up to date.
func readme(old []byte) ([]byte, error) { return between(old, "readme.tmpl", readmeRows()) }

// between returns a page with what stands between the marks written anew.
func between(old []byte, template string, content any) ([]byte, error) {
	before, rest, begun := bytes.Cut(old, []byte(beginMark))
	_, after, ended := bytes.Cut(rest, []byte(endMark))
	if !begun || !ended {
		return nil, errors.New("the lines between which the table of metrics goes are not there: write " +
			strings.TrimSpace(beginMark) + " and " + strings.TrimSpace(endMark) + ", a line each")
	}
	table, err := render(template, content)
	if err != nil {
		return nil, err
	}
	return bytes.Join([][]byte{before, []byte(beginMark), table, []byte(endMark), after}, nil), nil
}

// readmeRows lists the metrics that everybody should know.
func readmeRows() (rows []metricRow) {
	for _, e := range ena.Catalogue() {
		if e.Allowance != "" {
			rows = append(rows, metricRow{Name: e.Name, Unit: string(e.Unit), Meaning: firstSentence(e.Meaning)})
		}
	}
	throttled, _ := derivedGroups()
	first := throttled.Rows[0] // stands for all, with * for its allowance
	allowance := strings.TrimSuffix(first.Name, throttledSuffix)
	rows = append(rows, metricRow{
		Name: "*" + throttledSuffix, Unit: first.Unit, Meaning: strings.ReplaceAll(first.Meaning, allowance, "*"),
	})
	return append(rows, metricRow{
		Name: window.Heartbeat.Name, Unit: string(window.Heartbeat.Unit), Meaning: firstSentence(window.Heartbeat.Meaning),
	})
}
